"""Graphs in the gnn-benchmark `.npz` layout: CSR parts `adj_*` and `attr_*`, and `labels`.

Source: github.com/shchur/gnn-benchmark, data/npz. Arrays are read without pickles.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from admm.datasets.bounded import bound, parse_array, read_pieces
from admm.datasets.graph import Graph, checked_graph
from admm.datasets.sparse import checked_csr
from admm.errors import InputError

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def load_npz(name: str, path: Path, split_seed: int = 100) -> Graph:
    """Read one graph, with a random split of its nodes.

    Raises:
        InputError: If the file is missing, damaged or lacks an array, or an array is invalid, or
            if it unpacks to more than `bound` allows.
    """
    try:
        with open_archive(path) as archive:
            adjacency = read_csr(name, archive, "adj_")
            features = read_csr(name, archive, "attr_")
            labels = _read(name, archive, "labels")
        return checked_graph(name, adjacency, features, labels, split_seed=split_seed)
    except InputError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise InputError(f"{path} is not a readable .npz graph ({error!r})") from error


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive of arrays, unless it unpacks to too much.

    Raises:
        InputError: If so.
        Exception: If it is missing or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        total, most = sum(member.file_size for member in archive.infolist()), bound(path)
        if total > most:
            raise InputError(f"{path} unpacks to {total:,} bytes, expected at most {most:,}")
        if not {member.compress_type for member in archive.infolist()} <= _METHODS:
            raise ValueError("it is compressed in another way than NumPy does")
        yield archive


def _read(name: str, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    if f"{key}.npy" not in archive.namelist():
        names = sorted(each.removesuffix(".npy") for each in archive.namelist())
        raise InputError(f"{name}: no array {key!r} in the file; it has {names}")
    # In pieces: what the archive says of the size may not be true.
    with archive.open(f"{key}.npy") as file:
        return parse_array(key, read_pieces(file, archive.getinfo(f"{key}.npy").file_size))


def read_csr(name: str, archive: zipfile.ZipFile, prefix: str = "") -> sp.csr_array:
    """A sparse matrix from the arrays `data`, `indices`, `indptr` and `shape` of an archive.

    Raises:
        InputError: If one is missing, or they are not consistent.
        Exception: If the archive is damaged.
    """
    data, indices, indptr, shape = (
        _read(name, archive, f"{prefix}{part}") for part in ("data", "indices", "indptr", "shape")
    )
    try:
        return checked_csr(data, indices, indptr, shape)
    except ValueError as error:
        raise InputError(f"{name}: {prefix}* is not a valid CSR matrix ({error})") from error
