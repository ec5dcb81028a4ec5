"""How far a run is: who writes, what is left, what a restart would lose. Needs no JAX.

RUN/options.json    what is trained, from the start on: stages in words, and all options
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from admm.errors import InputError, spelled
from admm.files import read_json, reading, write_atomically
from admm.run.checkpoint import complete_checkpoints, newest_checkpoint
from admm.run.folder import Writer, writer
from admm.run.history import Evaluation, History, read_history
from admm.run.options import MethodOptions, folder_of
from admm.run.registry import options_from_json
from admm.run.resume import continuation

SCHEMA = 1
"""Of `summary.json`."""

_PLAN, _VERSION = "options.json", 1


class LastCheckpoint(NamedTuple):
    """The newest checkpoint of a run, and what going on from there would lose."""

    folder: str
    stage: int
    epoch: int
    epochs_lost: int
    seconds_lost: float


class Status(NamedTuple):
    """How far a run is."""

    run: str
    state: str  # running, done, interrupted, diverged; failed: it ended without a summary
    writer: Writer | None
    stages: list[str]  # in words
    epochs: int  # of a stage
    latest: Evaluation | None
    select: str  # the value that picks the best
    best: Evaluation | None
    silent: float | None  # seconds since the latest evaluation
    left: float | None  # seconds from there to the end
    checkpoint: LastCheckpoint | None
    # How to go on, where no one writes, and there are a checkpoint and the method.
    resume: str | None


def write_plan(options: MethodOptions, run: Path) -> None:
    """Write what a run is going to do, for those who look at it.

    Raises:
        OutputError: If the system refuses to write.
    """
    content = {
        "version": _VERSION,
        "select": options.select,
        "stages": list(options.stages),
        "options": options.as_json(),
    }
    write_atomically(run / _PLAN, json.dumps(content, indent=1).encode())


def run_status(run: str | Path) -> Status:
    """How far a run is, while it goes and afterwards.

    Args:
        run: The `out` folder of a run.

    Raises:
        InputError: If there is no run, or its files are damaged.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> result = train(options(layers=2, hidden=16, epochs=5, out=tempfile.mkdtemp()))
        >>> status = run_status(result.summary["options"]["out"])
        >>> status.state, status.latest["epoch"], status.checkpoint.epochs_lost
        ('done', 5, 0)
    """
    run = folder_of(run)
    with reading(run):
        there = (run / _PLAN).is_file()
    holder = writer(run)
    if not there:
        if holder is not None and holder.alive:
            raise InputError(f"{run} is about to be a run: its data are being loaded; ask again")
        raise InputError(f"{run} is no run (no {_PLAN}); pass the {spelled('out')} of one")
    plan = read_json(run / _PLAN, _VERSION, ("select", "stages", "options"))
    epochs, path = plan["options"]["epochs"], run / "history.jsonl"
    history = History(plan["select"], epochs, stages=len(plan["stages"]))
    if path.exists():
        history.replay(read_history(run))
    latest = history.evaluations[-1] if history.evaluations else None
    alive = holder is not None and holder.alive
    summary = read_summary(run)
    state = "running" if alive else "failed" if summary is None else summary["status"]
    saved = _saved(run, latest, epochs)
    return Status(
        str(run),
        state,
        holder,
        plan["stages"],
        epochs,
        latest,
        plan["select"],
        history.best,
        time.time() - path.stat().st_mtime if latest else None,
        history.left(latest) if latest and state != "done" else None,
        saved,
        None if saved is None or alive else _resume(run, plan["options"], state == "done"),
    )


def read_summary(run: Path, schema: int | None = None) -> dict[str, Any] | None:
    """What `summary.json` says of a run, None where it has not ended, or ended without.

    Args:
        run: Its folder.
        schema: The one that it has to have, if any.

    Raises:
        InputError: If it is damaged, or of another schema.
    """
    path = run / "summary.json"
    if not path.exists():
        return None
    try:
        summary = json.loads(path.read_text())
        if schema is not None and summary["schema"] != schema:
            message = f"{path} has schema {summary['schema']}; a report reads {schema}"
        else:
            summary["status"], summary["seconds"]["total"]
            return summary
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!r})") from error
    raise InputError(message)


def _saved(run: Path, latest: Evaluation | None, epochs: int) -> LastCheckpoint | None:
    if not complete_checkpoints(run):
        return None
    folder, manifest = newest_checkpoint(run)
    stage, epoch = manifest["stage"], manifest["epoch"]
    lost, seconds = 0, 0.0
    if latest is not None:  # it may be behind a checkpoint between two evaluations
        lost = max(0, (latest["stage"] - stage) * epochs + latest["epoch"] - epoch)
        seconds = max(0.0, latest["seconds"] - manifest["counts"]["seconds"]["total"])
    return LastCheckpoint(str(folder), stage, epoch, lost, seconds if lost else 0.0)


def _resume(run: Path, values: dict[str, Any], done: bool) -> str | None:
    try:
        options = options_from_json(values)
    except InputError:  # of a package that is not installed here
        return None
    return continuation(run, options, further=done)
