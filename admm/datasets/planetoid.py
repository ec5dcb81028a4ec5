"""Planetoid files `ind.NAME.*` (Cora, Citeseer, PubMed), with their public split.

The files are Python 2 pickles. They are read with an unpickler that constructs numpy arrays,
scipy.sparse matrices and dictionaries, and refuses every other type.

Source: github.com/kimiyoung/planetoid. Isolated test nodes that are missing from the index
(Citeseer) keep their place with zero features and label 0, in no split.
"""

import io
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from admm.datasets.graph import Graph, Split, checked_graph
from admm.errors import InputError

_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes the bytes of an array."""
    return text.encode("latin1")


# The names of Python 2, and those of today for files that were written again.
_reconstruct = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("scipy.sparse.csr", "csr_matrix"): sp.csr_matrix,
    ("scipy.sparse._csr", "csr_matrix"): sp.csr_matrix,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused to construct {module}.{name}")
        return _ALLOWED[module, name]


def planetoid_files(name: str) -> list[str]:
    """Names of the upstream files of one data set."""
    return [f"ind.{name}.{part}" for part in (*_PARTS, "test.index")]


def load_planetoid(name: str, files: dict[str, Path]) -> Graph:
    """Read one Planetoid data set.

    Args:
        name: `cora`, `citeseer` or `pubmed`.
        files: Path of each of `planetoid_files(name)`.

    Raises:
        InputError: If a file is damaged, holds other types, or the shapes do not fit together.
    """
    x, tx, allx, y, ty, ally, links = (_unpickle(files[f"ind.{name}.{part}"]) for part in _PARTS)
    index = _read_index(files[f"ind.{name}.test.index"])
    try:
        first, nodes = len(ally), max(int(index.max()) + 1, len(links))
        if index.min() < first or len(index) != tx.shape[0]:
            raise ValueError(f"{len(index)} test nodes from {index.min()} on")
        features = sp.lil_array((nodes, allx.shape[1]), dtype=np.float32)
        features[:first], features[index] = allx, tx
        labels = np.zeros(nodes, np.int64)
        labels[:first], labels[index] = np.argmax(ally, axis=1), np.argmax(ty, axis=1)
        ends = [(node, other) for node, others in links.items() for other in others]
        row, col = np.array(ends).T
        adjacency = sp.csr_array((np.ones(len(row)), (row, col)), shape=(nodes, nodes))
        trained = x.shape[0]
        split = Split(np.arange(trained), np.arange(trained, trained + 500), np.sort(index))
        if trained + 500 > first or y.shape != (trained, ally.shape[1]):
            raise ValueError(f"{trained} training nodes among {first}")
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{name}: the Planetoid files do not fit together ({error}); fetch them again"
        ) from error
    return checked_graph(name, adjacency, sp.csr_array(features), labels, split)


def _unpickle(path: Path) -> Any:
    try:
        return _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{path} is not a readable Planetoid file ({error}); fetch it again"
        ) from error


def _read_index(path: Path) -> np.ndarray:
    try:
        index = np.array(path.read_text().split(), dtype=np.int64)
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} must hold one node number a line ({error})") from error
    if not len(index) or len(np.unique(index)) != len(index):
        raise InputError(f"{path} must hold distinct node numbers, got {len(index)} lines")
    return index
