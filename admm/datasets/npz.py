"""Graphs in the gnn-benchmark `.npz` layout: CSR parts `adj_*` and `attr_*`, and `labels`.

Source: github.com/shchur/gnn-benchmark, data/npz. Arrays are read without pickles.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from admm.datasets.graph import Graph, checked_graph
from admm.errors import InputError

# What np.load and the archive behind it raise at damaged or foreign files.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npz(name: str, path: Path, split_seed: int = 100) -> Graph:
    """Read one graph, with a random split of its nodes.

    Raises:
        InputError: If the file is missing, damaged or lacks an array, or an array is invalid.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            adjacency = _read_csr(name, archive, "adj")
            features = _read_csr(name, archive, "attr")
            labels = _read(name, archive, "labels")
    except _DAMAGE as error:
        raise InputError(f"{path} is not a readable .npz graph ({error})") from error
    return checked_graph(name, adjacency, features, labels, split_seed=split_seed)


def _read(name: str, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    if key not in archive:
        raise InputError(f"{name}: no array {key!r} in the file; it has {sorted(archive)}")
    return archive[key]


def _read_csr(name: str, archive: np.lib.npyio.NpzFile, prefix: str) -> sp.csr_array:
    data, indices, indptr, shape = (
        _read(name, archive, f"{prefix}_{part}") for part in ("data", "indices", "indptr", "shape")
    )
    if shape.shape != (2,) or not np.issubdtype(shape.dtype, np.integer) or (shape < 0).any():
        raise InputError(f"{name}: {prefix}_shape must be two numbers, got {shape}")
    if indptr.shape != (shape[0] + 1,):
        raise InputError(
            f"{name}: {prefix}_indptr must have {shape[0] + 1} elements for {prefix}_shape "
            f"{tuple(map(int, shape))}, got shape {indptr.shape}"
        )
    try:
        matrix = sp.csr_array((data, indices, indptr), shape=tuple(map(int, shape)))
        matrix.check_format(full_check=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {prefix}_* is not a valid CSR matrix ({error})") from error
    return matrix
