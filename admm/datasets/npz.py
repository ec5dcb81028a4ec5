"""Graphs in one `.npz` file: adjacency or edges, features, labels, and maybe splits.

| what | CSR parts | dense | as a list |
|---|---|---|---|
| edges | `adj_data` …, `adj_matrix.data` … | `adj_matrix` | `edges`, `edge_index` |
| features | `attr_data` …, `attr_matrix.data` … | `attr_matrix`, `node_features`, `x` | |
| labels | `labels_data` …, `labels.data` … | `labels`, `node_labels`, `y` | |
| weights of listed edges | | | `edge_weight`, `weight`, `edge_attr` |
| split | | `train_mask`, `val_mask`, `test_mask` | `idx_train`, `idx_val`, `idx_test` |

CSR parts are `data`, `indices`, `indptr` and `shape`. A split may also be several, `train_masks` of
shape (splits, nodes) and so on. These are the layouts of gnn-benchmark
(github.com/shchur/gnn-benchmark, data/npz), of its twin of PPNP (github.com/gasteigerjo/ppnp), of
heterophilous-graphs (github.com/yandex-research/heterophilous-graphs), and the names of PyTorch
Geometric. Arrays are read without pickles.
"""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from admm.datasets.archive import CSR, Arrays, open_archive, read_csr
from admm.datasets.bounded import PickledError
from admm.datasets.graph import Contents
from admm.datasets.labels import read_labels
from admm.datasets.sparse import float_type
from admm.datasets.splits import PARTS, read_split, split_keys
from admm.errors import InputError


class _Names(NamedTuple):
    """How files call one thing: prefixes of CSR parts, and whole arrays."""

    what: str
    prefixes: tuple[str, ...]
    keys: tuple[str, ...]


class _Recorded(Arrays):
    """Arrays that know which of them were read."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.unread = set(arrays)

    def __getitem__(self, key: str) -> np.ndarray:
        self.unread.discard(key)
        return self._arrays[key]

    def __contains__(self, key: object) -> bool:
        return key in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)


_EDGES = _Names(
    "edges",
    ("adj_", "adj_matrix.", "adj_matrix_"),
    ("adj_matrix", "adj", "adjacency", "edges", "edge_index", "edge_list"),
)
_FEATURES = _Names(
    "features",
    ("attr_", "attr_matrix.", "attr_matrix_"),
    ("attr_matrix", "attr", "node_features", "node_feat", "features", "feats", "feat", "x"),
)
_LABELS = _Names(
    "labels",
    ("labels_", "labels."),
    ("labels", "node_labels", "node_label", "label", "y"),
)
_WEIGHTS = ("edge_weight", "edge_weights", "weight", "weights", "edge_attr")
_LOOSE = ("weight", "weights", "edge_attr")  # may also be something else of edges, or of classes
_LISTS = ("edges", "edge_index", "edge_list")
_AGAIN = """If you trust the file, write it anew:
  import numpy as np, scipy.sparse as sp
  from admm.datasets import save_graph
  old = np.load({old!r}, allow_pickle=True)  # runs whatever is in it{before}
  save_graph({new!r}, {arrays})"""
_NEEDED = (
    "expected edges (edges of shape (E, 2), or adj_data, adj_indices, adj_indptr and adj_shape), "
    "features (node_features, or attr_data, …) and labels; admm.datasets.save_graph writes them"
)


def load_npz(name: str, path: Path, number: int = 0) -> Contents:
    """Read one graph, with the split of this number if it has any.

    Raises:
        InputError: If the file is missing, damaged or lacks an array, or an array is invalid, or
            if what is read unpacks to more than `bound` allows.
    """
    keys: list[str] = []
    try:
        with open_archive(path) as archive:
            keys = sorted(archive)
            return read_arrays(name, archive, number)
    except InputError:
        raise
    except PickledError as error:
        things = [_in_python(path.stem, keys, names) for names in (_EDGES, _FEATURES, _LABELS)]
        parts = {part: key for key, (part, _) in split_keys(path.stem, keys).items()}
        if parts:
            listed = ", ".join(f'old["{parts[part]}"]' for part in PARTS if part in parts)
            things.append(f"[{listed}]")
        edges = _only(path.stem, keys, _EDGES)
        before = ""
        if edges in _LISTS:
            before, things[0] = _pairs_in_python(edges, keys, things[-1 - bool(parts)])
        new = f"{path.stem}-plain.npz"
        lines = _AGAIN.format(old=str(path), before=before, new=new, arrays=", ".join(things))
        raise InputError(f"{path} is not a readable .npz graph: {error}. {lines}") from error
    except Exception as error:  # a damaged archive may raise anything
        raise InputError(f"{path} is not a readable .npz graph ({error!r})") from error


def is_graph(path: Path) -> bool:
    """Whether an archive has arrays with the names of edges and of labels, or is damaged."""
    try:
        with open_archive(path) as archive:
            return None not in [_only(path.stem, archive, names) for names in (_EDGES, _LABELS)]
    except Exception:  # a damaged archive may raise anything; reading it will tell
        return True


def read_arrays(name: str, arrays: Arrays, number: int = 0) -> Contents:
    """The contents of a graph from arrays by name.

    Args:
        name: For messages.
        arrays: Of a file.
        number: Of the split.

    Raises:
        InputError: If one is missing or invalid, or two say the same thing.
        Exception: If the file is damaged.

    Example:
        >>> ring = np.array([[0, 1], [1, 2], [2, 0]])
        >>> contents = read_arrays("toy", {"edges": ring, "x": np.eye(3), "y": np.arange(3)})
        >>> contents.adjacency.nnz, contents.split
        (3, None)
    """
    recorded = _Recorded(arrays)
    edges, labelled = _only(name, arrays, _EDGES), _only(name, arrays, _LABELS)
    features = _only(name, arrays, _FEATURES)
    if edges is None or labelled is None:
        what = _EDGES.what if edges is None else _LABELS.what
        raise InputError(
            f"{name}: no array {what!r} in the file; it has {sorted(arrays)}; {_NEEDED}"
        )
    labels = read_labels(name, _matrix(name, recorded, labelled, _LABELS))
    nodes = len(labels.numbers)
    if edges in _LISTS:
        adjacency = _of_list(name, recorded, edges, nodes)
    else:
        adjacency = _matrix(name, recorded, edges, _EDGES)
        _check_no_weights(name, recorded, edges, adjacency)
    split = read_split(name, recorded, nodes, number)
    table = None if features is None else _matrix(name, recorded, features, _FEATURES)
    if isinstance(table, np.ndarray) and table.dtype.kind in "biuf":
        table = table.astype(float_type(table.dtype))
    unread = ", ".join(sorted(recorded.unread))
    nodes_of_parts, words = split or (None, "")
    return Contents(adjacency, table, labels, nodes_of_parts, words, {"unused": unread})


def _in_python(name: str, keys: Container[str], names: _Names) -> str:
    """How to take a thing from a loaded file."""
    found = _only(name, keys, names)
    if found in names.prefixes:
        data, indices, indptr, shape = (f'old["{found}{part}"]' for part in CSR)
        return f"sp.csr_array(({data}, {indices}, {indptr}), {shape})"
    return f'old["{found}"][()]' if found else "None"


def _pairs_in_python(key: str, keys: Container[str], labels: str) -> tuple[str, str]:
    """Lines for listed edges of a loaded file, and the adjacency that these make."""
    columns = "len(pairs) == 2" if key == "edge_index" else "pairs.shape[1] != 2"
    before = f'\n  pairs = old["{key}"]\n  pairs = pairs if {columns} else pairs.T'
    weights = next((f'old["{each}"]' for each in _WEIGHTS[:-1] if each in keys), None)
    data = weights or "np.ones(pairs.shape[1])"
    return before, f"sp.coo_array(({data}, pairs), ({labels}.shape[0],) * 2)"


def _only(name: str, arrays: Container[str], names: _Names) -> str | None:
    """The prefix or the key under which a file has a thing, if it has it."""
    found = [p for p in names.prefixes if any(f"{p}{part}" in arrays for part in CSR)]
    found += [key for key in names.keys if key in arrays]
    if len(found) > 1:
        raise InputError(
            f"{name}: {' and '.join(found)} are all {names.what}; leave all but one out of the file"
        )
    return found[0] if found else None


def _matrix(name: str, arrays: Arrays, found: str, names: _Names) -> Any:
    return read_csr(name, arrays, found) if found in names.prefixes else arrays[found]


def _of_list(name: str, arrays: _Recorded, key: str, nodes: int) -> sp.coo_array:
    """An adjacency from pairs of nodes, in rows or in two rows, and their weights."""
    pairs = arrays[key]
    if pairs.dtype.kind == "f" and (pairs == np.round(pairs)).all() and np.isfinite(pairs).all():
        pairs = pairs.astype(np.int64)
    if pairs.dtype.kind not in "iu" or pairs.ndim != 2 or 2 not in pairs.shape:
        raise InputError(
            f"{name}: {key} must be pairs of whole numbers of nodes, got {pairs.dtype} of shape "
            f"{pairs.shape}; weights go into edge_weight"
        )
    # Two pairs can be read either way: only PyTorch Geometric's name means columns.
    if pairs.shape[1] != 2 or (pairs.shape == (2, 2) and key == "edge_index"):
        pairs = pairs.T
    if len(pairs) and not 0 <= int(pairs.min()) <= int(pairs.max()) < nodes:
        raise InputError(
            f"{name}: expected {key} of nodes 0…{nodes - 1}, as many as there are labels, got "
            f"{pairs.min()}…{pairs.max()}"
        )
    weights: dict[str, np.ndarray] = {}
    for weight_key in (each for each in _WEIGHTS if each in arrays):
        given = arrays[weight_key]
        if given.shape in ((len(pairs),), (len(pairs), 1)) and given.dtype.kind in "biuf":
            weights[weight_key] = given.reshape(-1).astype(float_type(given.dtype))
        elif weight_key in _LOOSE:
            arrays.unread.add(weight_key)
        else:
            raise InputError(
                f"{name}: {weight_key} must be a number for each of {len(pairs)} edges, got "
                f"{given.dtype} of shape {given.shape}"
            )
    if len(weights) > 1:
        raise InputError(
            f"{name}: {' and '.join(weights)} are all weights of edges; leave all but one out of "
            "the file"
        )
    data = next(iter(weights.values()), np.ones(len(pairs), np.float32))
    return sp.coo_array((data, pairs.T.astype(np.int64)), shape=(nodes, nodes))


def _check_no_weights(name: str, arrays: _Recorded, key: str, adjacency: Any) -> None:
    """Refuse weights beside a matrix, which has some of its own.

    Raises:
        InputError: If there are any.
    """
    count = adjacency.nnz if sp.issparse(adjacency) else np.count_nonzero(adjacency)
    for weight_key in (each for each in _WEIGHTS if each in arrays):
        shape = arrays[weight_key].shape
        arrays.unread.add(weight_key)
        if weight_key not in _LOOSE or shape in ((count,), (count, 1)):
            raise InputError(
                f"{name}: {weight_key} is beside the matrix {key}, which has weights of its own; "
                "put them into its data, or leave one out"
            )
