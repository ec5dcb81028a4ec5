"""IDX files of unsigned bytes, the format of MNIST, gzipped or not.

A header of big-endian numbers (two zero bytes, the type 8, the number of dimensions, the size of
each dimension in four bytes), then the elements, last dimension fastest.
"""

import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from admm.datasets.bounded import read_pieces, unzipped
from admm.errors import InputError

_LARGEST = 2**30


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an array of uint8.

    At most 1 MiB more than the header announces is read or decompressed.

    Args:
        path: The file; its first bytes tell if it is gzipped, whatever its name.
        dimensions: How many the array must have: three for images, one for labels.

    Raises:
        InputError: If the file is missing, damaged, of another type or shape than expected,
            shorter or longer than its header says, or announces more than 1 GiB.
    """
    try:
        with unzipped(path) as file:
            return _read(path, file, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a readable IDX file ({error}); fetch it again") from error


def _read(path: Path, file: io.BufferedIOBase, dimensions: int) -> np.ndarray:
    magic = bytes([0, 0, 8, dimensions])
    header = file.read(4 + 4 * dimensions)
    if header[:4] != magic:
        raise InputError(
            f"{path}: expected an IDX file of unsigned bytes with dimension {dimensions}, which "
            f"begins with {magic.hex(' ')}, got {header[:4].hex(' ') or 'an empty file'}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise InputError(f"{path} ends within its header of {4 + 4 * dimensions} bytes")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    announced = f"{path}: the header announces {size:,} bytes, shape {shape}"
    if not 0 < size <= _LARGEST:
        raise InputError(f"{announced}; expected between 1 and {_LARGEST:,}")
    try:
        content = read_pieces(file, size)
    except ValueError as error:
        raise InputError(f"{announced}, got more; fetch the file again") from error
    if len(content) < size:
        raise InputError(f"{announced}, got {len(content):,}; fetch the file again")
    return np.frombuffer(content, np.uint8).reshape(shape)
