"""What the best network of a run so far makes of its data."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from admm.comm import LocalTransport, Transport
from admm.errors import InputError, spelled
from admm.memory import memory_told
from admm.run.agreement import check_one_job
from admm.run.options import check_not_in_memory, folder_of, option_fields, with_place
from admm.run.registry import options_from_json
from admm.run.resume import where_data_may_be
from admm.run.run import check_dtype, check_transport
from admm.run.saved import hold_saved, open_saved


def evaluate(
    run: str | Path, transport: Transport | None = None, *, data: Any = None, **changes: Any
) -> dict[str, float]:
    """Scores of the best network of a run so far, on all its labelled rows.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the network out; by default it is passed in one piece.
        data: The data in memory that it was trained on, if it was.
        **changes: Options to differ in: `dataset` and `data_dir`, where the data are now, and
            objects that a file cannot hold, such as a `network` of one's own.

    Returns:
        In every process; of classifiers accuracy of `train`, `val` and `test`, balanced accuracy
        and ROC AUC of the latter two.

    Raises:
        InputError: If network or data cannot be read, or do not belong together.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> run = Path(tempfile.mkdtemp())
        >>> best = train(options(layers=2, hidden=16, epochs=5, out=run)).summary["best"]
        >>> evaluate(run)["test"] == best["test_accuracy"]
        True
    """
    return _pass("evaluate", run, transport, data, changes)


def predict(
    run: str | Path, transport: Transport | None = None, *, data: Any = None, **changes: Any
) -> np.ndarray:
    """What the best network of a run so far says of every row of its data.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the network out; by default it is passed in one piece.
        data: The data in memory that it was trained on, if it was.
        **changes: As in `evaluate`.

    Returns:
        In the order of the data set, in every process; of classifiers probabilities,
        (rows, classes).

    Raises:
        InputError: If network or data cannot be read, or do not belong together.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> run = Path(tempfile.mkdtemp())
        >>> _ = train(options(layers=2, hidden=16, epochs=5, out=run))
        >>> predict(run).shape
        (1797, 10)
    """
    return _pass("predict", run, transport, data, changes)


def _pass(
    what: str, run: str | Path, transport: Transport | None, data: Any, changes: dict[str, Any]
) -> Any:
    """Let the method of a run do something with its network."""
    transport = LocalTransport(1) if transport is None else transport
    check_transport(transport)
    opened = hold_saved if transport.size == 1 else open_saved
    saved = transport.at_root(lambda: opened(folder_of(run)))
    options = options_from_json(saved.manifest["options"])
    for name, value in changes.items():
        if name not in option_fields(type(options)):
            raise InputError(f"{run} was trained by {options.solver}, which takes no {name}")
        scalar = isinstance(value, str | int | float | tuple | list | None)
        if name not in ("dataset", "data_dir") and scalar:
            raise InputError(
                f"{spelled(name)} is that of {run}; only the place of the data differs"
            )
    if transport.share(data is None, 0):
        check_not_in_memory(options.dataset)
    check_dtype(options.dtype)
    changed = replace(options, **with_place(changes))
    check_one_job(changed, transport)
    with where_data_may_be(saved.run), memory_told(f"{what} of {saved.run}", None):
        found = getattr(changed, what)(saved, transport, data)
    transport.flush()
    return found
