"""Writing a graph into the `.npz` file that `load` reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from admm.datasets.archive import CSR
from admm.datasets.graph import FeatureSource, Graph, graph_of
from admm.datasets.labels import read_labels
from admm.datasets.npz import read_arrays
from admm.datasets.sparse import real_matrix
from admm.datasets.splits import PARTS
from admm.errors import InputError
from admm.files import make_folder, new_file


def save_graph(
    path: str | Path,
    adjacency: Any,
    features: Any,
    labels: Any,
    split: Sequence[Any] | None = None,
) -> Graph:
    """Write a graph into a file that `load` reads, complete or not at all.

    Everything is written as it is given, weights and labels too; see `checked_graph` for what is
    made of it.

    Args:
        path: Of the file, ending in `.npz`.
        adjacency: Shape (nodes, nodes), sparse or like an array, with the weights of the edges; or
            None, where there are none.
        features: Shape (nodes, d), sparse or like an array, or None: to be read with `features=`.
        labels: One for each node: numbers, text, or one-hot rows; −1, NaN, `None` or empty text
            where a node has none.
        split: Training, validation and test nodes: three masks of shape (nodes,), of shape
            (splits, nodes) for several splits, or three arrays of numbers of nodes.

    Returns:
        The graph as `load` gives it, of identity features where it has none.

    Raises:
        InputError: If `load` would refuse the file.
        OutputError: If it cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "ring.npz")
        >>> ring = sp.coo_array((np.ones(60), (np.arange(60), (np.arange(60) + 1) % 60)))
        >>> graph = save_graph(path, ring, np.eye(60), ["even", "odd"] * 30)
        >>> graph.edges, graph.class_names
        (120, ('even', 'odd'))
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"expected a file that ends in .npz, got {path}")
    name, nodes = path.stem, len(read_labels(path.stem, labels).numbers)
    matrix = np.zeros((0, 0)) if adjacency is None else real_matrix(name, "edge weights", adjacency)
    if adjacency is not None and matrix.shape != (nodes, nodes):
        raise InputError(
            f"{name}: expected an adjacency of shape {(nodes, nodes)}, a row and a column for each "
            f"label, got {matrix.shape}"
        )
    links = sp.coo_array(matrix)
    arrays = {"edges": np.stack([links.row, links.col], axis=1), **_stored_labels(labels)}
    if (links.data != 1).any():
        arrays["edge_weight"] = links.data
    if features is not None:
        arrays |= _stored("attr_", "attr_matrix", features)
    if split is not None and len(split) != len(PARTS):
        raise InputError(f"expected a split of {len(PARTS)} parts, got {len(split)}")
    for part, given in zip(PARTS, split or (), strict=False):
        array = np.asarray(given)
        form = f"{part}_mask" if array.dtype == bool else f"idx_{part}"
        arrays[f"{form}s" if array.ndim == 2 else form] = array
    instead: FeatureSource | None = "identity" if features is None else None
    graph = graph_of(name, read_arrays(name, arrays), features=instead)
    make_folder(path.parent)
    with new_file(path) as file:
        # Not compressed: a reader bounds what a file may unpack to by its size.
        np.savez(file, **arrays)  # type: ignore[arg-type]  # it may have options some day
    return graph


def _stored(prefix: str, key: str, given: Any) -> dict[str, np.ndarray]:
    if sp.issparse(given):
        matrix = sp.csr_array(given)
        return {f"{prefix}{part}": np.asarray(getattr(matrix, part)) for part in CSR}
    return {key: np.asarray(given)}


def _stored_labels(labels: Any) -> dict[str, np.ndarray]:
    """Labels without masks and Python objects."""
    plain = sp.issparse(labels) or np.asarray(labels).dtype.kind not in "OT"
    if plain and not isinstance(labels, np.ma.MaskedArray):
        return _stored("labels_", "labels", labels)
    found = read_labels("labels", labels)
    names = np.array(found.class_names)
    # A blank at the end, which is where −1 points.
    names = np.append(names, "" if names.dtype.kind == "U" else np.nan)
    return {"labels": names[found.numbers]}
