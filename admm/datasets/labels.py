"""Labels as files have them, and the classes 0…C−1 that a network learns."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from admm.errors import InputError

ClassName = bool | int | str

# What an empty place of a table turns into, where it is made text.
_BLANK = ("", "nan")
_LARGEST = 2.0**53  # beyond, floats skip whole numbers


class Labels(NamedTuple):
    """The class of every node.

    Attributes:
        numbers: Shape (nodes,), int64, classes 0…C−1; −1 where a node has none.
        class_names: The labels as they were given, in the order of 0…C−1.
        words: What was done to them; empty where they are as they were.
    """

    numbers: np.ndarray
    class_names: tuple[ClassName, ...]
    words: str = ""


def read_labels(name: str, labels: Any, plain: bool = False) -> Labels:
    """Number the classes from 0, in the order of their labels.

    Labels are whole numbers, truth values or text (bytes are UTF-8), shape (nodes,), (nodes, 1) or
    (1, nodes), or one-hot rows, sparse or dense, shape (nodes, C). None of them have −1, NaN,
    `None`, masked elements, empty text, `"nan"`, and rows of zeros. Where −1 and 1 are the only
    values, −1 is a class.

    Without a graph nothing is to be learned from rows that have no label. So in plain rows every
    number is a class, −1 and below too, and every row needs one.

    Args:
        name: Of the data set, for messages.
        labels: Anything like an array, a sparse matrix, or `Labels`, which are returned.
        plain: Whether they are of plain rows, not of the nodes of a graph.

    Raises:
        InputError: If they are of another type or shape, fractions or infinite, of nodes below −1,
            if a node has several, a plain row none, or there are less than two classes.

    Example:
        >>> found = read_labels("toy", ["b", "a", "", "b"])
        >>> found.numbers.tolist(), found.class_names
        ([1, 0, -1, 1], ('a', 'b'))
        >>> read_labels("toy", [[0, 1], [1, 0], [0, 0]]).numbers.tolist()
        [1, 0, -1]
        >>> read_labels("toy", [-1, 0, 1]).numbers.tolist()
        [-1, 0, 1]
        >>> read_labels("toy", [-1, 0, 1], plain=True).numbers.tolist()
        [0, 1, 2]
    """
    if isinstance(labels, Labels):
        return labels
    if sp.issparse(labels):
        entries = sp.coo_array(labels)
        return _one_hot(name, entries.shape, entries.row, entries.col, entries.data, plain)
    masked = np.ma.getmaskarray(labels) if isinstance(labels, np.ma.MaskedArray) else None
    try:
        array = np.asarray(labels)
        if array.dtype.kind == "U" and not hasattr(labels, "dtype"):
            array = np.asarray(labels, object)  # NumPy makes text of numbers beside text
    except ValueError as error:
        raise InputError(f"{name}: labels must be like an array ({error})") from error
    if array.ndim == 2 and 1 in array.shape:
        array, masked = array.ravel(), None if masked is None else masked.ravel()
    if array.ndim == 2 and masked is None and array.dtype.kind in "biuf":
        rows, columns = np.nonzero(array)
        return _one_hot(name, array.shape, rows, columns, array[rows, columns], plain)
    if array.ndim != 1:
        raise InputError(f"{name}: expected one label for each node, got shape {array.shape}")
    known = np.ones(len(array), bool) if masked is None else ~masked
    if array.dtype.kind in "OT":  # Python objects, and NumPy's text of any length
        array, known = _plain(name, array, known)
    if array.dtype.kind in "US":
        array, known = _texts(name, array, known)
    elif array.dtype.kind in "iuf":
        array, known = _whole(name, array, known, plain)
    elif array.dtype.kind != "b":
        raise InputError(
            f"{name}: labels must be whole numbers, truth values or text, got {array.dtype}"
        )
    return _numbered(name, array, known, plain)


def _numbered(name: str, array: np.ndarray, known: np.ndarray, plain: bool) -> Labels:
    if plain and not known.all():
        raise InputError(
            f"{name}: {(~known).sum():,} of {len(known):,} rows have no label, row "
            f"{np.argmin(known)} the first; only nodes of a graph may have none: leave these out"
        )
    present, places = np.unique(array[known], return_inverse=True)
    try:
        names = tuple(present.tolist())
        "".join(map(str, names)).encode()
    except ValueError as error:  # code points that are none
        raise InputError(f"{name}: labels are not valid text ({error})") from error
    if len(names) < 2:
        raise InputError(f"{name}: expected at least two classes, got the labels {list(names)}")
    numbers = np.full(len(array), -1, np.int64)
    numbers[known] = places
    if present.dtype.kind in "iu" and names == tuple(range(len(names))):
        return Labels(numbers, names)
    words = f"mapped from {_listed(names)}"
    if names == (-1, 1) and not plain:
        words += " (−1 is a class, as there is no other value)"
    return Labels(numbers, names, words)


def _one_hot(
    name: str,
    shape: tuple[int, ...],
    rows: np.ndarray,
    columns: np.ndarray,
    data: np.ndarray,
    plain: bool,
) -> Labels:
    there = data != 0
    rows, columns, data = rows[there], columns[there], data[there]
    if (data != 1).any():
        raise InputError(
            f"{name}: labels of shape {shape} must be rows of zeros and a one, got "
            f"{data[data != 1][0]}"
        )
    several = np.flatnonzero(np.bincount(rows, minlength=shape[0]) > 1)
    if len(several):
        raise InputError(
            f"{name}: {len(several):,} nodes have several labels, node {several[0]} the first; "
            "every node needs one class, or none"
        )
    found = np.full(shape[0], -1, np.int64)
    found[rows] = columns
    labels = _numbered(name, found, found >= 0, plain)
    return labels._replace(words=labels.words and f"{labels.words}, the columns of ones")


def _plain(name: str, array: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An array of text or of numbers, of Python objects."""
    values = [value.item() if isinstance(value, np.generic) else value for value in array.tolist()]
    blank = [value is None or (isinstance(value, float) and np.isnan(value)) for value in values]
    known = known & ~np.array(blank, bool)
    rest = [value for value, there in zip(values, known, strict=True) if there]
    texts = sum(isinstance(value, str) for value in rest)
    simple = all(isinstance(value, str | bool | int | float) for value in rest)
    if not simple or texts not in (0, len(rest)):
        raise InputError(f"{name}: labels must be all numbers or all text, got Python objects")
    plain = np.array(rest or [0])
    if plain.dtype.kind == "O":
        raise InputError(f"{name}: labels are beyond the whole numbers of 64 bits")
    whole = np.zeros(len(array), plain.dtype)
    whole[known] = plain[: len(rest)]
    return whole, known


def _texts(name: str, array: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: labels are not valid text ({error})") from error
    return array, known & ~np.isin(array, _BLANK)


def _whole(
    name: str, array: np.ndarray, known: np.ndarray, plain: bool
) -> tuple[np.ndarray, np.ndarray]:
    if array.dtype.kind == "f":
        array = array.astype(np.result_type(array, np.float32))  # float16 does not reach `_LARGEST`
        known = known & ~np.isnan(array)
        wrong = known & ~((np.abs(array) < _LARGEST) & (array == np.round(array)))
        if wrong.any():
            at = int(np.argmax(wrong))
            where = "row" if plain else "node"
            hint = "leave out rows without one" if plain else "NaN or −1 where a node has none"
            raise InputError(
                f"{name}: labels must be whole numbers, got {array[at]} at {where} {at}; {hint}"
            )
        array = np.where(known, array, 0).astype(np.int64)
    if plain:
        return array, known
    if set(np.unique(array[known]).tolist()) != {-1, 1}:
        known = known & (array != -1)
    if known.any() and array[known].min() < -1:
        raise InputError(
            f"{name}: label {array[known].min()} is out of range; expected classes from 0, and −1 "
            "where a node has none"
        )
    return array, known


def _listed(names: tuple[ClassName, ...]) -> str:
    """Names of classes, in a few words."""
    first, last = names[0], names[-1]
    if all(type(each) is int for each in names) and int(last) - int(first) == len(names) - 1:
        return f"{first}…{last}"
    texts = [f"{each!r:.24}" for each in names]
    if len(texts) > 5:
        texts[2:-1] = ["…"]
    return ", ".join(texts)
