"""What columns are divided by to have the standard deviation 1."""

import numpy as np

# Rounding keeps what was one number within so many units of the type's precision.
_UNITS = 4


def scale_of(columns: np.ndarray) -> np.ndarray:
    """The standard deviation of every column; 1 of one that is constant but for rounding.

    Args:
        columns: Shape (rows, …), floats.

    Example:
        >>> scale_of(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 2.0]])).round(2).tolist()
        [1.0, 0.82]
    """
    with np.errstate(over="ignore"):
        return unless_constant(columns.std(axis=0), columns.min(axis=0), columns.max(axis=0))


def unless_constant(deviation: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Standard deviations; 1 where all values are the same but for rounding.

    Args:
        deviation: Of every column.
        low: The least value of every column.
        high: The largest.

    Example:
        >>> unless_constant(np.array([1e-17, 2.0]), np.array([0.1, 1.0]), np.array([0.1, 5.0]))
        array([1., 2.])
    """
    rounding = _UNITS * np.finfo(deviation.dtype).eps * np.maximum(-low, high)
    return np.where((high - low > rounding) & (deviation > 0), deviation, 1)
