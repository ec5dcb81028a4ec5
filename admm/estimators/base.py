"""What estimators share: seeds, validation rows, and models on disk.

A saved model has the form of a run's, see `admm.run.saved`, without any data: `load` also takes the
`--out` folder of a run of `admm train`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.utils import check_random_state

from admm.comm import LocalTransport
from admm.errors import InputError
from admm.run.options import MethodOptions, folder_of, json_value
from admm.run.registry import options_from_json
from admm.run.run import check_dtype
from admm.run.saved import Saved, hold_saved, save_model

Options = TypeVar("Options", bound=MethodOptions)

# What a folder may hold that a model is saved over.
_OURS = {"model.json", "models"}


def seed_of(random_state: Any) -> int:
    """The seed of a run: a whole number as it is, else one that is drawn."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def validation_rows(
    labels: np.ndarray, rows: np.ndarray, fraction: Any, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows divided into those to train on and those that pick the best network.

    Of every class so many are held out, but never its last one.

    Args:
        labels: Class of every row, (all rows,).
        rows: Numbers of those that have one.
        fraction: To hold out.
        seed: Of the choice.

    Raises:
        InputError: If the fraction is no number in (0, 1), or no class has a second row.

    Example:
        >>> train, val = validation_rows(np.array([0, 0, 1, 1]), np.arange(4), 0.5, seed=0)
        >>> len(train), len(val)
        (2, 2)
    """
    if (
        isinstance(fraction, bool)
        or not isinstance(fraction, int | float | np.floating)
        or not 0 < fraction < 1
    ):
        raise InputError(f"validation_fraction must be in (0, 1), got {fraction!r:.80}")
    if not len(rows):
        raise InputError("the masks leave no row to train on")
    order = np.random.default_rng(seed).permutation(rows)
    found = []
    for each in np.unique(labels[rows]):
        own = order[labels[order] == each]
        found.append(own[: min(max(1, round(fraction * len(own))), len(own) - 1)])
    held_out = np.sort(np.concatenate(found))
    if not held_out.size:
        raise InputError(
            f"no class has a second row, of n_samples={len(rows)}, to be held out for validation; "
            "pass more rows"
        )
    return np.setdiff1d(rows, held_out), held_out


def save_estimator(
    path: str | Path,
    estimator: Any,
    layers: Mapping[int, Mapping[str, np.ndarray]],
    fitted: Sequence[str],
    **more: Any,
) -> None:
    """Save a fitted estimator into a folder of its own.

    Args:
        path: Of the folder.
        estimator: With `summary_` and `history_` of its run.
        layers: Arrays by name, of every layer or module, from 1.
        fitted: Attributes to be kept beside them, where it has them: small ones.
        more: What else `load` has to know.

    Raises:
        InputError: If the folder holds something else.
        OutputError: If the system refuses to write.
    """
    folder = folder_of(path)
    there = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    other = [name for name in there if name not in _OURS]
    if other:
        raise InputError(f"{folder} holds {other[0]}; save a model into a folder of its own")
    known = {name: getattr(estimator, name) for name in fitted if hasattr(estimator, name)}
    about = {
        "class": type(estimator).__name__,
        "params": {
            # A search sets numbers of NumPy.
            name: json_value(value.item() if isinstance(value, np.generic) else value)
            for name, value in estimator.get_params().items()
            if not isinstance(value, np.random.RandomState) and not callable(value)
        },
        "fitted": {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in known.items()},
        "arrays": [name for name, value in known.items() if isinstance(value, np.ndarray)],
        **more,
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
