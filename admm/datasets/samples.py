"""Samples of any shape in memory, with their targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from admm.checks import PROPORTION
from admm.datasets.splits import Split
from admm.errors import InputError, spelled

Pair = tuple[Any, Any] | list[Any]
Fraction = float | np.floating[Any]


@dataclass(frozen=True)
class Samples:
    """Samples and what is to be learned of them; `checked_samples` makes them.

    Args:
        name: For messages and summaries.
        inputs: Shape (N, *features): real or whole numbers.
        targets: Shape (N, *outputs): numbers, or text where they are classes.
        split: Training, validation and test samples; there need not be any of the last.

    Example:
        >>> isinstance(checked_samples(np.zeros((20, 3)), np.arange(20.0)), Samples)
        True
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    split: Split


def checked_samples(
    inputs: Any,
    targets: Any,
    *,
    validation: Fraction | Pair = 0.1,
    test: Fraction | Pair | None = None,
    seed: int = 100,
    name: str = "samples",
) -> Samples:
    """Samples of any shape, checked and split.

    Args:
        inputs: X, (N, *features), of NumPy, JAX or anything like an array.
        targets: y, (N, *outputs). Every sample has one: among classes −1 is one as any other.
        validation: What picks the best network: a fraction of the samples, drawn at random, or an
            (X, y) of its own, a tuple or a list.
        test: What nothing is picked by, likewise; None for no test.
        seed: Of the random parts.
        name: For messages and summaries.

    Raises:
        InputError: If X or y are no numbers, not finite or empty, differ in length, or a part is
            empty, of another shape, or no fraction.

    Example:
        >>> samples = checked_samples(np.zeros((20, 3)), np.arange(20.0), validation=0.25)
        >>> [len(part) for part in samples.split]
        [15, 5, 0]
    """
    given = {"data": (inputs, targets), "validation": validation, "test": test}
    pairs = {
        part: _checked_pair(part, pair)
        for part, pair in given.items()
        if isinstance(pair, tuple | list)
    }
    first = pairs["data"]
    for part, (x, y) in pairs.items():
        shapes, expected = (x.shape[1:], y.shape[1:]), (first[0].shape[1:], first[1].shape[1:])
        if shapes != expected:
            raise InputError(
                f"{spelled(part)} has samples and targets of shapes {shapes}; those of data have "
                f"{expected}"
            )
    count = len(first[0])
    rest = np.random.default_rng(seed).permutation(count)
    parts, start = {}, count
    for part in ("validation", "test"):
        if part in pairs:
            parts[part] = np.arange(start, start + len(pairs[part][0]))
            start += len(parts[part])
        else:
            size = _size(part, given[part], count)
            parts[part], rest = rest[:size], rest[size:]
    if not len(rest):
        raise InputError(
            f"{spelled('validation', validation)} and {spelled('test', test)} leave none of "
            f"{count} samples to train on"
        )
    x, y = (np.concatenate(arrays) for arrays in zip(*pairs.values(), strict=True))
    train, val, tests = map(np.sort, (rest, parts["validation"], parts["test"]))
    return Samples(name, x, y, Split(train, val, tests))


def _size(part: str, fraction: Any, count: int) -> int:
    """Samples of a part that is a fraction."""
    if fraction is None and part == "test":
        return 0
    if PROPORTION.refusal(fraction):
        raise InputError(
            f"{spelled(part)} must be a fraction of the samples in (0, 1) or a pair (X, y), got "
            f"{fraction!r:.80}"
        )
    size = round(fraction * count)
    if not size:
        raise InputError(f"{spelled(part, fraction)} of {count} samples is none; give more")
    return size


def _checked_pair(part: str, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    if len(pair) != 2:
        raise InputError(f"{spelled(part)} must be a pair (X, y), got {len(pair)} things")
    x = _checked_array(f"X of {part}", pair[0], "biuf")
    y = _checked_array(f"y of {part}", pair[1], "biufUO")
    if len(x) != len(y):
        raise InputError(f"X of {part} has {len(x)} rows, y has {len(y)}; expected as many")
    return x, y


def _checked_array(what: str, given: Any, kinds: str) -> np.ndarray:
    try:
        array = np.asarray(given)
    except ValueError as error:  # rows of several lengths
        raise InputError(f"{what} is not like an array ({error})") from error
    if array.dtype.kind not in kinds:
        hint = "; of a sparse matrix toarray()" if array.dtype.kind == "O" else ""
        raise InputError(f"{what} must be numbers, got {array.dtype}{hint}")
    if not array.ndim or not array.size:
        raise InputError(f"{what} is empty, of shape {array.shape}; expected a row for each sample")
    check_finite(what, array)
    return array


def check_finite(what: str, rows: np.ndarray) -> None:
    """Refuse rows with NaN or infinity.

    Raises:
        InputError: With `what` they are, and where.
    """
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))
        raise InputError(
            f"{what} has NaN or infinity in {len(bad)} of {len(rows)} rows, row {bad[0]} the "
            "first; fill them in or leave these rows out"
        )
