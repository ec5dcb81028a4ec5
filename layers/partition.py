"""Graphs cut into parts: who owns which node, and which rows the parts need of each other.

Everything here runs once, on the host, in SciPy. Networks over the parts are in
`layers.graph_convolution`.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee

from layers.hops import normalized_adjacency
from layers.names import GraphKind, Partitioner, check_name


class Partition(NamedTuple):
    """The part that owns each node, how the nodes were dealt out, and what it cuts.

    Example:
        >>> Partition(np.array([0, 0, 1]), "bfs", cut=0.5).how
        'bfs'
    """

    owner: np.ndarray  # (nodes,) int32, from 0
    how: Partitioner  # never "auto"
    cut: float  # share of the edges whose ends have different owners


class Part(NamedTuple):
    """One part of a graph: its nodes, their neighbours in other parts, and the operator's rows.

    The halo of a part are the nodes of other parts that its rows of the operator meet. For rows H
    of all nodes, `inner @ H[own] + outer @ H[halo]` is `(S @ H)[own]`.

    Example:
        >>> path = sp.csr_array(np.eye(3, k=1) + np.eye(3, k=-1))
        >>> left, right = split_graph(path, np.array([0, 0, 1]), 2)
        >>> left.own.tolist(), left.halo.tolist(), left.sends, left.receives
        ([0, 1], [2], {1: array([1], dtype=int32)}, {1: slice(0, 1, None)})
    """

    own: np.ndarray  # (own,) int32, ids of nodes, sorted
    halo: np.ndarray  # (halo,) int32, ids of nodes, sorted by (owner, id)
    inner: sp.csr_array  # (own, own)
    outer: sp.csr_array  # (own, halo)
    sends: dict[int, np.ndarray]  # part → positions in `own` of the rows in its halo, in its order
    receives: dict[int, slice]  # part → where its rows stand in `halo`


def propagation(
    adjacency: sp.csr_array, network: GraphKind, dtype: npt.DTypeLike = np.float32
) -> sp.csr_array:
    """The operator S that a layer applies to its input, from the degrees of the whole graph.

        gcn:  S = (D+I)^(−1/2) (A+I) (D+I)^(−1/2)
        sage: S = D^(−1) A, rows of isolated nodes zero

    D is the diagonal of the row sums of A. S is computed in float64.

    Args:
        adjacency: A, symmetric, without self-loops, shape (nodes, nodes).
        network: Which operator.
        dtype: Type of the result.

    Raises:
        ValueError: If the network is none of these.

    Example:
        >>> propagation(sp.csr_array(np.array([[0, 3], [3, 0]])), "sage").toarray()
        array([[0., 1.],
               [1., 0.]], dtype=float32)

    Source: Kipf and Welling, arXiv 1609.02907; Hamilton et al., arXiv 1706.02216, the mean of all
    neighbours. Edge weights in the mean are ours.
    """
    check_name("kind of graph network", network, GraphKind)
    adjacency = adjacency.astype(np.float64)
    if network == "gcn":
        return normalized_adjacency(adjacency).astype(dtype)
    degrees = adjacency.sum(axis=1)
    scale = np.divide(1, degrees, out=np.zeros_like(degrees), where=degrees > 0)
    return sp.csr_array(sp.diags_array(scale) @ adjacency).astype(dtype)


def partition(
    adjacency: sp.csr_array, parts: int, how: Partitioner = "auto", seed: int = 0
) -> Partition:
    """Deal out the nodes of a graph to `parts` parts of about equal size, none of them empty.

    - `metis` cuts few edges (METIS, by pymetis). Isolated nodes go to the smallest parts.
    - `bfs` grows one part after the other, breadth-first from a node of least degree.
    - `random` cuts a random order into equal runs.
    - `auto` is `metis` where pymetis is installed, else `bfs`; the result says which it was.

    Weights of edges and self-loops play no role. The same arguments give the same parts.

    Args:
        adjacency: Symmetric, shape (nodes, nodes).
        parts: Number of parts.
        how: One of the above.
        seed: Of `metis` and `random`.

    Raises:
        ValueError: If the graph is directed, there are more parts than nodes, `how` is none of the
            above, or it is `metis` and pymetis is not installed.

    Example:
        >>> path = sp.csr_array(np.eye(4, k=1) + np.eye(4, k=-1))
        >>> partition(path, 2, "bfs").cut == 1 / 3
        True

    Source: Karypis and Kumar, SIAM J. Sci. Comput. 20 (1998) 359; Farhat, Comput. Struct. 28 (1988)
    579, here in the order of Cuthill and McKee.
    """
    nodes = adjacency.shape[0]
    if not 1 <= parts <= nodes:
        raise ValueError(f"got {parts} parts for {nodes} nodes; every part needs at least one node")
    check_name("way to deal out nodes", how, Partitioner)
    links = _links(adjacency)
    if how == "auto":
        how = "metis" if find_spec("pymetis") else "bfs"
    if how == "metis":
        owner = _metis(links, parts, seed)
    else:
        runs = np.arange(nodes) * parts // nodes
        random = how == "random"
        order = np.random.default_rng(seed).permutation(nodes) if random else _grown(links, runs)
        owner = np.empty(nodes, np.int32)
        owner[order] = runs
    crossing = _crossing(links, owner)
    return Partition(owner, how, float(crossing.mean()) if crossing.size else 0.0)


def split_graph(S: sp.csr_array, owner: np.ndarray, parts: int) -> Iterator[Part]:
    """The parts of a graph, one after the other.

    Args:
        S: Operator, shape (nodes, nodes). Entry (v, w) is stored where (w, v) is, zero or not.
        owner: Part of every node, shape (nodes,).
        parts: Number of parts; some may be empty.

    Example:
        >>> ring = sp.csr_array(np.roll(np.eye(4), 1, axis=0) + np.roll(np.eye(4), -1, axis=0))
        >>> [part.halo.tolist() for part in split_graph(ring, np.array([0, 0, 1, 2]), 3)]
        [[2, 3], [1, 3], [0, 2]]
    """
    order = np.argsort(owner, kind="stable").astype(np.int32)
    starts = np.searchsorted(owner[order], np.arange(parts + 1))
    place = np.empty(len(owner), np.int32)
    for part in range(parts):
        own = order[starts[part] : starts[part + 1]]
        rows = S[own]
        met = np.unique(rows.indices)
        met = met[owner[met] != part].astype(np.int32)
        halo = met[np.argsort(owner[met], kind="stable")]
        place[own] = np.arange(len(own))
        place[halo] = np.arange(len(own), len(own) + len(halo))
        shape = (len(own), len(own) + len(halo))
        local = sp.csr_array((rows.data, place[rows.indices], rows.indptr), shape=shape)
        inner, outer = local[:, : len(own)], local[:, len(own) :]
        neighbours, first = np.unique(owner[halo], return_index=True)
        ends = [*first[1:].tolist(), len(halo)]
        receives = dict(zip(neighbours.tolist(), map(slice, first.tolist(), ends), strict=True))
        columns = outer.tocsc()
        sends = {
            other: np.unique(columns.indices[columns.indptr[at.start] : columns.indptr[at.stop]])
            for other, at in receives.items()
        }
        yield Part(own, halo, inner, outer, sends, receives)


def drop_cut(adjacency: sp.csr_array, owner: np.ndarray) -> sp.csr_array:
    """The adjacency without the edges between different parts.

    Example:
        >>> path = sp.csr_array(np.eye(3, k=1) + np.eye(3, k=-1))
        >>> drop_cut(path, np.array([0, 0, 1])).toarray().astype(int).tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    kept = ~_crossing(adjacency, owner)
    indptr = np.r_[0, np.cumsum(kept)][adjacency.indptr]
    stored = (adjacency.data[kept], adjacency.indices[kept], indptr)
    return sp.csr_array(stored, shape=adjacency.shape)


def _crossing(matrix: sp.csr_array, owner: np.ndarray) -> np.ndarray:
    """Which stored entries join different parts."""
    return np.repeat(owner, np.diff(matrix.indptr)) != owner[matrix.indices]


def _links(adjacency: sp.csr_array) -> sp.csr_array:
    """Which nodes are neighbours, without self-loops.

    Raises:
        ValueError: If an edge has no equal one in the other direction.
    """
    one_way = (adjacency != adjacency.T).nnz
    if one_way:
        raise ValueError(
            f"got a directed graph: {one_way} entries of its adjacency differ from those of the "
            "other direction; expected a symmetric one, such as adjacency.maximum(adjacency.T)"
        )
    links = sp.csr_array(adjacency != 0, dtype=np.int8)
    links -= sp.diags_array(links.diagonal(), format="csr", dtype=np.int8)
    links.eliminate_zeros()
    return links


def _grown(links: sp.csr_array, runs: np.ndarray) -> np.ndarray:
    """The nodes in an order whose runs are parts, each grown in what those before have left."""
    order, rest = [], np.arange(links.shape[0])
    for size in np.bincount(runs):
        grown = reverse_cuthill_mckee(links[rest][:, rest], symmetric_mode=True)[::-1][:size]
        order.append(rest[grown])
        rest = np.delete(rest, grown)
    return np.concatenate(order)


def _metis(links: sp.csr_array, parts: int, seed: int) -> np.ndarray:
    """Owners by METIS, which gives all isolated nodes to one part and leaves others empty."""
    owner = np.zeros(links.shape[0], np.int32)
    if parts == 1:  # METIS does not take that
        return owner
    if not find_spec("pymetis"):
        raise ValueError("parts by metis need pymetis: pip install pymetis, or choose bfs")
    import pymetis

    linked = np.diff(links.indptr) > 0
    known = links[linked][:, linked]
    if known.nnz:  # METIS does not take an empty graph
        graph = pymetis.CSRAdjacency(known.indptr, known.indices)
        options = pymetis.Options(seed=seed % 2**31)
        owner[linked] = pymetis.part_graph(
            min(parts, known.shape[0]), graph, options=options
        ).vertex_part
    sizes = np.bincount(owner[linked], minlength=parts)
    for node in np.flatnonzero(~linked):
        owner[node] = sizes.argmin()
        sizes[owner[node]] += 1
    for empty in np.flatnonzero(sizes == 0):
        node = np.flatnonzero(owner == sizes.argmax())[-1]
        sizes[owner[node]] -= 1
        sizes[empty] += 1
        owner[node] = empty
    return owner
