"""A node-classification graph: its arrays, their validation, and random splits."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from admm.errors import InputError

# Inputs are dense, so that so many are more than anybody has memory for.
_MOST_FEATURES = 2**24


class Split(NamedTuple):
    """Disjoint node indices for training, model selection and the final test."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Graph:
    """An undirected graph with node features and classes.

    Args:
        name: For messages and summaries.
        adjacency: Shape (nodes, nodes), symmetric, zeros and ones, no self-loops.
        features: Shape (nodes, d), sparse.
        labels: Shape (nodes,), classes 0…C−1; −1 where a node has none.
        split: Training, validation and test nodes.
    """

    name: str
    adjacency: sp.csr_array
    features: sp.csr_array
    labels: np.ndarray
    split: Split

    @property
    def nodes(self) -> int:
        return self.adjacency.shape[0]

    @property
    def edges(self) -> int:
        """Directed edges: every undirected edge counts twice."""
        return self.adjacency.nnz

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1


def checked_graph(
    name: str,
    adjacency: sp.sparray | None,
    features: Any,
    labels: Any,
    split: Split | None = None,
    split_seed: int = 100,
) -> Graph:
    """Validate raw arrays and bring them into the form that `Graph` promises.

    Edges are symmetrised; weights and self-loops are dropped; without an `adjacency` there are
    none: the nodes are mere rows. Without a `split`, one is drawn with `random_split`. A node of
    label −1 has none: it is in no part of the split. Features are sparse or like an array, and so
    are labels.

    Raises:
        InputError: If shapes disagree, a feature is not finite, a label is out of range, or the
            parts of the split are empty, meet, or name nodes that are not there.

    Example:
        >>> edges = sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0]]))
        >>> split = Split(*(np.array([node]) for node in range(3)))
        >>> graph = checked_graph("path", edges, sp.csr_array(np.eye(3)), np.arange(3), split)
        >>> graph.nodes, graph.edges, graph.classes
        (3, 4, 3)
    """
    labels = np.asarray(labels)
    if not sp.issparse(features):
        features = np.asarray(features)
    if adjacency is None:
        adjacency = sp.csr_array((len(labels),) * 2, dtype=np.float32)
    nodes = adjacency.shape[0]
    if adjacency.shape != (nodes, nodes):
        raise InputError(f"{name}: the adjacency must be square, got shape {adjacency.shape}")
    if len(features.shape) != 2 or features.shape[0] != nodes or features.shape[1] == 0:
        raise InputError(
            f"{name}: expected one row of features for each of {nodes} nodes, "
            f"got shape {features.shape}"
        )
    if features.shape[1] > _MOST_FEATURES:
        raise InputError(
            f"{name}: expected at most {_MOST_FEATURES:,} features a node, got "
            f"{features.shape[1]:,}"
        )
    if labels.shape != (nodes,):
        raise InputError(
            f"{name}: expected one label for each of {nodes} nodes, got shape {labels.shape}"
        )
    for what, matrix in (("features", features), ("edge weights", adjacency)):
        if matrix.dtype.kind not in "biuf":
            raise InputError(f"{name}: {what} must be real numbers, got dtype {matrix.dtype}")
    if isinstance(features, np.ndarray):  # SciPy knows no float16
        features = features.astype(np.float32) if features.dtype == np.float16 else features
        features = sp.csr_array(features)
    if not np.isfinite(features.data).all():
        count = int((~np.isfinite(features.data)).sum())
        raise InputError(f"{name}: {count} feature values are NaN or infinite; clean them first")
    if not np.isfinite(adjacency.data).all():
        raise InputError(f"{name}: edge weights must be finite")
    labels = _checked_labels(name, labels)
    links = sp.coo_array(adjacency)
    apart = (links.row != links.col) & (links.data != 0)
    row, col = links.row[apart], links.col[apart]
    ones = np.ones(2 * len(row), np.float32)
    both = (np.concatenate([row, col]), np.concatenate([col, row]))
    symmetric = sp.csr_array((ones, both), shape=(nodes, nodes))
    symmetric.data[:] = 1
    if split is None:
        split = random_split(name, labels, split_seed)
    else:
        split = Split(*map(np.asarray, split))
        _check_split(name, split, labels)
    return Graph(name, symmetric, sp.csr_array(features), labels, split)


def split_of_masks(train: ArrayLike, val: ArrayLike, test: ArrayLike) -> Split:
    """The split that three masks of nodes make.

    Raises:
        InputError: If they are no masks, or of different lengths.

    Example:
        >>> node = np.arange(4)
        >>> split_of_masks(node < 2, node == 2, node == 3).train.tolist()
        [0, 1]
    """
    masks = [np.asarray(mask) for mask in (train, val, test)]
    if any(mask.dtype != bool or mask.shape != masks[0].shape for mask in masks):
        found = ", ".join(f"{mask.dtype} {mask.shape}" for mask in masks)
        raise InputError(f"expected three masks of bool, one of each node, got {found}")
    return Split(*map(np.flatnonzero, masks))


def random_split(
    name: str, labels: np.ndarray, seed: int, *, per_class: int = 20, held_out: int = 1000
) -> Split:
    """20 nodes a class for training, 1,000 for the test, 1,000 for validation.

    Of a class with fewer than 40 nodes half are for training; where fewer than 2,000 nodes
    remain, the test and the validation share them.

    All three are taken in turn from one permutation of the nodes.

    Raises:
        InputError: If too few nodes remain to validate and test on.

    Example:
        >>> split = random_split("toy", np.arange(300) % 3, seed=0)
        >>> len(split.train), len(split.val), len(split.test)
        (60, 120, 120)
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[labels[order] >= 0]
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels[order])
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # in its class
    train = by_class[place < np.repeat(np.minimum(per_class, (counts + 1) // 2), counts)]
    rest = order[~np.isin(order, train)]
    if len(rest) < 2:
        raise InputError(
            f"{name}: {len(order)} nodes are too few: none would remain for validation and test"
        )
    tests = min(held_out, len(rest) // 2)
    return Split(np.sort(train), np.sort(rest[tests : tests + held_out]), np.sort(rest[:tests]))


def _check_split(name: str, split: Split, labels: np.ndarray) -> None:
    nodes = len(labels)
    parts = {"training": split.train, "validation": split.val, "test": split.test}
    for what, part in parts.items():
        if not part.size:
            raise InputError(f"{name}: there are no {what} nodes")
        if part.ndim != 1 or part.dtype.kind not in "iu":
            raise InputError(
                f"{name}: expected numbers of {what} nodes, got {part.dtype} of shape {part.shape}"
            )
        if part.min() < 0 or part.max() >= nodes:
            raise InputError(
                f"{name}: expected {what} nodes in 0…{nodes - 1}, got {part.min()}…{part.max()}"
            )
        if (labels[part] < 0).any():
            raise InputError(
                f"{name}: {(labels[part] < 0).sum()} of the {what} nodes have no label, node "
                f"{part[labels[part] < 0][0]} the first"
            )
    found, times = np.unique(np.concatenate(list(parts.values())), return_counts=True)
    if (times > 1).any():
        raise InputError(
            f"{name}: {(times > 1).sum()} nodes are in the split more than once, "
            f"node {found[np.argmax(times > 1)]} the first"
        )


def _checked_labels(name: str, labels: np.ndarray) -> np.ndarray:
    whole = np.issubdtype(labels.dtype, np.integer) or (
        np.issubdtype(labels.dtype, np.floating) and (labels == np.round(labels)).all()
    )
    if not whole:
        raise InputError(f"{name}: labels must be integers, got dtype {labels.dtype}")
    present = np.unique(labels[labels != -1])
    if len(present) < 2:
        raise InputError(f"{name}: expected at least two classes, got the labels {present}")
    if not np.array_equal(present, np.arange(len(present))):
        wrong = present[present != np.arange(len(present))][0]
        raise InputError(
            f"{name}: label {wrong} is out of range; {len(present)} distinct labels "
            f"must be numbered 0…{len(present) - 1}"
        )
    return labels.astype(np.int64)
