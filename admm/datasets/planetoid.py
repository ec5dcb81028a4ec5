"""Planetoid files `ind.NAME.*` (Cora, Citeseer, PubMed), with their public split.

The files are Python 2 pickles, or what NumPy and SciPy of today make of them, of any protocol. They
are read with an unpickler that constructs numpy arrays and numbers, dictionaries, lists, sets and
the attributes of CSR and CSC matrices, and refuses every other type. Matrices are made of the
attributes once these are known to be consistent.

Source: github.com/kimiyoung/planetoid. Isolated test nodes that are missing from the index
(Citeseer) keep their place with zero features and label 0, in no split.
"""

import io
import pickle
import pickletools
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from admm.datasets.graph import Contents
from admm.datasets.sparse import checked_csr
from admm.datasets.splits import Split, check_number
from admm.errors import InputError

_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes the bytes of an array."""
    return text.encode("latin1")


class _Array:
    """Stands for the type of an array: an argument, nothing to call."""


class _Matrix:
    """Takes the attributes of a CSR matrix, which `_checked` makes one of."""


class _Transposed(_Matrix):
    """Those of a CSC matrix."""


def _reconstruct(kind: _Array, shape: object, code: object) -> np.ndarray:
    """An array to be filled by its state."""
    return np.empty(0, np.int8)


def _frombuffer(
    content: Any, dtype: np.dtype, shape: Any, order: str, axes: Any = None
) -> np.ndarray:
    """How protocol 5 writes arrays; the copy does not keep the bytes of the pickle."""
    array = np.frombuffer(content, dtype)
    if axes is not None:
        return array.reshape(shape, order="C").transpose(axes).copy()
    return array.reshape(shape, order="F" if order == "F" else "C").copy()


def _scalar(dtype: np.dtype, content: Any) -> Any:
    """A number of NumPy."""
    return np.frombuffer(content, dtype, count=1)[0]


# The names of Python 2, of the years since, and of today.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "defaultdict"): defaultdict,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): _Array(),
    ("numpy", "dtype"): np.dtype,
    **{
        (module, kind.__name__): kind
        for module in ("__builtin__", "builtins")
        for kind in (list, set, frozenset)
    },
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
    **{
        (f"scipy.sparse.{module}", f"{module.strip('_')}_{kind}"): form
        for module, form in (
            ("csr", _Matrix),
            ("_csr", _Matrix),
            ("csc", _Transposed),
            ("_csc", _Transposed),
        )
        for kind in ("matrix", "array")
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused to construct {module}.{name}")
        return _ALLOWED[module, name]


def planetoid_files(name: str) -> tuple[str, ...]:
    """Names of the upstream files of one data set."""
    return tuple(f"ind.{name}.{part}" for part in (*_PARTS, "test.index"))


def load_planetoid(name: str, files: dict[str, Path], number: int = 0) -> Contents:
    """Read one Planetoid data set.

    Args:
        name: As in the names of its files.
        files: Path of each of `planetoid_files(name)`.
        number: Of the split, of which there is one.

    Raises:
        InputError: If a file is damaged, holds other types, the shapes do not fit together, or
            there is no split of this number.
    """
    check_number(name, number, 1)
    x, tx, allx, y, ty, ally, links = (_unpickle(files[f"ind.{name}.{part}"]) for part in _PARTS)
    index = _read_index(files[f"ind.{name}.test.index"])
    try:
        x, tx, allx = map(_checked, (x, tx, allx))
        first, nodes = len(ally), max(int(index.max()) + 1, len(links))
        if index.min() < first or len(index) != tx.shape[0] or nodes > 2 * (first + len(index)):
            raise ValueError(f"{len(index)} test nodes from {index.min()} to {index.max()}")
        features = sp.lil_array((nodes, allx.shape[1]), dtype=np.float32)
        features[:first], features[index] = allx, tx
        labels = np.zeros(nodes, np.int64)
        labels[:first], labels[index] = _classes(ally), _classes(ty)
        ends = [(node, other) for node, others in links.items() for other in others]
        row, col = np.array(ends, np.int64).T
        adjacency = sp.coo_array((np.ones(len(row)), (row, col)), shape=(nodes, nodes))
        trained = x.shape[0]
        split = Split(np.arange(trained), np.arange(trained, trained + 500), np.sort(index))
        if trained + 500 > first or y.shape != (trained, ally.shape[1]):
            raise ValueError(f"{trained} training nodes among {first}")
        said = {}
        if missing := nodes - first - len(index):
            said["isolated"] = f"{missing:,} nodes beside the test index, class 0, in no part"
        words = "upstream's public one"
        return Contents(adjacency, sp.csr_array(features), labels, split, words, said)
    except InputError:
        raise
    except Exception as error:  # files of anything but the right types may raise anything
        raise InputError(
            f"{name}: the Planetoid files do not fit together ({error!r}); fetch them again"
        ) from error


def _checked(found: Any) -> sp.csr_array:
    """The sparse matrix of these attributes, or of a dense array.

    Raises:
        Exception: If they are not those of one.
    """
    if isinstance(found, np.ndarray) and found.size:
        return sp.csr_array(found.astype(np.float64))
    state = vars(found)
    shape = state["_shape"] if "_shape" in state else state["shape"]
    if isinstance(found, _Transposed):
        parts = (state["data"], state["indices"], state["indptr"])
        return sp.csr_array(checked_csr(*parts, tuple(shape)[::-1]).T)
    return checked_csr(state["data"], state["indices"], state["indptr"], shape)


def _classes(rows: np.ndarray) -> np.ndarray:
    """The class of each of some one-hot rows; −1 of a row of zeros.

    Raises:
        ValueError: If they are none.
    """
    ones = np.asarray(rows) != 0
    if ones.ndim != 2 or not ones.size or (ones.sum(axis=1) > 1).any():
        raise ValueError("labels are not one-hot")
    return np.where(ones.any(axis=1), np.argmax(ones, axis=1), -1)


def _unpickle(path: Path) -> Any:
    try:
        content = path.read_bytes()
        _check_memo(content)
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{path} is not a readable Planetoid file ({error}); fetch it again"
        ) from error


def _check_memo(content: bytes) -> None:
    """Refuse a memo of more places than the file has bytes: they would all be allocated.

    Raises:
        ValueError: If so, or if the file is no pickle.
    """
    for code, argument, _ in pickletools.genops(content):
        if code.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise ValueError(f"place {argument} of the memo of a file of {len(content)} bytes")


def _read_index(path: Path) -> np.ndarray:
    try:
        index = np.array(path.read_text().split(), dtype=np.int64)
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} must hold one node number a line ({error})") from error
    if not len(index) or len(np.unique(index)) != len(index):
        raise InputError(f"{path} must hold distinct node numbers, got {len(index)} lines")
    return index
