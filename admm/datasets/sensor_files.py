"""Reading archives of sensors: what every loader of them checks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from admm.datasets.archive import Archive, Arrays, open_archive, take
from admm.errors import InputError
from admm.files import reading

_WORDS = {"f": "real numbers", "i": "whole numbers", "iu": "whole numbers", "U": "text"}
_WORDS["fiu"] = "real numbers"


@contextmanager
def reading_arrays(path: Path) -> Iterator[Archive]:
    """The arrays of an archive; whatever is wrong with the file is an `InputError`.

    Raises:
        InputError: If it is missing or damaged, has Python objects, or unpacks to too much.
    """
    try:
        with reading(path), open_archive(path) as archive:
            yield archive
    except InputError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        told = str(error) if isinstance(error, ValueError) else repr(error)
        raise InputError(f"{path} is not a readable .npz file of sensors ({told})") from error


def texts(path: Path, arrays: Arrays, key: str) -> tuple[str, ...]:
    """Names, from an array of text.

    Raises:
        InputError: If it is not there, or is no row of text.
    """
    found = take(str(path), arrays, key)
    check_shape(path, key, found, (None,), "U")
    return tuple(found.tolist())


def check_shape(
    path: Path, key: str, array: np.ndarray, shape: tuple[int | None, ...], kinds: str
) -> None:
    """Refuse an array of another shape, or of another kind.

    Args:
        path: Of the file.
        key: Of the array.
        array: What is there.
        shape: None stands for any number.
        kinds: Of NumPy's types.

    Raises:
        InputError: If it is such.

    Example:
        >>> check_shape(Path("a.npz"), "x", np.zeros((3, 2)), (None, 2), "f")
    """
    sizes = array.shape
    fits = len(sizes) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, sizes, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        expected = " × ".join("any" if size is None else str(size) for size in shape)
        raise InputError(
            f"{path}: expected {key} of {_WORDS[kinds]}, {expected or 'a single one'}; got "
            f"{array.dtype} of shape {sizes}"
        )
