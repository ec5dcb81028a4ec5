"""The embedded data set: scikit-learn's handwritten digits with a nearest-neighbour graph."""

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits as sklearn_digits
from sklearn.neighbors import kneighbors_graph

from admm.datasets.graph import Graph, checked_graph, random_split

_NEIGHBORS = 10


def load_digits(split_seed: int = 100) -> Graph:
    """1,797 images of 8×8 pixels, each linked to its 10 nearest in pixel space, 10 classes.

    The graph uses no label. Split: 20 a class for training, 500 for validation, 500 for the test.

    Example:
        >>> graph = load_digits()
        >>> graph.nodes, graph.features.shape[1], graph.classes
        (1797, 64, 10)
    """
    pixels, labels = sklearn_digits(return_X_y=True)
    graph = kneighbors_graph(pixels, _NEIGHBORS)
    split = random_split("digits", labels, split_seed, held_out=500)
    features = sp.csr_array((pixels / 16).astype(np.float32))
    return checked_graph("digits", sp.csr_array(graph), features, labels, split)
