"""A node-classification graph: its arrays, their validation, and what was done to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp

from admm.datasets.edges import Weights, undirected
from admm.datasets.labels import ClassName, Labels, read_labels
from admm.datasets.sparse import real_matrix
from admm.datasets.splits import Split, check_number, check_split, random_split, random_words
from admm.errors import InputError, spelled

FeatureSource = Literal["identity", "degrees"]

# Inputs are dense, so that so many are more than anybody has memory for.
_MOST_FEATURES = 2**24


@dataclass(frozen=True)
class Graph:
    """An undirected graph with node features and classes.

    Args:
        name: For messages and summaries.
        adjacency: Shape (nodes, nodes), symmetric, no self-loops; ones, or positive weights.
        features: Shape (nodes, d), sparse.
        labels: Shape (nodes,), classes 0…C−1; −1 where a node has none.
        split: Training, validation and test nodes.
        class_names: The labels as they were given, in the order of 0…C−1, which they are by
            default; text, numbers or truth values.
        provenance: What was done to bring the graph into this form, and where its split is from.

    Example:
        >>> edges, features = sp.eye_array(3, k=1) + sp.eye_array(3, k=-1), np.eye(3)
        >>> split = Split(*(np.array([node]) for node in range(3)))
        >>> graph = checked_graph("path", edges, features, ["a", "b", "a"], split)
        >>> isinstance(graph, Graph), graph.labels.tolist(), graph.class_names
        (True, [0, 1, 0], ('a', 'b'))
    """

    name: str
    adjacency: sp.csr_array
    features: sp.csr_array
    labels: np.ndarray
    split: Split
    class_names: tuple[ClassName, ...] = ()
    provenance: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(range(self.classes)))

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


def told(provenance: Mapping[str, str | int]) -> str:
    """A provenance in one line.

    Example:
        >>> told({"weights": "none", "self_loops": "3 dropped"})
        'weights: none; self-loops: 3 dropped'
    """
    return "; ".join(f"{key.replace('_', '-')}: {value}" for key, value in provenance.items())


class Contents(NamedTuple):
    """A graph as its files have it, before it is checked.

    Attributes:
        adjacency: A sparse matrix or a dense array.
        features: So too, or None.
        labels: Whatever `read_labels` takes.
        split: None where one is to be drawn.
        split_words: Where the split is from.
        provenance: More that is to be said.
        needs_test: Whether the test of a split has to have nodes.
    """

    adjacency: Any
    features: Any
    labels: Any
    split: Split | None = None
    split_words: str = ""
    provenance: Mapping[str, str | int] = {}
    needs_test: bool = True


def checked_graph(
    name: str,
    adjacency: Any,
    features: Any,
    labels: Any,
    split: Split | None = None,
    split_seed: int = 100,
    *,
    weights: Weights = "use",
) -> Graph:
    """Validate raw arrays and bring them into the form that `Graph` promises.

    Edges are made symmetric, self-loops dropped. Edges of the same two nodes in the same direction
    are one: without weights (all are 1) it counts once, with weights these are added up. Of two
    directions with different weights the larger counts. A weight of zero is no edge. Without an
    `adjacency` there are no edges: the nodes are mere rows.

    Labels may be of any kind that `admm.datasets.labels.read_labels` knows. A node without one is
    in no part of the split. Without a `split`, one is drawn with `random_split`.

    Args:
        name: For messages and summaries.
        adjacency: Shape (nodes, nodes), sparse or like an array, or None.
        features: Shape (nodes, d), sparse or like an array; or what to take instead: `identity` (a
            column for each node) or `degrees` (a column for each number of neighbours).
        labels: One for each node.
        split: Training, validation and test nodes; the test may have none.
        split_seed: Of the random split.
        weights: `ignore` makes every edge weigh 1.

    Raises:
        InputError: If shapes disagree, a feature or weight is not finite, a weight is negative, a
            label is out of range, or the parts of the split are empty, meet, or name nodes that are
            not there or have no label.

    Example:
        >>> edges = sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0]]))
        >>> split = Split(*(np.array([node]) for node in range(3)))
        >>> graph = checked_graph("path", edges, sp.csr_array(np.eye(3)), np.arange(3), split)
        >>> graph.nodes, graph.edges, graph.classes
        (3, 4, 3)
        >>> graph.provenance["direction"]
        'directed, 2 one-way edges made two-way'
    """
    known = read_labels(name, labels)
    if adjacency is None:
        adjacency = sp.csr_array((len(known.numbers),) * 2, dtype=np.float32)
    if split is not None:
        split = Split(*map(np.asarray, split))
        check_split(name, split, known.numbers, needs_test=False)
    contents = Contents(adjacency, None, known, split, "given", needs_test=False)
    if isinstance(features, str):
        return graph_of(name, contents, split_seed, weights=weights, features=features)
    return graph_of(name, contents._replace(features=features), split_seed, weights=weights)


def graph_of(
    name: str,
    contents: Contents,
    split_seed: int = 100,
    split: int = 0,
    weights: Weights = "use",
    features: str | None = None,
) -> Graph:
    """The graph of some contents. Nodes without a label are left out of their split.

    Args:
        name: For messages and summaries.
        contents: Of its files.
        split_seed: Of the random split.
        split: The number that was asked for; contents without a split have only 0.
        weights: What to do with the weights of edges.
        features: What to take in place of the features, see `checked_graph`.

    Raises:
        InputError: As `checked_graph`.
    """
    labels = read_labels(name, contents.labels)
    nodes = len(labels.numbers)
    adjacency = real_matrix(name, "edge weights", contents.adjacency)
    if adjacency.shape[0] != adjacency.shape[-1] or len(adjacency.shape) != 2:
        raise InputError(f"{name}: the adjacency must be square, got shape {adjacency.shape}")
    if adjacency.shape[0] != nodes:
        raise InputError(
            f"{name}: expected one label for each of {adjacency.shape[0]} nodes, got shape "
            f"({nodes},)"
        )
    symmetric, provenance = undirected(name, adjacency, weights)
    rows, words = _features(name, contents.features, features, symmetric)
    provenance |= {"features": words, "labels": labels.words}
    if (labels.numbers < 0).any():
        provenance["unlabelled"] = f"{(labels.numbers < 0).sum():,} nodes"
    if contents.split is None:
        check_number(name, split, 0)
        found = random_split(name, labels.numbers, split_seed)
        provenance["split"] = random_words(split_seed)
    else:
        found, left_out = _labelled_only(contents.split, labels)
        check_split(name, found, labels.numbers, contents.needs_test)
        provenance["split"] = contents.split_words + (
            f", {left_out:,} nodes without a label left out" if left_out else ""
        )
    provenance = {k: v for k, v in (provenance | dict(contents.provenance)).items() if v}
    return Graph(name, symmetric, rows, labels.numbers, found, labels.class_names, provenance)


def _features(
    name: str, given: Any, instead: str | None, adjacency: sp.csr_array
) -> tuple[sp.csr_array, str]:
    """Features of all nodes, and the words for them where they are not those that were given."""
    nodes = adjacency.shape[0]
    ways = f"{spelled('features', 'identity')} or {spelled('features', 'degrees')}"
    if instead is None and given is None:
        raise InputError(
            f"{name} has no features; with {ways} the nodes get a column each, or one for each "
            "number of neighbours"
        )
    replaced = "" if given is None else ", in place of those that are there"
    if instead == "identity":
        return sp.eye_array(nodes, dtype=np.float32, format="csr"), f"identity{replaced}"
    if instead == "degrees":
        degrees, columns = np.unique(np.diff(adjacency.indptr), return_inverse=True)
        ones = np.ones(nodes, np.float32)
        found = sp.csr_array((ones, columns, np.arange(nodes + 1)), shape=(nodes, len(degrees)))
        return found, f"degrees, one-hot, {len(degrees):,} different{replaced}"
    if instead is not None:
        raise InputError(f"{spelled('features')} must be identity or degrees, got {instead!r}")
    features = given if sp.issparse(given) else np.asarray(given)
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
    features = sp.csr_array(real_matrix(name, "features", features))
    if not np.isfinite(features.data).all():
        count = int((~np.isfinite(features.data)).sum())
        raise InputError(f"{name}: {count} feature values are NaN or infinite; clean them first")
    return features, ""


def _labelled_only(split: Split, labels: Labels) -> tuple[Split, int]:
    """A split without the nodes that have no label, and how many these were."""
    numbers = labels.numbers
    parts = [
        part[(part < 0) | (part >= len(numbers)) | (numbers.take(part, mode="clip") >= 0)]
        for part in split
    ]
    return Split(*parts), sum(map(len, split)) - sum(map(len, parts))
