"""Full-graph training of a GNN over parts of the graph: the functions of one part.

Who sends what to whom when is in `admm.methods.partitions`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from admm.solvers.settings import check_rules
from layers import GraphLayer, SparseMatrix, aggregate, drop, dropout_key, matmul, transform

Rows = Float[Array, "_rows _columns"]
Scalar = Float[Array, ""]
Pull = Callable[[Array], tuple[Any, ...]]
"""Gradients at what a function was given, from that at its result."""


class Nodes(NamedTuple):
    """Some nodes' numbers, and what the first layer reads of them, which never changes."""

    ids: Array  # (rows,)  in the whole graph, for dropout
    p: Array | SparseMatrix | None = None  # (rows, features)  S X, where they have a first layer
    x: Array | SparseMatrix | None = None  # (rows, features)  X, where it reads that


class Part(NamedTuple):
    """Constant arrays of one part of the graph."""

    inner: SparseMatrix  # (own, own)  S_in
    outer: SparseMatrix  # (own, halo)  S_out
    own: Nodes
    halo: Nodes
    targets: Array  # (own,)  classes
    weights: Array  # (own,)  1/(training nodes of the graph) of one of them, else 0
    # (own + halo, own + halo)  S among these nodes, where a predictor reads it
    induced: SparseMatrix | None = None


@dataclass(frozen=True)
class GraphNetwork:
    """A GCN or GraphSAGE on the rows of one part, layer by layer.

    S is the operator of the whole graph, its rows of the part split into columns of own nodes,
    S_in, and of the halo, S_out. With C_l = S_out H̄_l, whatever H̄_l is taken to be,

        Z_0 = P_0 W_0 (+ X V_0) + b_0,                      P_0 = S X of own rows: exact
        P_l = S_in drop(H_l) + C_l,   Z_l = P_l W_l (+ drop(H_l) V_l) + b_l,   H_{l+1} = f(Z_l)

    where the terms in brackets are GraphSAGE's. Backwards, from G = ∂loss/∂Z_l,

        ∂W_l = P_lᵀ G,   ∂C_l = G W_lᵀ,   ∂H_l = drop'(S_inᵀ ∂C_l (+ G V_lᵀ)),   ∂H̄_l = S_outᵀ ∂C_l

    The loss of a part is its share of the mean cross-entropy over training nodes: losses and
    gradients of all parts add up to those of the whole graph, if H̄_l are the rows of now, and their
    owners add ∂H̄_l to their ∂H_l.

    Args:
        dropout: Fraction of the values of H_l that training drops.
        seed: Of what is dropped, a function of epoch, layer, node and column alone.

    Raises:
        InputError: If the dropout is out of range.

    Example:
        >>> layer = GraphLayer(jnp.diag(jnp.array([1.0, -1.0])), None, jnp.zeros(2))
        >>> nodes = Nodes(jnp.arange(1), p=jnp.array([[3.0, 2.0]]))
        >>> h, pull = GraphNetwork().first(layer, nodes, is_last=False)
        >>> (gradient,) = GraphNetwork.pull(pull, jnp.ones((1, 2)))
        >>> h.tolist(), gradient.W.tolist()
        ([[3.0, 0.0]], [[3.0, 0.0], [2.0, 0.0]])

    Source: Kipf and Welling, arXiv 1609.02907; Hamilton et al., arXiv 1706.02216.
    """

    dropout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_rules(self)

    # Forward, and what it takes to come back.

    @partial(jax.jit, static_argnames=("self", "is_last"))
    def first(self, layer: GraphLayer, nodes: Nodes, *, is_last: bool) -> tuple[Rows, Pull]:
        """H_1 of some nodes; pulling gives ∂layer."""
        return jax.vjp(lambda layer: _activated(layer, nodes.p, nodes.x, is_last), layer)

    @partial(jax.jit, static_argnames=("self", "is_last"))
    def own(
        self,
        layer: GraphLayer,
        part: Part,
        h: Rows,
        c: Rows,
        epoch: Int[Array, ""] | int,
        number: Int[Array, ""] | int,
        *,
        is_last: bool,
    ) -> tuple[Rows, Pull]:
        """H_{l+1} of own nodes, or logits; pulling gives ∂layer, ∂H_l and ∂C_l."""

        def forward(layer: GraphLayer, h: Rows, c: Rows) -> Rows:
            h = self.dropped(h, part.own.ids, epoch, number)
            return _activated(layer, aggregate(part.inner, h, c), h, is_last)

        return jax.vjp(forward, layer, h, c)

    @partial(jax.jit, static_argnames="self")
    def mirrored(
        self,
        layer: GraphLayer,
        nodes: Nodes,
        p: Rows,
        h: Rows,
        epoch: Int[Array, ""] | int,
        number: Int[Array, ""] | int,
    ) -> tuple[Rows, Pull]:
        """H_{l+1} of the halo from P_l that its owners have sent; pulling gives ∂layer and ∂H̄_l."""

        def forward(layer: GraphLayer, h: Rows) -> Rows:
            return _activated(layer, p, self.dropped(h, nodes.ids, epoch, number), False)

        return jax.vjp(forward, layer, h)

    @partial(jax.jit, static_argnames="self")
    def spread(
        self,
        part: Part,
        ids: Array,
        h: Rows,
        epoch: Int[Array, ""] | int,
        number: Int[Array, ""] | int,
    ) -> tuple[Rows, Pull]:
        """C_l = S_out drop(H̄_l), with the dropout of the halo's owners; pulling gives ∂H̄_l."""
        return jax.vjp(lambda h: matmul(part.outer, self.dropped(h, ids, epoch, number)), h)

    def dropped(
        self, h: Rows, ids: Array, epoch: Int[Array, ""] | int, number: Int[Array, ""] | int
    ) -> Rows:
        """H_l with dropout."""
        return drop(h, dropout_key(self.seed, epoch, number), ids, self.dropout)

    @partial(jax.jit, static_argnames="self")
    def loss(self, part: Part, logits: Rows) -> tuple[Scalar, Rows]:
        """The share of a part, and its gradient at the logits."""
        return jax.value_and_grad(lambda z: cross_entropy(part, z))(logits)

    @staticmethod
    @jax.jit
    def pull(back: Pull, gradient: Rows) -> tuple[Any, ...]:
        """Gradients at what a function was given, from that at its result."""
        return back(gradient)


@partial(jax.jit, static_argnames="is_last")
def apply_first(layer: GraphLayer, nodes: Nodes, *, is_last: bool) -> Rows:
    """H_1 of some nodes, not to be trained."""
    return _activated(layer, nodes.p, nodes.x, is_last)


@partial(jax.jit, static_argnames="is_last")
def apply_layer(layer: GraphLayer, part: Part, h: Rows, halo: Rows, *, is_last: bool) -> Rows:
    """H_{l+1} of own nodes, or logits, without dropout, not to be trained."""
    return _activated(layer, aggregate(part.inner, h, matmul(part.outer, halo)), h, is_last)


def _activated(layer: GraphLayer, p: Any, h: Any, is_last: bool) -> Rows:
    z = transform(layer, p, h)
    return z if is_last else jax.nn.relu(z)


def cross_entropy(part: Part, logits: Rows) -> Scalar:
    """A part's share of the mean over training nodes."""
    each = optax.softmax_cross_entropy_with_integer_labels(logits, part.targets)
    return jnp.sum(jnp.where(part.weights > 0, each, 0) * part.weights)


# The boundary of the constrained form.


class Boundary(NamedTuple):
    """What an owner keeps of H_l from one synchronisation to the next, (own, n) each.

    Every copy p of a boundary row has the constraint p = H_l. Its multiplier is the gradient of the
    copy's part at p, which comes back at a synchronisation.
    """

    multiplier: Array  # sum of the multipliers of all copies of a row; 0 where there are none
    sent: Array  # H_l as it was sent
    penalty: Array  # ρ of the rows that have copies, else 0


@jax.jit
def new_boundary(multiplier: Rows, h: Rows, copied: Array, gamma: Scalar | float) -> Boundary:
    """After a synchronisation: ρ = γ ‖multiplier‖/‖H_l‖ over the boundary rows of a part."""
    sent = jnp.where(copied[:, None], h, 0)
    length = jnp.linalg.norm(sent)
    rho = gamma * jnp.linalg.norm(multiplier) / jnp.where(length > 0, length, 1)
    return Boundary(multiplier, sent, jnp.where(copied, rho, 0)[:, None])


@jax.jit
def bound(gradient: Rows, h: Rows, boundary: Boundary) -> Rows:
    """∂H_l of the augmented Lagrangian: ∂H_l + multiplier + ρ (H_l − H_l as sent)."""
    return gradient + boundary.multiplier + boundary.penalty * (h - boundary.sent)
