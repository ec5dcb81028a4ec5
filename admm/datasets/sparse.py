"""Sparse matrices from the parts that a file has of them."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from admm.errors import InputError


def float_type(dtype: np.dtype) -> type[np.floating]:
    """The floating type that holds numbers of this one, and that SciPy knows."""
    small = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.float32 if small else np.float64


def checked_csr(data: Any, indices: Any, indptr: Any, shape: Any) -> sp.csr_array:
    """A CSR matrix, once its parts are known to be consistent.

    SciPy's compiled loops trust them: inconsistent ones read and write beyond their arrays.

    Raises:
        ValueError: If they are not; the message says which.

    Example:
        >>> checked_csr(np.ones(2), np.array([1, 0]), np.array([0, 1, 2]), (2, 2)).toarray()
        array([[0., 1.],
               [1., 0.]])
    """
    shape = np.asarray(shape)
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise ValueError(f"shape must be two numbers, got {shape}")
    rows, columns = map(int, shape)
    parts = {"data": data, "indices": indices, "indptr": indptr}
    for name, part in parts.items():
        kinds = "biuf" if name == "data" else "iu"
        if not isinstance(part, np.ndarray) or part.ndim != 1 or part.dtype.kind not in kinds:
            raise ValueError(
                f"{name} must be {'numbers' if name == 'data' else 'integers'} in a row"
            )
    if indptr.shape != (rows + 1,):
        raise ValueError(
            f"indptr must have {rows + 1} elements for shape {(rows, columns)}, "
            f"got shape {indptr.shape}"
        )
    if len(data) != len(indices):
        raise ValueError(f"got {len(data)} data for {len(indices)} indices")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < columns:
        raise ValueError(f"indices must be in 0…{columns - 1}")
    if indptr[0] != 0 or indptr[-1] != len(indices) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"indptr must rise from 0 to {len(indices)}")
    # In a type of its own, in the machine's byte order.
    numbers = (
        data.astype(float_type(data.dtype)),
        indices.astype(np.int64),
        indptr.astype(np.int64),
    )
    return sp.csr_array(numbers, shape=(rows, columns))


def real_matrix(name: str, what: str, given: Any) -> Any:
    """A sparse matrix, or an array, of real numbers of a type that SciPy knows.

    Args:
        name: Of the data set, for messages.
        what: The numbers are, for messages.
        given: Sparse, or like an array.

    Raises:
        InputError: If they are no real numbers.
    """
    matrix = given if sp.issparse(given) else np.asarray(given)
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"{name}: {what} must be real numbers, got dtype {matrix.dtype}")
    if sp.issparse(matrix):
        return matrix
    native = matrix.dtype.newbyteorder("=")
    return matrix.astype(np.float32 if native == np.float16 else native, copy=False)
