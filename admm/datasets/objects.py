"""Graphs as other packages hold them, known by what they offer: none of these is imported here.

PyTorch Geometric's `Data`, DGL's graphs, graphs of networkx, sparse matrices, lists of edges.
"""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from admm.datasets.graph import Graph, checked_graph
from admm.datasets.splits import check_number, read_split
from admm.errors import InputError

_EXPECTED = (
    "expected a sparse matrix of shape (nodes, nodes), node numbers of shape (2, edges), or a "
    "graph of networkx, PyTorch Geometric or DGL"
)
_MASKS = ("train_mask", "val_mask", "test_mask")


class Held(NamedTuple):
    """What an object holds of a graph; None where it has nothing."""

    features: Any
    adjacency: Any
    labels: Any
    masks: Mapping[str, Any]  # of `_MASKS`, those that are there


def is_graph_object(given: Any) -> bool:
    """Whether this is a graph of another package, with features of its own.

    Example:
        >>> from types import SimpleNamespace
        >>> is_graph_object(SimpleNamespace(x=np.eye(2), edge_index=np.zeros((2, 0), int)))
        True
    """
    return hasattr(given, "edge_index") or _is_dgl(given)


def held(given: Any, weights: str = "use") -> Held:
    """Features, edges, labels and masks of a graph of PyTorch Geometric or DGL.

    Args:
        given: The graph.
        weights: See `adjacency_of`.

    Raises:
        InputError: If a part cannot be used as it is.

    Example:
        >>> from types import SimpleNamespace
        >>> data = SimpleNamespace(x=np.eye(2), edge_index=np.array([[0], [1]]), y=np.arange(2))
        >>> held(data).adjacency.toarray().tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    if _is_dgl(given):
        parts = given.ndata
        features, labels = parts.get("feat"), parts.get("label")
    else:
        parts = {name: getattr(given, name, None) for name in _MASKS}
        features, labels = getattr(given, "x", None), getattr(given, "y", None)
    if features is None:
        raise InputError(
            f"the {type(given).__name__} has no node features (x in PyTorch Geometric, "
            "ndata['feat'] in DGL)"
        )
    features = array_of(features)
    masks = {name: array_of(parts[name]) for name in _MASKS if parts.get(name) is not None}
    labels = None if labels is None else array_of(labels)
    adjacency = adjacency_of(given, len(features), weights)
    return Held(features, adjacency, labels, masks)


def adjacency_of(edges: Any, nodes: int, weights: str = "use") -> sp.coo_array:
    """Edges in any of the forms of this module, as a sparse matrix with their weights.

    Edges of the same two nodes are kept apart; `checked_graph` says what becomes of them.

    Args:
        edges: A sparse matrix; numbers of nodes, (2, edges), an edge from the first row to the
            second; a graph of networkx, whose nodes are named 0…nodes−1 or in the order of the
            rows; or an object with `edge_index`, and maybe `edge_weight` or one number an edge as
            `edge_attr`.
        nodes: How many there are.
        weights: With `ignore` attributes of edges are not looked at.

    Raises:
        InputError: If they are of another form, or name nodes that are not there.

    Example:
        >>> adjacency_of(np.array([[0, 1], [1, 2]]), nodes=3).toarray().tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    if sp.issparse(edges):
        matrix = edges
    elif _is_networkx(edges):
        order = list(range(nodes)) if set(edges) == set(range(nodes)) else None
        matrix = sys.modules["networkx"].to_scipy_sparse_array(edges, order, format="coo")
    else:
        pairs, given = _pairs(edges, weights == "use")
        return _of_pairs(pairs, given, nodes)
    if matrix.shape != (nodes, nodes):
        raise InputError(
            f"edges among {matrix.shape[0]:,} nodes (shape {matrix.shape}) do not fit {nodes:,} "
            "rows of features"
        )
    return sp.coo_array(matrix)


def array_of(given: Any) -> np.ndarray:
    """A NumPy array of an array or a tensor, wherever that is."""
    if hasattr(given, "detach"):  # of PyTorch: maybe on a device, maybe with a gradient
        given = given.detach().cpu()
    return np.asarray(given)


def _is_networkx(given: Any) -> bool:
    return "networkx" in sys.modules and isinstance(given, sys.modules["networkx"].Graph)


def _is_dgl(given: Any) -> bool:
    return hasattr(given, "ndata") and callable(getattr(given, "edges", None))


def _pairs(edges: Any, weighted: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Node numbers, (2, edges), and weights, (edges,)."""
    if _is_dgl(edges):
        if len(getattr(edges, "ntypes", "_")) > 1:
            raise InputError(f"expected nodes of one type, got those of {edges.ntypes}")
        weights = edges.edata.get("weight", edges.edata.get("w"))
        pairs = np.stack([array_of(end) for end in edges.edges()])
    elif hasattr(edges, "edge_index"):
        weights = getattr(edges, "edge_weight", None)
        if weights is None:
            weights = getattr(edges, "edge_attr", None)
        pairs = array_of(edges.edge_index)
    else:
        weights = None
        try:
            pairs = array_of(edges)
        except ValueError as error:
            raise InputError(f"{_EXPECTED}; got a {type(edges).__name__} ({error})") from error
    if pairs.size == 0:
        pairs = np.zeros((2, 0), int)
    if pairs.ndim != 2 or pairs.shape[0] != 2 or pairs.dtype.kind not in "iu":
        hint = ""
        if pairs.ndim == 2 and pairs.shape[1] == 2 and pairs.dtype.kind in "iu":
            hint = "; for a row an edge pass edges.T"
        elif pairs.ndim == 2 and pairs.shape[0] == pairs.shape[1]:
            hint = "; for a dense adjacency pass scipy.sparse.csr_array(edges)"
        raise InputError(
            f"{_EXPECTED}; got a {type(edges).__name__} of {pairs.dtype} {pairs.shape}{hint}"
        )
    if weights is None or not weighted:
        return pairs, None
    weights = array_of(weights)
    if weights.size != pairs.shape[1] or weights.dtype.kind not in "biuf":
        raise InputError(
            f"expected one weight for each of {pairs.shape[1]:,} edges, got {weights.dtype} "
            f"{weights.shape}; leave the attributes of edges out where they are no weights"
        )
    return pairs, weights.ravel()


def _of_pairs(pairs: np.ndarray, weights: np.ndarray | None, nodes: int) -> sp.coo_array:
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < nodes:
        raise InputError(
            f"edges must be of nodes 0…{nodes - 1}, the rows of features, got "
            f"{pairs.min()}…{pairs.max()}"
        )
    data = np.ones(pairs.shape[1]) if weights is None else weights
    return sp.coo_array((data, (pairs[0], pairs[1])), shape=(nodes, nodes))


def as_graph(given: Any, name: str = "graph", *, split: int = 0, split_seed: int = 100) -> Graph:
    """A graph of PyTorch Geometric or DGL, as `train` takes it for `data`.

    Args:
        given: The graph: features, edges and labels, and maybe three masks, (nodes,) or
            (nodes, splits).
        name: For messages and summaries.
        split: Which of several splits.
        split_seed: Of a random split, where there are no masks.

    Raises:
        InputError: If a part is missing, or cannot be used as it is.

    Example:
        >>> from types import SimpleNamespace
        >>> pairs = np.stack([np.arange(60), (np.arange(60) + 1) % 60])
        >>> data = SimpleNamespace(x=np.eye(60), edge_index=pairs, y=np.arange(60) % 2)
        >>> as_graph(data).edges
        120
    """
    if not is_graph_object(given):
        raise InputError(
            f"expected a graph of PyTorch Geometric or DGL, got a {type(given).__name__}; for "
            "arrays there is checked_graph"
        )
    parts = held(given)
    if parts.labels is None:
        raise InputError(f"{name} has no labels (y in PyTorch Geometric, ndata['label'] in DGL)")
    nodes, known = len(parts.features), None
    if parts.masks:
        known, _ = read_split(name, dict(parts.masks), nodes, split) or (None, "")
    else:
        check_number(name, split, 0)
    return checked_graph(name, parts.adjacency, parts.features, parts.labels, known, split_seed)
