"""The file that `--trace` names."""

import json
from pathlib import Path

from admm.errors import InputError
from admm.parallel import Transport
from admm.training.files import write_atomically


def check_trace(path: Path | None) -> None:
    """Before a run: whether a trace can be written there.

    Raises:
        InputError: If not.
    """
    if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise InputError(f"cannot write a trace to {path}: a folder, or in no folder")


def save_trace(path: Path | None, transport: Transport) -> None:
    """After a run: write the spans of all processes, if there are any.

    Raises:
        OutputError: If the file cannot be written.
    """
    trace = transport.trace
    if trace is None or path is None:
        return
    events = transport.gather(trace.events)
    content = json.dumps({"traceEvents": [event for each in events for event in each]})

    transport.at_root(lambda: write_atomically(path, content.encode()))
