"""Graphs in the gnn-benchmark `.npz` layout: CSR parts `adj_*` and `attr_*`, and `labels`.

Source: github.com/shchur/gnn-benchmark, data/npz. Arrays are read without pickles.
"""

import math
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from admm.datasets.graph import Graph, checked_graph
from admm.datasets.sparse import checked_csr
from admm.errors import InputError

# An archive may unpack to so many bytes, and to so many times its own size.
_LARGEST, _RATIO = 2**30, 100


def load_npz(name: str, path: Path, split_seed: int = 100) -> Graph:
    """Read one graph, with a random split of its nodes.

    Raises:
        InputError: If the file is missing, damaged or lacks an array, or an array is invalid, or
            if it unpacks to more than 1 GiB and 100 times its own size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bound = max(_LARGEST, _RATIO * path.stat().st_size)
            total = sum(member.file_size for member in archive.infolist())
            if total > bound:
                raise InputError(f"{path} unpacks to {total:,} bytes, expected at most {bound:,}")
            adjacency = _read_csr(name, archive, "adj")
            features = _read_csr(name, archive, "attr")
            labels = _read(name, archive, "labels")
        return checked_graph(name, adjacency, features, labels, split_seed=split_seed)
    except InputError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise InputError(f"{path} is not a readable .npz graph ({error!r})") from error


def _read(name: str, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """An array, once it is certain that the file has all of its bytes."""
    if f"{key}.npy" not in archive.namelist():
        names = sorted(each.removesuffix(".npy") for each in archive.namelist())
        raise InputError(f"{name}: no array {key!r} in the file; it has {names}")
    with archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        if version > (2, 0):
            raise ValueError(f"{key} has the .npy format {version}; expected 1 or 2")
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{key} has Python objects, which are not read")
        content = file.read()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{key}: {len(content):,} bytes for shape {shape} of {dtype}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def _read_csr(name: str, archive: zipfile.ZipFile, prefix: str) -> sp.csr_array:
    data, indices, indptr, shape = (
        _read(name, archive, f"{prefix}_{part}") for part in ("data", "indices", "indptr", "shape")
    )
    try:
        return checked_csr(data, indices, indptr, shape)
    except ValueError as error:
        raise InputError(f"{name}: {prefix}_* is not a valid CSR matrix ({error})") from error
