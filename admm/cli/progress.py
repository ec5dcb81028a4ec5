"""What `admm train` shows on the way: a table, JSON, or nothing; on a terminal a bar besides."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from admm.console import Console, Text
from admm.extras import load
from admm.run.history import to_json
from admm.run.options import MethodOptions
from admm.run.progress import progress_bar

if TYPE_CHECKING:
    from admm.comm import Transport
    from admm.run.callbacks import Callback

KINDS = ("table", "json", "none")


def shown(
    kind: str, options: MethodOptions, transport: "Transport"
) -> "tuple[Text | None, Callback | None]":
    """The stream of the table, and the callback, of this process; with JSON its first line."""
    if not transport.is_root or kind == "none":
        return None, None
    if kind == "json":
        about = {"stages": options.stages, "ranks": transport.size, "options": options.as_json()}
        write_json("run", about)
        return None, lambda evaluation: write_json("evaluation", evaluation)
    on_terminal = transport.library is None and sys.stderr is not None and sys.stderr.isatty()
    if not on_terminal or find_spec("tqdm") is None:
        return sys.stdout, None
    return _AboveBar(), progress_bar()


def write_json(kind: str, values: Mapping[str, Any]) -> None:
    """Write a line of JSON that says of what kind it is."""
    Console(sys.stdout).write(to_json({"kind": kind, **values}) + "\n")


class _AboveBar:
    """Standard output, above a bar on the same terminal."""

    def __init__(self) -> None:
        self.encoding = sys.stdout.encoding
        self._write = load("tqdm", "a bar").tqdm.write

    def write(self, text: str) -> None:
        self._write(text, sys.stdout, end="")

    def flush(self) -> None:
        sys.stdout.flush()
