"""Splits of the nodes: given as masks or numbers, read from the arrays of a file, or random."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from admm.datasets.archive import Arrays
from admm.errors import InputError, spelled


class Split(NamedTuple):
    """Disjoint node indices for training, model selection and the final test.

    Example:
        >>> len(Split(np.arange(60), np.arange(60, 80), np.arange(80, 100)).test)
        20
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


PARTS = {
    "train": ("train", "training", "tr", "trn"),
    "val": ("val", "valid", "validation", "va", "dev"),
    "test": ("test", "testing", "te", "tst"),
}
_WORDS = {word: part for part, words in PARTS.items() for word in words}
_FORMS = {
    **dict.fromkeys(("mask", "masks"), "mask"),
    **dict.fromkeys(("idx", "index", "indices", "nodes"), "numbers"),
}
_SPLIT_KEY = re.compile(rf"(^|_)({'|'.join(_WORDS)}|splits?)(_|$)")
# Where words of a key meet: `trainMask`, `trainmask`, `train.mask`.
_SEAM = re.compile(rf"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=(?:{'|'.join(_FORMS)})$)|[.-]")
_EXPECTED = (
    "expected train_mask, val_mask and test_mask (of each node whether it is in the part; or a row "
    "for each of several splits) or idx_train, idx_val and idx_test (numbers of nodes)"
)


def split_keys(name: str, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Those of a file's keys that tell a split: the part of each, and `mask` or `numbers`.

    Raises:
        InputError: If one looks as if it did, and does not say what it is.

    Example:
        >>> split_keys("toy", ["labels", "train_mask", "idx_val"])
        {'train_mask': ('train', 'mask'), 'idx_val': ('val', 'numbers')}
    """
    found = {}
    for key in keys:
        spelling = _SEAM.sub("_", key).lower()
        words = spelling.split("_")
        for part, form in (words, words[::-1]) if len(words) == 2 else ():
            if part in _WORDS and form in _FORMS:
                found[key] = (_WORDS[part], _FORMS[form])
        if key not in found and _SPLIT_KEY.search(spelling):
            raise InputError(
                f"{name}: {key!r} looks like a split, but is none that can be used; {_EXPECTED}. "
                "Rename it, or leave it out of the file"
            )
    return found


def read_split(name: str, arrays: Arrays, nodes: int, number: int) -> tuple[Split, str] | None:
    """The split that the arrays of a file tell, and the words for it; None if they tell none.

    A part that has one mask goes with each of the others' masks.

    Args:
        name: Of the data set, for messages.
        arrays: Of the file; only those of the split are read.
        nodes: How many there are.
        number: Which of several splits, from 0.

    Raises:
        InputError: If a part is missing, an array is no mask and no list of nodes, two of a part
            say different things, or there is no split of this number.
    """
    keys = split_keys(name, arrays)
    if not keys:
        return None
    lacking = sorted(set(PARTS) - {part for part, _ in keys.values()})
    if lacking:
        raise InputError(
            f"{name}: the split {', '.join(keys)} lacks the part {', '.join(lacking)}; {_EXPECTED}"
        )
    given = {key: arrays[key] for key in keys}
    masks = {
        key: _masks(name, key, array, nodes)
        for key, array in given.items()
        if keys[key][1] == "mask" or array.dtype == bool
    }
    numbers = {key: _numbers(name, key, given[key]) for key in keys if key not in masks}
    counts = {len(found) for found in masks.values()} - {1}
    if len(counts) > 1:
        each = ", ".join(f"{key}: {len(found)}" for key, found in masks.items())
        raise InputError(f"{name}: the masks are of different numbers of splits ({each})")
    count = max(counts, default=1)
    check_number(name, number, count)
    parts: dict[str, np.ndarray] = {}
    for key, (part, _) in keys.items():
        if key in masks:
            found = np.flatnonzero(masks[key][number if len(masks[key]) > 1 else 0])
        else:
            found = numbers[key]
        if not np.array_equal(np.sort(found), np.sort(parts.setdefault(part, found))):
            several = [each for each in keys if keys[each][0] == part]
            raise InputError(
                f"{name}: {' and '.join(several)} are not the same nodes; leave one out"
            )
    words = ", ".join(keys) + (f" (number {number} of 0…{count - 1})" if count > 1 else "")
    return Split(**parts), words


def check_number(name: str, number: int, count: int) -> None:
    """Refuse the number of a split that is not there.

    Raises:
        InputError: If it is not below the `count` of splits; 0 may always be asked for.
    """
    if number and not 0 <= number < count:
        have = {0: "no split of its own", 1: "one split, number 0"}
        raise InputError(
            f"{name} has {have.get(count, f'{count} splits, 0…{count - 1}')}; got "
            f"{spelled('split', number)}"
        )


def _masks(name: str, key: str, array: np.ndarray, nodes: int) -> np.ndarray:
    """A row for each split."""
    kind = array.dtype.kind
    if kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise InputError(f"{name}: {key} must be a mask, of truth values or of 0 and 1")
    if array.shape == (nodes, nodes) and nodes > 1:
        raise InputError(
            f"{name}: {key} has shape {array.shape}, whose rows and columns may both be splits; "
            "leave some out"
        )
    if array.ndim == 2 and array.shape[1] != nodes:
        array = array.T
    masks = np.atleast_2d(array)
    if array.ndim not in (1, 2) or masks.shape[1] != nodes or not len(masks):
        raise InputError(
            f"{name}: {key} must have shape ({nodes},), or (splits, {nodes}), got {array.shape}"
        )
    return masks


def _numbers(name: str, key: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise InputError(
            f"{name}: {key} must be numbers of nodes in a row, got {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.astype(np.int64)


def split_of_masks(train: ArrayLike, val: ArrayLike, test: ArrayLike) -> Split:
    """The split that three masks of nodes make.

    Raises:
        InputError: If they are no masks, or of different lengths.

    Example:
        >>> node = np.arange(4)
        >>> split_of_masks(node < 2, node == 2, node == 3).train.tolist()
        [0, 1]
    """
    masks = [np.asarray(mask) for mask in (train, val, test)]
    if any(mask.dtype != bool or mask.shape != masks[0].shape for mask in masks):
        found = ", ".join(f"{mask.dtype} {mask.shape}" for mask in masks)
        raise InputError(f"expected three masks of bool, one of each node, got {found}")
    return Split(*map(np.flatnonzero, masks))


def random_split(name: str, labels: np.ndarray, seed: int, *, held_out: int = 1000) -> Split:
    """20 nodes a class for training, 1,000 for the test, 1,000 for validation.

    Of a class with fewer than 40 nodes half are for training; where fewer than 2,000 nodes
    remain, the test and the validation share them.

    All three are taken in turn from one permutation of the nodes.

    Raises:
        InputError: If too few nodes remain to validate and test on.

    Example:
        >>> split = random_split("toy", np.arange(300) % 3, seed=0)
        >>> len(split.train), len(split.val), len(split.test)
        (60, 120, 120)
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[labels[order] >= 0]
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels[order])
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # in its class
    train = by_class[place < np.repeat(np.minimum(20, (counts + 1) // 2), counts)]
    rest = order[~np.isin(order, train)]
    if len(rest) < 2:
        raise InputError(
            f"{name}: {len(order)} nodes are too few: none would remain for validation and test"
        )
    tests = min(held_out, len(rest) // 2)
    return Split(np.sort(train), np.sort(rest[tests : tests + held_out]), np.sort(rest[:tests]))


def random_words(seed: int) -> str:
    """What a provenance says of `random_split`."""
    return f"random, seed {seed}, at most 20 a class for training"


def check_split(name: str, split: Split, labels: np.ndarray, needs_test: bool = True) -> None:
    """Refuse a split that is none.

    Args:
        name: Of the data set, for messages.
        split: The three parts.
        labels: Of all nodes.
        needs_test: Whether the test has to have nodes.

    Raises:
        InputError: If a part is empty, no list of nodes, or names nodes that are not there, in
            another part, or without a label.
    """
    nodes = len(labels)
    parts = {"training": split.train, "validation": split.val, "test": split.test}
    for what, part in parts.items():
        if not part.size and what == "test" and not needs_test:
            continue
        if not part.size:
            raise InputError(f"{name}: there are no {what} nodes")
        if part.ndim != 1 or part.dtype.kind not in "iu":
            raise InputError(
                f"{name}: expected numbers of {what} nodes, got {part.dtype} of shape {part.shape}"
            )
        if part.min() < 0 or part.max() >= nodes:
            raise InputError(
                f"{name}: expected {what} nodes in 0…{nodes - 1}, got {part.min()}…{part.max()}"
            )
        if (labels[part] < 0).any():
            raise InputError(
                f"{name}: {(labels[part] < 0).sum()} of the {what} nodes have no label, node "
                f"{part[labels[part] < 0][0]} the first"
            )
    found, times = np.unique(np.concatenate(list(parts.values())), return_counts=True)
    if (times > 1).any():
        raise InputError(
            f"{name}: {(times > 1).sum()} nodes are in the split more than once, "
            f"node {found[np.argmax(times > 1)]} the first"
        )
