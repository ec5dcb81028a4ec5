"""Going on with a run: from its newest checkpoint, on any number of workers."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from admm.errors import InputError, MissingDataError, in_shell, spelled
from admm.run.checkpoint import Checkpoint, newest_checkpoint
from admm.run.options import MethodOptions, folder_of, is_in_memory, with_place
from admm.run.registry import options_from_json, unknown_option
from admm.run.saved import check_same_data

if TYPE_CHECKING:
    from admm.comm import Transport
    from admm.run.clock import Clock

# Options that say nothing about the iterates; more epochs go further, and data may have moved:
# their fingerprint tells if they are the same.
MAY_CHANGE = (
    "epochs",
    "eval_every",
    "checkpoint_every",
    "keep",
    "timeout",
    "checksum",
    "workers",
    "dataset",
    "data_dir",
    "trace",
)
_PLACES = ("out", "resume")


def resumed(run: str | Path, **changes: Any) -> MethodOptions:
    """The options that go on with a run, for `train`.

    Args:
        run: The `out` folder of a run.
        **changes: Options to differ in: epochs, eval_every, checkpoint_every, keep, timeout,
            checksum, workers, trace; dataset and data_dir, for where the data are now; and objects
            that a file cannot hold.

    Raises:
        InputError: If there is no checkpoint, or another option is to change.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> run = Path(tempfile.mkdtemp())
        >>> result = train(options(layers=2, hidden=16, epochs=5, checkpoint_every=5, out=run))
        >>> len(train(resumed(run, epochs=8)).history)
        8
    """
    run = folder_of(run)
    options = options_from_json(newest_checkpoint(run).manifest["options"])
    before = options.as_json()
    for name, value in changes.items():
        if name not in before:
            raise unknown_option(name, options.solver)
        if name in (*MAY_CHANGE, *_PLACES):
            continue
        try:
            now = replace(options, **{name: value}).as_json()[name]
        except InputError:
            now = value
        if now != before[name]:
            raise _other_option(run, name, now, before[name])
    for name in _PLACES:
        if folder_of(changes.pop(name, run)).resolve() != run.resolve():
            raise InputError(
                f"{spelled('resume', run)} goes on in that folder; leave out {spelled(name)}"
            )
    return replace(options, **with_place(changes), out=run, resume=run)


def continuation(run: Path, options: MethodOptions, further: bool = False) -> str:
    """What goes on with a run: a command in a shell, or else a line of Python.

    No command goes on with data in memory or with objects of one's own.

    Args:
        run: Its folder.
        options: Of the run.
        further: Whether only more epochs are left to train.

    Example:
        >>> from admm import options
        >>> continuation(Path("runs/own"), options("gsam", loss=abs), further=True)
        "admm.train(admm.resumed('runs/own', epochs=N, loss=…)) with the same objects"
    """
    own = [name for name in options.objects if not isinstance(getattr(options, name), str)]
    in_memory = is_in_memory(options.dataset)
    if in_shell() and not own and not in_memory:
        more = " --epochs N" if further else ""
        return f"python -m admm train --resume {shlex.quote(str(run))}{more}"
    changes = [repr(str(run)), *(["epochs=N"] if further else []), *(f"{name}=…" for name in own)]
    same = [*(["data"] if in_memory else []), *(["objects"] if own else [])]
    return (
        ("in Python, " if in_shell() else "")
        + f"admm.train(admm.resumed({', '.join(changes)}){', data=…' if in_memory else ''})"
        + (f" with the same {' and '.join(same)}" if same else "")
    )


def _other_option(run: Path, name: str, value: Any, known: Any) -> InputError:
    may = ", ".join(map(spelled, MAY_CHANGE))
    return InputError(
        f"{spelled(name, value)} does not go on with {run}, which has {known}; what may change is "
        f"{may}"
    )


def open_checkpoint(run: Path, values: Mapping[str, Any], dataset: Mapping[str, Any]) -> Checkpoint:
    """The newest checkpoint of a run, if it fits options and data.

    Args:
        run: Folder of the run.
        values: The options, as JSON values.
        dataset: Name, counts and fingerprint.

    Raises:
        InputError: If it does not; the message names what differs.
    """
    checkpoint = newest_checkpoint(run)
    known = options_from_json(checkpoint.manifest["options"]).as_json()
    for name in sorted({*known, *values} - {*MAY_CHANGE, *_PLACES}):
        if values.get(name) != known.get(name):
            raise _other_option(run, name, values.get(name), known.get(name))
    check_same_data(dataset, checkpoint.manifest["dataset"], run)
    if values["epochs"] < checkpoint.manifest["epoch"]:
        raise InputError(
            f"{spelled('epochs', values['epochs'])} is less than the "
            f"{checkpoint.manifest['epoch']} that {run} has behind it"
        )
    return checkpoint


@contextmanager
def where_data_may_be(run: Path | None) -> Iterator[None]:
    """Say of data that are not found, and that a run was trained on, that they may have moved."""
    try:
        yield
    except MissingDataError as error:
        if run is not None:
            error.add_note(
                f"if the data of {run} have moved, {spelled('dataset')} or {spelled('data_dir')} "
                "says where to; their fingerprint tells if they are the same"
            )
        raise


def continue_counts(before: Mapping[str, Any], transport: "Transport", clock: "Clock") -> None:
    """Go on counting bytes and seconds from `counts` of an earlier process."""
    if transport.is_root:
        transport.sent.update(before["sent"])
        transport.sent_as_float32.update(before["float32"])
    clock.add(before["seconds"])


def counts(transport: "Transport", clock: "Clock") -> dict[str, Any]:
    """Bytes by variable, summed over processes, and mean seconds: `continue_counts` takes them."""
    every = transport.gather((transport.sent, transport.sent_as_float32, clock.seconds()))
    sent, as_float32, seconds = zip(*every, strict=True)
    return {
        "sent": dict(sum(sent, Counter())),
        "float32": dict(sum(as_float32, Counter())),
        "seconds": {n: sum(each[n] for each in seconds) / len(seconds) for n in seconds[0]},
    }
