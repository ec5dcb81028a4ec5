"""A page of the site for the options of each method, made of their fields whenever it is built."""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, get_args

from admm.cli.train import GROUPS
from admm.errors import shell_spelling, spelled, switched_off
from admm.run.options import MethodOptions, help_of, option_fields, value_kinds
from admm.run.registry import find_method, solver_places
from quant import Levels

_HEAD = "| command line | Python | value | default | what it sets |\n|---|---|---|---|---|\n"
_KINDS = {
    int: "whole number",
    float: "number",
    bool: "switch",
    Path: "path",
    Levels: "LOW:HIGH[:STEP]",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that are written by hand; MkDocs calls it."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"options/{name}.md", content=text))
    return files


def pages() -> dict[str, str]:
    """The text of each page, by the first solver that it is about."""
    solvers: dict[type[MethodOptions], list[str]] = {}
    for solver in solver_places():
        solvers.setdefault(find_method(solver), []).append(solver)
    return {of[0]: "\n".join(_page(kind, of)) for kind, of in solvers.items()}


def _page(kind: type[MethodOptions], solvers: Sequence[str]) -> Iterator[str]:
    groups: dict[str, list[str]] = {name: [] for name in GROUPS}
    for each in option_fields(kind).values():
        if "help" in each.metadata and each.name != "solver":
            groups.setdefault(each.metadata["group"], []).append(_row(kind, each))
    names = ", ".join(f"`{solver}`" for solver in solvers)
    yield f"# Options of {', '.join(solvers)}\n"
    yield f"`--solver NAME`, or `options(NAME, …)` in Python; NAME is one of {names}."
    yield f"[`{kind.__name__}`](../api/admm.md#admm.{kind.__name__}) says what the run records.\n"
    for name, rows in groups.items():
        if rows:
            yield f"## {name.capitalize()}\n\n{_HEAD}" + "\n".join(rows) + "\n"


def _row(kind: type[MethodOptions], each: Field[Any]) -> str:
    text, _, given = help_of(each).removesuffix("]").partition(" [")
    default = "" if each.default in (None, MISSING) else str(each.default)
    for other, allowed in each.metadata["only"].items():
        text += f"; only with `{other}` {', '.join(allowed)}"
    with shell_spelling():
        flag = switched_off(each.name) if each.default is True else spelled(each.name)
    cells = (f"`{flag}`", f"`{each.name}`", _values(kind, each), given or default, text)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _values(kind: type[MethodOptions], each: Field[Any]) -> str:
    """What a value has to be."""
    kinds = value_kinds(kind, each.name)
    named = [name for found in kinds for name in (get_args(found) or (found,))]
    metavar, check = each.metadata["metavar"], each.metadata["check"]
    words = metavar or _KINDS.get(kinds[0])
    if words is None:
        return ", ".join(name for name in named if isinstance(name, str)) or "name"
    return f"{words}{':' if metavar else ','} {check.expected}" if check else words
