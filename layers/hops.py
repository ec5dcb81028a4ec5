"""Hop operators of graph-augmented MLPs: X = [H, ÃH, …, Ã^(K−1)H], for the rows that are needed.

Everything here runs once, on the host, in SciPy. `row_basis` turns the wide input of a small
training set into an equivalent narrow one.
"""

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from layers.names import Normalization

# Bytes of one dense block of feature columns while it is propagated over the whole graph.
_BLOCK_BYTES = 64 * 2**20


def normalized_adjacency(adjacency: sp.csr_array) -> sp.csr_array:
    """Ã = (D+I)^(−1/2) (A+I) (D+I)^(−1/2), D the diagonal of the row sums of A.

    Args:
        adjacency: Symmetric, without self-loops, shape (nodes, nodes).

    Example:
        >>> normalized_adjacency(sp.csr_array(np.array([[0, 1], [1, 0]]))).toarray()
        array([[0.5, 0.5],
               [0.5, 0.5]])
    """
    with_loops = adjacency + sp.eye_array(adjacency.shape[0], format="csr")
    scale = sp.diags_array(1 / np.sqrt(with_loops.sum(axis=1)))
    return sp.csr_array(scale @ with_loops @ scale)


def hop_inputs(
    features: sp.csr_array,
    adjacency: sp.csr_array,
    rows: np.ndarray,
    *,
    hops: int = 4,
    normalize: Normalization = "hops",
    dtype: np.dtype | type = np.float32,
) -> np.ndarray:
    """Dense network input of the nodes `rows`: shape (len(rows), hops·d).

    The feature columns are propagated block by block, so that beside the result only about
    128 MiB is ever dense, whatever the size of the graph.

    Args:
        features: H, shape (nodes, d).
        adjacency: A, see `normalized_adjacency`.
        rows: Nodes whose inputs are wanted.
        hops: K, the number of operators I, Ã, …, Ã^(K−1).
        normalize: `hops` scales each row of each hop block to unit Euclidean length, `features`
            does so to the rows of H before the hops, `none` leaves the paper's inputs.
        dtype: Type of the result.

    Example:
        >>> features = sp.csr_array(np.array([[3.0, 4.0], [0.0, 2.0]]))
        >>> adjacency = sp.csr_array(np.array([[0, 1], [1, 0]]))
        >>> hop_inputs(features, adjacency, np.array([0]), hops=1)
        array([[0.6, 0.8]], dtype=float32)

    Source: Wang et al., arXiv 2105.09837, section III. The scaling is ours.
    """
    operator = normalized_adjacency(adjacency).astype(dtype)
    features = sp.csr_array(features, dtype=dtype)
    if normalize == "features":
        norms = np.sqrt(features.multiply(features).sum(axis=1))
        features = sp.diags_array(1 / np.where(norms > 0, norms, 1)) @ features
    columns = sp.csc_array(features)
    nodes, width = columns.shape
    inputs = np.empty((len(rows), hops, width), dtype)
    block = max(1, _BLOCK_BYTES // (nodes * np.dtype(dtype).itemsize))
    for start in range(0, width, block):
        part = columns[:, start : start + block].toarray()
        for hop in range(hops):
            part = operator @ part if hop else part
            inputs[:, hop, start : start + block] = part[rows]
    if normalize == "hops":
        norms = np.sqrt(np.einsum("rhc,rhc->rh", inputs, inputs))  # without a copy of inputs
        inputs /= np.where(norms > 0, norms, 1)[:, :, None]
    return inputs.reshape(len(rows), hops * width)


def row_basis(inputs: np.ndarray) -> np.ndarray | None:
    """Basis Q (features, nodes) of the space that the training rows X span, if far smaller.

    Q = Xᵀ (X Xᵀ)^(−½), so that X Q = (X Xᵀ)^½ and X Q Qᵀ = X. Gradients of the first layer lie
    in the span of the training rows, and weight decay shrinks the rest of W₁ to nothing; with
    W₁ = Q W' the problem is the same in W', with the inputs X Q of `nodes` columns. Objectives,
    inner products and line searches are unchanged. On Coauthor CS this cuts layer 1 from 27,220
    inputs to 300.

    Unlike a QR factor, Q depends continuously on X: rounding does not turn it, so that random W'
    mean the same network on every machine.

    Returns:
        None unless there are at least twice as many columns as rows.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(3, 50))
        >>> q = row_basis(x)
        >>> q.shape, np.allclose(x @ q @ q.T, x)
        ((50, 3), True)
    """
    nodes, features = inputs.shape
    if 2 * nodes > features:
        return None
    rows = inputs.astype(np.float64)
    with threadpool_limits(1):  # BLAS adds in another order on another number of threads
        squares, u = np.linalg.eigh(rows @ rows.T)  # XXᵀ = U S² Uᵀ
        s = np.sqrt(np.maximum(squares, 0))
        # The Gram matrix resolves singular values down to the root of the float64 precision.
        spanned = s > s[-1] * max(nodes * np.finfo(inputs.dtype).eps, 1e-7)
        u, s = u[:, spanned], s[spanned]
        return (rows.T @ (u / s @ u.T)).astype(inputs.dtype)
