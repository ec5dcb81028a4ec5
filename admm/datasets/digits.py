"""The embedded data set: scikit-learn's handwritten digits, and their nearest-neighbour graph."""

from functools import cache

import numpy as np
import scipy.sparse as sp

from admm.datasets.graph import Contents
from admm.datasets.splits import check_number, random_split, random_words

_NEIGHBORS = 10


@cache
def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels 0…16 as float64, shape (1797, 64), and labels 0…9, int64; read-only.

    Example:
        >>> pixels, labels = read_digits()
        >>> pixels.shape, labels.shape
        ((1797, 64), (1797,))
    """
    from sklearn import datasets  # a second of imports that no other data set needs

    pixels, labels = datasets.load_digits(return_X_y=True)
    return _read_only(pixels), _read_only(labels.astype(np.int64))


@cache
def _nearest() -> np.ndarray:
    """The nearest images of each, nearest first, shape (1797, _NEIGHBORS); read-only."""
    pixels, _ = read_digits()
    # Pixels are small integers, so that keys are exact; of equally near images the first is first.
    squares = np.sum(pixels**2, axis=1)
    distances = squares[:, None] + squares - 2 * pixels @ pixels.T
    np.fill_diagonal(distances, np.inf)
    keys = distances * len(pixels) + np.arange(len(pixels))
    fewest = np.sort(np.partition(keys, _NEIGHBORS, axis=1)[:, :_NEIGHBORS], axis=1)
    return _read_only((fewest % len(pixels)).astype(np.int64))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def load_digits(split_seed: int = 100, number: int = 0) -> Contents:
    """1,797 images of 8×8 pixels, each linked to its 10 nearest in pixel space, 10 classes.

    The graph uses no label. Split: 20 a class for training, 500 for validation, 500 for the test;
    drawn, so that there is no other `number` of it.

    Raises:
        InputError: If there is no split of this number.

    Example:
        >>> load_digits().features.shape
        (1797, 64)
    """
    check_number("digits", number, 0)
    pixels, labels = read_digits()
    nearest = _nearest()
    starts = np.arange(0, nearest.size + 1, _NEIGHBORS)
    graph = sp.csr_array((np.ones(nearest.size), nearest.reshape(-1), starts))
    split = random_split("digits", labels, split_seed, held_out=500)
    features = sp.csr_array((pixels / 16).astype(np.float32))
    return Contents(graph, features, labels, split, random_words(split_seed))
