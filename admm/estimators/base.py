"""What estimators share: seeds, training, and models on disk.

A saved model has the form of a run's, see `admm.run.saved`, without any data: `load` also takes the
`--out` folder of a run of `admm train`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.utils import check_random_state

from admm.checks import COUNT
from admm.comm import LocalTransport
from admm.console import Text
from admm.errors import InputError
from admm.run.callbacks import Callbacks, callbacks_of
from admm.run.options import MethodOptions, folder_of, json_value
from admm.run.registry import options_from_json
from admm.run.run import check_dtype, train
from admm.run.saved import Saved, hold_saved, save_model
from admm.run.stopping import patience as stop_after
from admm.run.summary import Result

Options = TypeVar("Options", bound=MethodOptions)

# What a folder may hold that a model is saved over.
_OURS = {"model.json", "models"}


def seed_of(random_state: Any) -> int:
    """The seed of a run: a whole number as it is, else one that is drawn."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def train_estimator(
    estimator: Any,
    options: MethodOptions,
    data: Any,
    callback: Callbacks | None,
    progress: Text | None,
) -> Result:
    """Train for an estimator, with its `patience`; sets `options_`, `history_` and so on.

    Args:
        estimator: To be fitted.
        options: Of the run.
        data: See `admm.train`.
        callback: Likewise.
        progress: Likewise.

    Raises:
        InputError: If the patience is less than 1, or as `admm.train` does.
    """
    callbacks = callbacks_of(callback)
    if estimator.patience is not None:
        COUNT("patience", estimator.patience)
        callbacks = (*callbacks, stop_after(estimator.patience, options.select))
    result = train(options, data=data, callback=callbacks, progress=progress)
    estimator.options_ = options_from_json(result.summary["options"])  # as `load` has them
    estimator.history_, estimator.summary_ = result.history, result.summary
    estimator.n_iter_ = sum(stage["epochs"] for stage in result.summary["stages"])
    return result


def save_estimator(
    path: str | Path,
    estimator: Any,
    layers: Mapping[int, Mapping[str, np.ndarray]],
    fitted: Sequence[str],
) -> None:
    """Save a fitted estimator into a folder of its own.

    Args:
        path: Of the folder.
        estimator: With `summary_` and `history_` of its run.
        layers: Arrays by name, of every layer or module, from 1.
        fitted: Attributes to be kept beside them, where it has them: small ones.

    Raises:
        InputError: If the folder holds something else.
        OutputError: If the system refuses to write.
    """
    folder = folder_of(path)
    there = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    # Names with a dot in front are of notebooks, file systems and the like.
    other = [name for name in there if name not in _OURS and not name.startswith(".")]
    if other:
        raise InputError(f"{folder} holds {other[0]}; save a model into a folder of its own")
    known = {name: getattr(estimator, name) for name in fitted if hasattr(estimator, name)}
    about = {
        "class": type(estimator).__name__,
        "params": {
            # No file holds a network of one's own.
            name: json_value(value)
            for name, value in estimator.get_params().items()
            if not isinstance(value, np.random.RandomState) and name != "network"
        },
        "fitted": {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in known.items()},
        "arrays": [name for name, value in known.items() if isinstance(value, np.ndarray)],
    }
    summary = estimator.summary_
    manifest = {
        "depth": len(layers),
        "epoch": summary["best"]["epoch"],
        "options": summary["options"],
        "dataset": summary["dataset"],
        "summary": summary,
        "history": estimator.history_,
        "estimator": about,
    }
    save_model(folder, layers, manifest, LocalTransport(1))


def set_fitted(estimator: Any, saved: Saved) -> None:
    """Give an estimator the attributes that it was saved with."""
    about = saved.manifest["estimator"]
    for name, value in about["fitted"].items():
        setattr(estimator, name, np.array(value) if name in about["arrays"] else value)
    for name in ("summary", "history"):
        setattr(estimator, f"{name}_", saved.manifest[name])


def load_estimator(path: str | Path, kind: type[Options], name: str) -> tuple[Saved, Options]:
    """The network of a folder, with all its arrays, and the options of its run.

    Args:
        path: Of the folder.
        kind: The options of the estimator's method.
        name: Of the estimator, for messages.

    Raises:
        InputError: If there is none, it is damaged, or another method's.
    """
    saved = hold_saved(folder_of(path))
    options = options_from_json(saved.manifest["options"])
    if not isinstance(options, kind):
        raise InputError(f"{path} holds a network of {options.solver}, which is no {name}'s")
    check_dtype(options.dtype)
    return saved, options
