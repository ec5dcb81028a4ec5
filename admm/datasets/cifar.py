"""CIFAR-10 and CIFAR-100 in their binary versions.

A file is a sequence of records: the label (CIFAR-100: the coarse label, then the fine one), a byte
each, then 32×32 red bytes, as many green ones and as many blue ones, each row by row.

Source: www.cs.toronto.edu/~kriz/cifar.html.
"""

from pathlib import Path

import numpy as np

from admm.errors import InputError

_SIDE = 32
_LARGEST = 2**30


def read_cifar(path: Path, label_classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels, uint8 of shape (N, 32, 32, 3), and labels, int64 of shape (N,).

    Args:
        path: The file.
        label_classes: Classes of each label byte; the last label is the one that is returned:
            `(10,)` for CIFAR-10, `(20, 100)` for the fine labels of CIFAR-100.

    Raises:
        InputError: If the file is missing, empty, larger than 1 GiB or no whole number of records,
            or a label is out of range.
    """
    record = len(label_classes) + 3 * _SIDE**2
    try:
        size = path.stat().st_size
        if not 0 < size <= _LARGEST or size % record:
            raise InputError(
                f"{path}: expected records of {record:,} bytes, at most {_LARGEST:,} bytes, "
                f"got {size:,} bytes; fetch the binary version again"
            )
        records = np.fromfile(path, np.uint8, count=size).reshape(-1, record)
    except OSError as error:
        raise InputError(f"{path} is not a readable CIFAR file ({error})") from error
    labels, pixels = np.split(records, [len(label_classes)], axis=1)
    for classes, column in zip(label_classes, labels.T, strict=True):
        if column.max() >= classes:
            at = int(np.argmax(column >= classes))
            raise InputError(
                f"{path}: label {column[at]} of image {at} is out of range; "
                f"expected 0…{classes - 1}; fetch the binary version again"
            )
    images = pixels.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels[:, -1].astype(np.int64)
