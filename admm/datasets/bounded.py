"""Reading files without trusting what they announce: memory is taken for what is there."""

import gzip
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

# A file may unpack to so many bytes, or to so many times its own size.
_LARGEST, _RATIO = 2**27, 20
_PIECE = 2**20


class PickledError(ValueError):
    """An array has Python objects: to read them is to run what is in the file."""


def bound(path: Path) -> int:
    """Bytes that a file may unpack to: 128 MiB, or 20 times its size where that is more."""
    return max(_LARGEST, _RATIO * path.stat().st_size)


@contextmanager
def unzipped(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file to read from; its first bytes tell if it is gzipped, whatever its name.

    Raises:
        OSError: If it cannot be opened.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        yield gzip.GzipFile(fileobj=file) if zipped else file


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a file, gzipped or not.

    Args:
        path: The file.
        most: Bytes that it may unpack to, `bound(path)` by default.

    Raises:
        ValueError: If it unpacks to more.
        Exception: If it cannot be read or unpacked.
    """
    with unzipped(path) as file:
        return read_pieces(file, bound(path) if most is None else most)


def read_pieces(source: Any, most: int) -> bytes:
    """All that a file gives, which may unpack what it reads.

    Args:
        source: A file object of bytes.
        most: Bytes that it may give.

    Raises:
        ValueError: If it gives more.
    """
    content = bytearray()
    while piece := source.read(_PIECE):
        content += piece
        if len(content) > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
    return bytes(content)


def parse_array(name: str, content: bytes) -> np.ndarray:
    """An array from the `.npy` format, once it is certain that all of its bytes are there.

    Raises:
        PickledError: If they are Python objects.
        ValueError: If they are not there.
        Exception: If the content is not in this format.
    """
    file = io.BytesIO(content)
    shape, fortran_order, dtype = parse_header(name, file)
    elements = memoryview(content)[file.tell() :]
    if len(elements) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: {len(elements):,} bytes for shape {shape} of {dtype}")
    array = np.frombuffer(elements, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def parse_header(name: str, file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type of an array in the `.npy` format; its elements come next.

    Raises:
        PickledError: If they are Python objects.
        Exception: If the content is not in this format.
    """
    version = np.lib.format.read_magic(file)
    if version > (2, 0):
        raise ValueError(f"{name} has the .npy format {version}; expected 1 or 2")
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran_order, dtype = header(file)
    if dtype.hasobject:
        raise PickledError(f"{name} has Python objects, which are not read")
    return shape, fortran_order, dtype
