"""Hop operators of graph-augmented MLPs: X = [H, ÃH, …, Ã^(K−1)H], for the rows that are needed.

Everything here runs once, on the host, in SciPy. `row_basis` turns the wide input of a small
training set into an equivalent narrow one.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from layers.names import Normalization, check_name

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
    """Dense network input of the nodes `rows`: X, shape (len(rows), hops·d).

    The feature columns are propagated block by block, so that beside the result only about
    256 MiB is ever dense, whatever the size of the graph.

    Args:
        features: H, shape (nodes, d).
        adjacency: A, see `normalized_adjacency`.
        rows: Nodes whose inputs are wanted.
        hops: K, the number of operators I, Ã, …, Ã^(K−1).
        normalize: `hops` scales each row of each hop block to unit Euclidean length, `features`
            does so to the rows of H before the hops, `none` leaves the paper's inputs. Rows of any
            finite size get their length; rows of zeros stay zero.
        dtype: Type of the result. `none` leaves infinities where it overflows.

    Raises:
        ValueError: If `normalize` is none of these, or no floating-point type holds the smallest
            and the largest values together.

    Example:
        >>> features = sp.csr_array(np.array([[3.0, 4.0], [0.0, 2.0]]))
        >>> adjacency = sp.csr_array(np.array([[0, 1], [1, 0]]))
        >>> hop_inputs(features, adjacency, np.array([0]), hops=1)
        array([[0.6, 0.8]], dtype=float32)

    Source: Wang et al., arXiv 2105.09837, section III. The scaling is ours.
    """
    width = features.shape[1]
    inputs = np.empty((len(rows), hops, width), dtype)
    for hop, columns, block, shrink in _blocks(features, adjacency, rows, hops, normalize, dtype):
        if (shrink < 1).any():
            inputs[:, hop, : columns.start] *= shrink
        inputs[:, hop, columns] = block
    if normalize == "hops":
        inputs /= _lengths(np.einsum("rhc,rhc->rh", inputs, inputs))[:, :, None]  # no copy
    return inputs.reshape(len(rows), hops * width)


def hop_product(
    features: sp.csr_array,
    adjacency: sp.csr_array,
    rows: np.ndarray,
    weights: np.ndarray,
    *,
    hops: int = 4,
    normalize: Normalization = "hops",
) -> np.ndarray:
    """X W of the X that `hop_inputs` returns, shape (len(rows), n), without X.

    Each block of columns is multiplied by its rows of W as soon as it is there. Beside the blocks
    that takes `hops` times the memory of the result.

    Args:
        features: H, shape (nodes, d).
        adjacency: A, see `normalized_adjacency`.
        rows: Nodes whose products are wanted.
        weights: W, shape (hops·d, n); the result is of its type.
        hops: As in `hop_inputs`.
        normalize: As in `hop_inputs`; where `none` overflows, the result is not finite.

    Raises:
        ValueError: As `hop_inputs` does.

    Example:
        >>> features, adjacency = sp.eye_array(3, format="csr"), sp.csr_array((3, 3))
        >>> hop_product(features, adjacency, np.array([2]), np.arange(12.0).reshape(6, 2), hops=2)
        array([[14., 16.]])
    """
    parts = weights.reshape(hops, features.shape[1], weights.shape[1])
    products = np.zeros((hops, len(rows), weights.shape[1]), weights.dtype)
    squares = np.zeros((hops, len(rows), 1), weights.dtype)
    given = (features, adjacency, rows, hops, normalize, weights.dtype)
    # Infinities come where nothing is scaled; for the number of threads see `row_basis`.
    with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(1):
        for hop, columns, block, shrink in _blocks(*given):
            products[hop] *= shrink
            products[hop] += block @ parts[hop, columns]
            squares[hop] *= shrink**2
            squares[hop, :, 0] += np.einsum("rc,rc->r", block, block)
    if normalize == "hops":
        products /= _lengths(squares)
    return products.sum(axis=0)


def _lengths(squares: np.ndarray) -> np.ndarray:
    """What rows have to be divided by, from their sums of squares."""
    norms = np.sqrt(squares)
    return np.where(norms > 0, norms, 1)


def _blocks(
    features: sp.csr_array,
    adjacency: sp.csr_array,
    rows: np.ndarray,
    hops: int,
    normalize: Normalization,
    dtype: np.dtype | type,
) -> Iterator[tuple[int, slice, np.ndarray, np.ndarray]]:
    """Hop, columns and their inputs, block by block; `hops` leaves the division to the caller.

    The rows that it has to divide come with a power of two that brings their largest value to
    ½…1: their squares neither overflow nor vanish. The last item is what the same rows of the
    blocks before, of the same hop, have to be multiplied by to have the same power.
    """
    check_name("normalisation", normalize, Normalization)
    if normalize == "features":
        features = _unit_rows(features, dtype)
    operator, columns, exponent = _in_range(features, adjacency, hops, dtype)
    nodes, width = columns.shape
    size = max(1, _BLOCK_BYTES // (nodes * operator.dtype.itemsize))
    largest = np.zeros((hops, len(rows), 1), operator.dtype)
    for start in range(0, width, size):
        chosen = slice(start, min(start + size, width))
        part = columns[:, chosen].toarray()
        for hop in range(hops):
            part = operator @ part if hop else part
            block, before = part[rows], _power(largest[hop])
            if normalize == "hops":
                for values in (block.max(axis=1), -block.min(axis=1)):
                    np.maximum(largest[hop, :, 0], values, out=largest[hop, :, 0])
                block *= _power(largest[hop])
            elif exponent:
                block = np.ldexp(block, exponent)
            shrink = np.minimum(_power(largest[hop]) / before, 1)  # rows of zeros may stay so
            with np.errstate(over="ignore"):
                block = block.astype(dtype, copy=False)
            yield hop, chosen, block, shrink


def _power(largest: np.ndarray) -> np.ndarray:
    """The power of two that brings positive numbers to ½…1; 1 for 0."""
    return np.ldexp(largest.dtype.type(1), -np.frexp(largest)[1])


def _unit_rows(features: sp.csr_array, dtype: np.dtype | type) -> sp.csr_array:
    """Rows scaled to unit length, by a power of two first, so that no square is out of range."""
    features = sp.csr_array(features, dtype=np.float64)
    largest = abs(features).max(axis=1).toarray().ravel()
    exponents = np.repeat(-np.frexp(largest)[1], np.diff(features.indptr))
    data = np.ldexp(features.data, exponents).astype(dtype)
    features = sp.csr_array((data, features.indices, features.indptr), shape=features.shape)
    return sp.diags_array(1 / _lengths(features.multiply(features).sum(axis=1))) @ features


def _in_range(
    features: sp.csr_array, adjacency: sp.csr_array, hops: int, dtype: np.dtype | type
) -> tuple[sp.csr_array, sp.csc_array, int]:
    """Ã, 2^(−e) H and e, in a type in which no term of Ã^k H overflows or loses digits.

    That is `dtype`, with e = 0, for all but extreme data; else float64.
    """
    operator = normalized_adjacency(adjacency)
    sizes = np.abs(features.data[features.data != 0].astype(np.float64))
    low, high = np.log2([sizes.min(initial=np.inf), sizes.max()]) if sizes.size else (0.0, 0.0)
    low += (hops - 1) * np.log2(operator.data[operator.data > 0].min())
    high += (hops - 1) * np.log2(operator.sum(axis=1).max())
    if max(-low, high) <= _reach(dtype):
        return operator.astype(dtype), sp.csc_array(features, dtype=dtype), 0
    if high - low > 2 * _reach(np.float64):
        raise ValueError(
            f"features and edge weights make values from 2^{low:.0f} to 2^{high:.0f}, more than "
            "float64 can hold; drop the smallest or the largest"
        )
    exponent = round((low + high) / 2)
    features = sp.csr_array(features, dtype=np.float64, copy=True)
    features.data = np.ldexp(features.data, -exponent)
    return operator, sp.csc_array(features), exponent


def _reach(dtype: np.dtype | type) -> int:
    """Powers of two up to this one, and down to its inverse, are far from a type's ends."""
    about = np.finfo(dtype)
    return -about.minexp - about.nmant


def basis_columns(nodes: int, features: int) -> int:
    """Columns of inputs in the coordinates of `row_basis`: `features` where it makes none.

    Example:
        >>> basis_columns(3, 50), basis_columns(30, 50)
        (3, 50)
    """
    return nodes if 2 * nodes <= features else features


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
    if basis_columns(nodes, features) == features:
        return None
    size = max(1, _BLOCK_BYTES // (nodes * np.dtype(np.float64).itemsize))
    blocks = [slice(start, start + size) for start in range(0, features, size)]
    gram = np.zeros((nodes, nodes))
    with threadpool_limits(1):  # BLAS adds in another order on another number of threads
        for columns in blocks:
            block = inputs[:, columns].astype(np.float64)
            gram += block @ block.T
        squares, u = np.linalg.eigh(gram)  # XXᵀ = U S² Uᵀ
        s = np.sqrt(np.maximum(squares, 0))
        # The Gram matrix resolves singular values down to the root of the float64 precision.
        spanned = s > s[-1] * max(nodes * np.finfo(inputs.dtype).eps, 1e-7)
        u, s = u[:, spanned], s[spanned]
        inverse_root = u / s @ u.T
        basis = np.empty((features, nodes), inputs.dtype)
        for columns in blocks:
            basis[columns] = inputs[:, columns].astype(np.float64).T @ inverse_root
        return basis
