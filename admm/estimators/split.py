"""Rows to train on, rows that pick the best network, and rows that are asked for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from admm.checks import PROPORTION
from admm.datasets import Split
from admm.datasets.labels import Labels
from admm.datasets.objects import array_of
from admm.errors import InputError


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
    PROPORTION("validation_fraction", fraction)
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


def split_of_rows(masks: Mapping[str, Any], known: Labels, fraction: Any, seed: int) -> Split:
    """The split that masks ask for; the rest is trained on, or held out of it.

    Args:
        masks: Masks or numbers of rows by part: `train`, `val`, `test`; None where there are none.
        known: Labels of all rows.
        fraction: Of the training rows, held out where there is no mask of validation rows.
        seed: Of that choice.

    Raises:
        InputError: If a mask is none, a part has no label, or a class no training row.
    """
    labels = known.numbers
    given = {
        part: numbers_of(f"{part}_mask", mask, len(labels))
        for part, mask in masks.items()
        if mask is not None
    }
    for part, rows in given.items():
        if not (labels[rows] >= 0).any():
            raise InputError(f"{part}_mask has no node with a label")
    parts = {part: rows[labels[rows] >= 0] for part, rows in given.items()}
    if "train" not in parts:
        others = np.concatenate([*parts.values(), np.zeros(0, int)])
        parts["train"] = np.setdiff1d(np.flatnonzero(labels >= 0), others)
    if "val" not in parts:
        parts["train"], parts["val"] = validation_rows(labels, parts["train"], fraction, seed)
    unseen = np.setdiff1d(np.concatenate(list(parts.values())), parts["train"])
    missing = np.setdiff1d(labels[unseen], labels[parts["train"]])
    if missing.size:
        raise InputError(
            f"no training node is of class {known.class_names[missing[0]]!r}, which other nodes "
            "are of"
        )
    return Split(parts["train"], parts["val"], parts.get("test", np.zeros(0, int)))


def numbers_of(name: str, given: Any, nodes: int) -> np.ndarray:
    """Numbers of nodes, from a mask or from numbers.

    Raises:
        InputError: If they are neither, or out of range.
    """
    array = array_of(given)
    if array.dtype == bool and array.shape == (nodes,):
        return np.flatnonzero(array)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InputError(
            f"{name}= must be a mask of {nodes} nodes or numbers of nodes, got {array.dtype} "
            f"{array.shape}"
        )
    if array.size and not 0 <= array.min() <= array.max() < nodes:
        raise InputError(f"{name}= must be of nodes 0…{nodes - 1}, got {array.min()}…{array.max()}")
    return array.astype(np.int64)
