"""Layers of graph neural networks, GCN and GraphSAGE, as pure functions on rows of some nodes.

Nothing here knows parts: a layer takes its operator on the nodes at hand, and what other nodes add.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.experimental.sparse import BCSR
from jaxtyping import Array, Bool, Float, Int, UInt32

from layers.names import GraphKind, check_name


class SparseMatrix(NamedTuple):
    """A sparse matrix and its transpose, which backpropagation multiplies by.

    Example:
        >>> S = sparse_matrix(sp.csr_array(np.array([[0.0, 2.0, 1.0]])))
        >>> S.shape, S.T.shape
        ((1, 3), (3, 1))
    """

    matrix: BCSR  # (rows, columns)
    transpose: BCSR  # (columns, rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.matrix.shape

    @property
    def T(self) -> "SparseMatrix":
        return SparseMatrix(self.transpose, self.matrix)


class GraphLayer(NamedTuple):
    """Parameters of one layer, z = p W + h W_self + b, p what the nodes gather of neighbours.

    Example:
        >>> init_graph_layer(0, 1, 4, 3, "gcn", "float32").W_self is None
        True
    """

    W: Array  # (n_in, n_out)
    W_self: Array | None  # (n_in, n_out); None where p holds the node itself (gcn)
    b: Array  # (n_out,)


def sparse_matrix(csr: sp.csr_array, entries: int | None = None) -> SparseMatrix:
    """A matrix of SciPy for `matmul`, in its type.

    Args:
        csr: Matrix, shape (rows, columns).
        entries: How many entries to store, so that matrices of one shape share compiled code. The
            spare ones belong to no row and change no bit of a product.

    Raises:
        ValueError: If the matrix has more entries.

    Example:
        >>> S = sparse_matrix(sp.csr_array(np.array([[0.0, 2.0], [0.0, 0.0]])), entries=5)
        >>> matmul(S, jnp.ones((2, 1))).tolist()
        [[2.0], [0.0]]
    """
    if entries is not None and entries < csr.nnz:
        raise ValueError(
            f"got {entries} entries for a matrix of {csr.nnz}; expected at least as many"
        )
    spare = 0 if entries is None else entries - csr.nnz

    def stored(csr: sp.csr_array) -> BCSR:
        values = jnp.asarray(np.pad(csr.data, (0, spare)))
        columns = jnp.asarray(np.pad(csr.indices, (0, spare)), jnp.int32)
        starts = jnp.asarray(csr.indptr, jnp.int32)
        return BCSR((values, columns, starts), shape=csr.shape, indices_sorted=True)

    return SparseMatrix(stored(csr.sorted_indices()), stored(csr.T.tocsr()))


@jax.custom_vjp
def matmul(S: SparseMatrix, x: Float[Array, "columns ..."]) -> Float[Array, "rows ..."]:
    """The product S x; its gradient is with respect to x alone, Sᵀ g.

    Example:
        >>> S = sparse_matrix(sp.csr_array(np.array([[0.0, 2.0, 1.0]])))
        >>> matmul(S, jnp.arange(3.0)).tolist(), matmul(S.T, jnp.ones(1)).tolist()
        ([4.0], [0.0, 2.0, 1.0])
    """
    return S.matrix @ x


def _forward(S: SparseMatrix, x: Array) -> tuple[Array, SparseMatrix]:
    return matmul(S, x), S


def _backward(S: SparseMatrix, gradient: Array) -> tuple[None, Array]:
    return None, matmul(S.T, gradient)


matmul.defvjp(_forward, _backward)


def init_graph_layer(
    seed: int, number: int, n_in: int, n_out: int, network: GraphKind, dtype: str
) -> GraphLayer:
    """Layer `number` of the network of `seed`: W, W_self ~ U(−a, a), a² = 6/(n_in + n_out), b = 0.

    Seed and number together seed NumPy's generator, as in `init_dense`.

    Raises:
        ValueError: If the network is neither `gcn` nor `sage`.

    Example:
        >>> init_graph_layer(0, 1, 4, 3, "sage", "float32").W_self.shape
        (4, 3)

    Source: Glorot and Bengio, AISTATS 2010.
    """
    check_name("kind of graph network", network, GraphKind)
    random, bound = np.random.default_rng((seed, number)), np.sqrt(6 / (n_in + n_out))
    W, W_self = (
        jnp.asarray(each, dtype) for each in random.uniform(-bound, bound, (2, n_in, n_out))
    )
    return GraphLayer(W, W_self if network == "sage" else None, jnp.zeros(n_out, dtype))


def aggregate(
    S_in: SparseMatrix, h: Float[Array, "own n"], c: Float[Array, "own n"]
) -> Float[Array, "own n"]:
    """What nodes gather of their neighbours: p = S_in h + c.

    Args:
        S_in: Operator on the nodes at hand, shape (own, own).
        h: Their rows.
        c: What nodes elsewhere add: S_out h_halo.

    Example:
        >>> S = sparse_matrix(sp.csr_array(np.array([[0.0, 2.0], [1.0, 0.0]])))
        >>> aggregate(S, jnp.array([[1.0], [3.0]]), jnp.ones((2, 1))).tolist()
        [[7.0], [2.0]]
    """
    return matmul(S_in, h) + c


def transform(
    layer: GraphLayer, p: Array | SparseMatrix, h: Array | SparseMatrix | None
) -> Float[Array, "own n_out"]:
    """A layer without its activation: z = p W + h W_self + b.

    Args:
        layer: Its parameters.
        p: What the nodes gather, shape (own, n_in); sparse in a first layer of sparse features.
        h: Their own rows, as p; a layer without W_self needs none.

    Example:
        >>> layer = GraphLayer(jnp.eye(2), 10 * jnp.eye(2), jnp.ones(2))
        >>> transform(layer, jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]])).tolist()
        [[32.0, 43.0]]
    """
    z = _product(p, layer.W) + layer.b
    return z if layer.W_self is None or h is None else z + _product(h, layer.W_self)


def _product(x: Array | SparseMatrix, W: Array) -> Array:
    return matmul(x, W) if isinstance(x, SparseMatrix) else x @ W


def dropout_key(
    seed: int, epoch: int | Int[Array, ""], layer: int | Int[Array, ""]
) -> UInt32[Array, ""]:
    """The key of one layer's dropout in one epoch, which may be traced.

    Example:
        >>> dropout_key(0, 1, 2) == dropout_key(0, 2, 1)
        Array(False, dtype=bool)
    """
    key = _mix(jnp.asarray(seed % 2**32, jnp.uint32))
    return _mix(_mix(key ^ jnp.asarray(epoch, jnp.uint32)) ^ jnp.asarray(layer, jnp.uint32))


@partial(jax.jit, static_argnames=("columns", "rate"))
def keep_mask(
    key: UInt32[Array, ""], nodes: Int[Array, " nodes"], columns: int, rate: float
) -> Bool[Array, "nodes columns"]:
    """Which values dropout keeps; each is kept with probability 1 − rate.

    An entry is a function of the key, the node and the column alone, whichever nodes stand beside
    it: results do not depend on how a graph is cut.

        r_v = mix(mix(v) ⊕ key),  u_vj = mix(r_v ⊕ mix(j)),  kept where u_vj ≥ 2³² rate

    Args:
        key: Made by `dropout_key`.
        nodes: Numbers of the nodes in the whole graph.
        columns: Number of columns.
        rate: In [0, 1).

    Example:
        >>> key, nodes = dropout_key(0, 1, 2), jnp.arange(100)
        >>> kept = keep_mask(key, nodes, 64, 0.5)
        >>> bool((kept[7:9] == keep_mask(key, nodes[7:9], 64, 0.5)).all())
        True

    Source: mix is the finaliser of Appleby's MurmurHash3. It is far faster than JAX's threefry with
    a key for each node.
    """
    rows = _mix(_mix(nodes.astype(jnp.uint32)) ^ key)
    bits = _mix(rows[:, None] ^ _mix(jnp.arange(columns, dtype=jnp.uint32)))
    return bits >= np.uint32(rate * 2**32)


def _mix(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def drop(
    h: Float[Array, "nodes n"], key: UInt32[Array, ""], nodes: Int[Array, " nodes"], rate: float
) -> Float[Array, "nodes n"]:
    """Dropout: h / (1 − rate) where `keep_mask` keeps it, else 0; h itself at rate 0.

    Example:
        >>> h = drop(jnp.ones((50, 8)), dropout_key(0, 1, 2), jnp.arange(50), 0.75)
        >>> sorted(set(h.ravel().tolist()))
        [0.0, 4.0]
    """
    if rate == 0:
        return h
    return jnp.where(keep_mask(key, nodes, h.shape[1], rate), h / (1 - rate), 0)
