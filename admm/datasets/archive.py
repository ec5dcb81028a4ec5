"""Archives of arrays, `.npz`, read an array at a time, without pickles and within bounds."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

from admm.datasets.bounded import bound, parse_array, parse_header, read_pieces
from admm.datasets.sparse import checked_csr
from admm.errors import InputError

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_SUFFIX = ".npy"
CSR = ("data", "indices", "indptr", "shape")


@runtime_checkable
class Arrays(Protocol):
    """Arrays by name, which are read when they are asked for."""

    def __getitem__(self, key: str, /) -> np.ndarray: ...

    def __contains__(self, key: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...


class Archive(Arrays):
    """The arrays of a file. Limits are those of what is read of it, not of what is there.

    Raises:
        InputError: If the arrays that were read unpack to more than `bound` allows.
        ValueError: If one is compressed in another way than NumPy does, or has Python objects.
        Exception: If one is damaged.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._members = {
            each.filename.removesuffix(_SUFFIX): each
            for each in archive.infolist()
            if each.filename.endswith(_SUFFIX)
        }
        self._read = 0

    def __getitem__(self, key: str) -> np.ndarray:
        member, most = self._members[key], bound(self._path)
        self._read += member.file_size
        if self._read > most:
            raise InputError(
                f"{self._path} unpacks to {self._read:,} bytes, expected at most {most:,}"
            )
        # In pieces: what the archive says of the size may not be true.
        with self._opened(member) as file:
            return parse_array(key, read_pieces(file, member.file_size))

    def outline(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array, of which no element is read."""
        with self._opened(self._members[key]) as file:
            shape, _, dtype = parse_header(key, file)
        return shape, dtype

    def _opened(self, member: zipfile.ZipInfo) -> Any:
        if member.compress_type not in _METHODS:
            raise ValueError("it is compressed in another way than NumPy does")
        return self._archive.open(member)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive of arrays.

    Raises:
        Exception: If it is missing or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        yield Archive(path, archive)


def take(name: str, arrays: Arrays, key: str) -> np.ndarray:
    """One of a file's arrays.

    Raises:
        InputError: If it is not there.
    """
    if key not in arrays:
        raise InputError(f"{name}: no array {key!r} in the file; it has {sorted(arrays)}")
    return arrays[key]


def read_csr(name: str, arrays: Arrays, prefix: str = "") -> sp.csr_array:
    """A sparse matrix from the arrays `data`, `indices`, `indptr` and `shape` of a file.

    Raises:
        InputError: If one is missing, or they are not consistent.
        Exception: If the file is damaged.
    """
    parts = (take(name, arrays, f"{prefix}{part}") for part in CSR)
    try:
        return checked_csr(*parts)
    except ValueError as error:
        raise InputError(f"{name}: {prefix}* is not a valid CSR matrix ({error})") from error
