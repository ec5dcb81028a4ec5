"""Edges as files have them, made those of an undirected graph."""

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from admm.errors import InputError, spelled

Weights = Literal["use", "ignore"]


def undirected(
    name: str, adjacency: Any, weights: str
) -> tuple[sp.csr_array, dict[str, str | int]]:
    """The adjacency that `Graph` promises, and what was done about it, see `checked_graph`.

    Args:
        name: Of the data set, for messages.
        adjacency: Square, sparse or an array, of real numbers.
        weights: What to do with them.

    Raises:
        InputError: If a weight is not finite, or those that are used are negative or add up to
            more than any number.

    Example:
        >>> symmetric, said = undirected("toy", np.array([[0, 2], [0, 0]]), "use")
        >>> symmetric.toarray().tolist(), said["weights"]
        ([[0.0, 2.0], [2.0, 0.0]], 'used, all 2')
    """
    if weights not in ("use", "ignore"):
        raise InputError(f"{spelled('weights')} must be use or ignore, got {weights!r}")
    links = sp.coo_array(adjacency)
    wrong = int((~np.isfinite(links.data)).sum())
    if wrong and weights == "use":
        raise InputError(
            f"{name}: {wrong:,} edge weights are NaN or infinite; with "
            f"{spelled('weights', 'ignore')} every edge weighs 1"
        )
    there = links.data != 0
    apart = there & (links.row != links.col)
    row, col, data = links.row[apart], links.col[apart], links.data[apart].astype(np.float64)
    weighted = bool((data != 1).any())
    used = weighted and weights == "use"
    if used and data.min() < 0:
        raise InputError(
            f"{name}: {(data < 0).sum():,} edge weights are negative, the lowest {data.min():g}; "
            f"with {spelled('weights', 'ignore')} every edge weighs 1"
        )
    ones = np.ones(len(row))
    directed = sp.csr_array((data if used else ones, (row, col)), shape=links.shape)  # adds up
    if not used:
        directed.data[:] = 1
    symmetric = sp.csr_array(directed.maximum(directed.T))
    if not used:
        symmetric = symmetric.astype(np.float32)
    with np.errstate(over="ignore"):
        degrees = symmetric.sum(axis=1)
    if not np.isfinite(degrees).all():
        raise InputError(f"{name}: the edge weights of a node add up to more than any number")
    one_way = symmetric.nnz - directed.nnz
    unlike = (directed != directed.T).nnz // 2 - one_way if used else 0
    loops, copies = int((there & ~apart).sum()), len(row) - directed.nnz
    direction = "undirected" if symmetric.nnz else "no edges"
    if one_way:
        direction = f"directed, {one_way:,} one-way edges made two-way"
    if unlike:
        direction += f", {unlike:,} pairs of nodes with two weights, the larger counts"
    how = "none"
    if weighted:
        low, high = f"{data.min():g}", f"{data.max():g}"
        how = f"{'used' if used else 'ignored'}, {f'all {low}' if low == high else f'{low}…{high}'}"
    return symmetric, {
        "weights": how,
        "zero_weights": f"{(~there).sum():,}, which are no edges" if not there.all() else "",
        "direction": direction,
        "self_loops": f"{loops:,} dropped" if loops else "",
        "duplicates": f"{copies:,} {'added up' if used else 'dropped'}" if copies else "",
    }
