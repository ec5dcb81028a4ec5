"""Going on with a run: from its newest checkpoint, on any number of workers."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from admm.errors import InputError
from admm.parallel import Transport
from admm.training.checkpoint import Checkpoint, newest_checkpoint
from admm.training.checks import flag
from admm.training.clock import Clock
from admm.training.history import Evaluation, History
from admm.training.options import Options
from admm.training.subnetwork_options import SubnetworkOptions, options_from_json

# Options that say nothing about the iterates; more epochs go further.
MAY_CHANGE = (
    "epochs",
    "eval_every",
    "checkpoint_every",
    "keep",
    "timeout",
    "checksum",
    "workers",
    "data_dir",
    "trace",
)
_PLACES = ("out", "resume")


def resumed(run: Path, **changes: Any) -> Options | SubnetworkOptions:
    """The options that go on with a run, for `train` or `train_subnetworks`.

    Args:
        run: The `out` folder of a run.
        **changes: Options to differ in: epochs, eval_every, checkpoint_every, keep, timeout,
            checksum, workers, data_dir, trace.

    Raises:
        InputError: If there is no checkpoint, or another option is to change.

    Example:
        >>> import tempfile
        >>> from admm.training import train
        >>> run = Path(tempfile.mkdtemp())
        >>> result = train(Options(layers=2, hidden=16, epochs=5, checkpoint_every=5, out=run))
        >>> len(train(resumed(run, epochs=8)).history)
        8
    """
    options = options_from_json(newest_checkpoint(run).manifest["options"])
    for name, value in changes.items():
        known = getattr(options, name, None)
        if name not in MAY_CHANGE and value != known:
            raise _other_option(run, name, value, known)
    return replace(options, **changes, out=run, resume=run)


def _other_option(run: Path, name: str, value: Any, known: Any) -> InputError:
    may = ", ".join("--" + flag(name) for name in MAY_CHANGE)
    return InputError(
        f"--{flag(name)} {value} does not go on with {run}, which has {known}; what may change is "
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
    known = checkpoint.manifest["options"]
    for name in sorted({*known, *values} - {*MAY_CHANGE, *_PLACES}):
        if values.get(name) != known.get(name):
            raise _other_option(run, name, values.get(name), known.get(name))
    trained_on = checkpoint.manifest["dataset"]
    differ = [name for name in dataset if dataset[name] != trained_on.get(name)]
    if differ:
        changed = ", ".join(
            f"{name} {dataset[name]}, not {trained_on.get(name)}" for name in differ
        )
        raise InputError(f"the data are not those that {run} was trained on: {changed}")
    if values["epochs"] < checkpoint.manifest["epoch"]:
        raise InputError(
            f"--epochs {values['epochs']} is less than the {checkpoint.manifest['epoch']} that "
            f"{run} has behind it"
        )
    return checkpoint


def rewind(
    checkpoint: Checkpoint | None,
    history: History,
    transport: Transport,
) -> None:
    """Take the history back to a checkpoint, or to the start, in every process.

    Raises:
        InputError: If it is damaged.
        OutputError: If the system refuses to write.
    """
    nbytes = 0 if checkpoint is None else checkpoint.manifest["history"]
    left: list[Evaluation] = transport.at_root(lambda: history.rewind(nbytes))
    if not transport.is_root:
        history.replay(left)


def continue_counts(before: Mapping[str, Any], transport: Transport, clock: Clock) -> None:
    """Go on counting bytes and seconds from `counts` of an earlier process."""
    if transport.is_root:
        transport.sent.update(before["sent"])
        transport.plain.update(before["plain"])
    clock.add(before["seconds"])


def counts(transport: Transport, clock: Clock, names: tuple[str, ...]) -> dict[str, Any]:
    """Bytes and seconds of all processes, as `continue_counts` takes them."""
    own = [*[transport.sent[name] for name in names], *[transport.plain[name] for name in names]]
    total = transport.total(np.array(own, float)).astype(int).tolist()
    every = transport.gather(clock.seconds())
    return {
        "sent": dict(zip(names, total[: len(names)], strict=True)),
        "plain": dict(zip(names, total[len(names) :], strict=True)),
        "seconds": {name: sum(each[name] for each in every) / len(every) for name in every[0]},
    }


def check_shapes(
    checkpoint: Checkpoint, number: int, state: Mapping[str, Any], optional: str
) -> None:
    """Whether the state of a unit has the shapes that this network has.

    Raises:
        InputError: If not.
    """
    found = {name: s for name, s in checkpoint.shapes(number).items() if name != optional}
    expected = {name: list(array.shape) for name, array in state.items() if name != optional}
    if found != expected:
        raise InputError(
            f"{checkpoint.folder} has {found} in unit {number}; this network has {expected}"
        )
