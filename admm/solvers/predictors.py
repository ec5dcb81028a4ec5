"""Predictors of the halo's rows between two synchronisations: the functions of one part and layer.

A snapshot is what a synchronisation brought. When there is one is in `admm.methods.partitions`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from admm.solvers.graph_network import Part, Rows
from admm.solvers.settings import PredictionForm, check_rules
from layers import GraphLayer, SparseMatrix, matmul, transform

Window = Float[Array, "_snapshots _rows _columns"]
Ahead = float | Float[Array, ""]

LENGTH = 5
"""Snapshots that the recurrent network reads."""


class Predictor(ABC):
    """What predicts; a state has the snapshots of the halo, `halo[-1]` being the newest."""

    @abstractmethod
    def init(self, number: int, own: Rows, halo: Rows) -> Any:
        """A state after the first snapshot, which stands for those before it too.

        Args:
            number: Of the layer.
            own: H_l of own nodes when the snapshot came, shape (own, n).
            halo: The snapshot, shape (halo, n).
        """

    @abstractmethod
    def pulled(self, state: Any, own: Rows, halo: Rows) -> Any:
        """The state after one more snapshot."""

    @abstractmethod
    def predicted(self, state: Any, part: Part, ahead: Ahead) -> tuple[Any, Rows]:
        """The state after one more epoch, and the rows for it.

        Args:
            state: Of the epoch before.
            part: Whose halo it is.
            ahead: Epochs since the newest snapshot was sent, over those between two snapshots.
        """


# Autoregression.


class AutoregressionState(NamedTuple):
    """The last two snapshots, and discounted sums over all of them."""

    halo: Array  # (2, halo, n)
    products: Array  # ()  of consecutive differences
    squares: Array  # ()


@dataclass(frozen=True)
class Autoregression(Predictor):
    """A first-order autoregression of the differences between snapshots.

    With T_k the snapshots, K the newest, D_k = T_k − T_{k−1} and ⟨·, ·⟩ over all entries,

        c = Σ_k λ^{K−k} ⟨D_k, D_{k−1}⟩ / (ε + Σ_k λ^{K−k} ‖D_{k−1}‖²),  clipped to its bounds
        H̄ = max(0, T_K + a c D_K),  a the rounds that have gone by since T_K was sent

    Args:
        forgetting: λ.
        ridge: ε.
        bounds: Of c.

    Example:
        >>> predictor, rows = Autoregression(), [jnp.full((1, 1), x) for x in (1.0, 3.0, 4.0)]
        >>> state = predictor.init(1, rows[0], rows[0])
        >>> for each in rows[1:]:
        ...     state = predictor.pulled(state, each, each)
        >>> round(float(state.products / state.squares), 3)  # c: the second step is half the first
        0.5
    """

    forgetting: float = 0.5
    ridge: float = 1e-6
    bounds: tuple[float, float] = (-1.0, 1.2)

    def init(self, number: int, own: Rows, halo: Rows) -> AutoregressionState:
        return AutoregressionState(jnp.stack([halo, halo]), *jnp.zeros((2, 1), halo.dtype)[:, 0])

    @partial(jax.jit, static_argnames="self")
    def pulled(self, state: AutoregressionState, own: Rows, halo: Rows) -> AutoregressionState:
        before, now = state.halo[1] - state.halo[0], halo - state.halo[1]
        products = self.forgetting * state.products + jnp.sum(now * before)
        squares = self.forgetting * state.squares + jnp.sum(before**2)
        return AutoregressionState(_moved(state.halo, halo), products, squares)

    @partial(jax.jit, static_argnames="self")
    def predicted(
        self, state: AutoregressionState, part: Part, ahead: Ahead
    ) -> tuple[AutoregressionState, Rows]:
        c = jnp.clip(state.products / (self.ridge + state.squares), *self.bounds)
        rows = state.halo[1] + ahead * c * (state.halo[1] - state.halo[0])
        return state, jax.nn.relu(rows)


# A recurrent network along the snapshots, and a graph network across the nodes.


class LSTMGCNNetwork(NamedTuple):
    """Parameters; all widths are n."""

    cell: eqx.nn.LSTMCell
    layers: tuple[GraphLayer, GraphLayer]


class LSTMGCNState(NamedTuple):
    """The last snapshots with H_l of own nodes when they came, the network, and its Adam."""

    own: Array  # (6, own, n)
    halo: Array  # (6, halo, n)
    network: LSTMGCNNetwork
    memory: Any


@dataclass(frozen=True)
class LSTMGCN(Predictor):
    """SAT's predictor: an LSTM along five snapshots, then a GCN of two layers.

    With X_k the rows of own nodes and halo in snapshot k, S the operator among these nodes, and
    h = LSTM(X_{K−4}, …, X_K),

        g(X) = S f(S h A_1 + a_1) A_2 + a_2,  rows of the halo
        absolute  H̄ = max(0, g(X))
        residual  H̄ = max(0, T_K + a g(X)),  a the rounds that have gone by since T_K was sent

    Every epoch takes one step of Adam on the mean squared error of what it would have said of the
    newest snapshot, from those before it. Where a has reached 0, H̄ is the snapshot.

    Args:
        form: Whether g gives the rows of the next snapshot, or what they differ by from the newest.
        learning_rate: Of Adam.
        seed: Of the start; a residual one starts as the newest snapshot.

    Raises:
        InputError: If the form is unknown, or the learning rate out of range.

    Example:
        >>> predictor, rows = LSTMGCN(), jnp.ones((2, 3))
        >>> state = predictor.init(1, rows, rows)
        >>> state = predictor.pulled(state, 2 * rows, 2 * rows)
        >>> state.halo[:, 0, 0].tolist()  # five snapshots to read, and the one to learn from
        [1.0, 1.0, 1.0, 1.0, 1.0, 2.0]

    Source: SAT, arXiv 2308.13466, and its code. The residual form, the maximum and the snapshots
    that stand in at the beginning are ours; every part trains a predictor of its own.
    """

    form: PredictionForm = "residual"
    learning_rate: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_rules(self)

    def init(self, number: int, own: Rows, halo: Rows) -> LSTMGCNState:
        n, dtype = halo.shape[1], halo.dtype
        keys = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), number), 3)
        start = jax.nn.initializers.glorot_uniform()
        W_1, W_2 = (start(key, (n, n), dtype) for key in keys[1:])
        if self.form == "residual":
            W_2 = jnp.zeros_like(W_2)
        network = LSTMGCNNetwork(
            eqx.nn.LSTMCell(n, n, dtype=dtype, key=keys[0]),
            (
                GraphLayer(W_1, None, jnp.zeros(n, dtype)),
                GraphLayer(W_2, None, jnp.zeros(n, dtype)),
            ),
        )
        own, halo = (jnp.stack([rows] * (LENGTH + 1)) for rows in (own, halo))
        return LSTMGCNState(own, halo, network, self._optimizer().init(network))

    @partial(jax.jit, static_argnames="self")
    def pulled(self, state: LSTMGCNState, own: Rows, halo: Rows) -> LSTMGCNState:
        return state._replace(own=_moved(state.own, own), halo=_moved(state.halo, halo))

    @partial(jax.jit, static_argnames="self")
    def predicted(self, state: LSTMGCNState, part: Part, ahead: Ahead) -> tuple[LSTMGCNState, Rows]:
        assert part.induced is not None  # those who cut the graph have seen to that
        S, own, halo = part.induced, state.own, state.halo
        is_residual = self.form == "residual"
        truth = halo[-1] - halo[-2] if is_residual else halo[-1]
        filled = jnp.diff(part.outer.T.matrix.indptr) > 0  # rows of nodes; others fill up

        def error(network: LSTMGCNNetwork) -> Float[Array, ""]:
            off = jnp.where(filled[:, None], _passed(network, S, own[:-1], halo[:-1]) - truth, 0)
            return jnp.sum(off**2) / (jnp.maximum(jnp.sum(filled), 1) * off.shape[1])

        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            gradient = jax.grad(error)(state.network)
            updates, memory = self._optimizer().update(gradient, state.memory)
        network = optax.apply_updates(state.network, updates)
        found = _passed(network, S, own[1:], halo[1:])
        rows = halo[-1] + ahead * found if is_residual else jnp.where(ahead > 0, found, halo[-1])
        return state._replace(network=network, memory=memory), jax.nn.relu(rows)

    def _optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


def _passed(network: LSTMGCNNetwork, S: SparseMatrix, own: Window, halo: Window) -> Rows:
    """g of the halo."""
    x = jnp.concatenate([own, halo], axis=1)
    start = jnp.zeros_like(x[0])
    step = jax.vmap(network.cell)
    (h, _), _ = jax.lax.scan(lambda memory, x: (step(x, memory), None), (start, start), x)
    first, last = network.layers
    h = jax.nn.relu(transform(first, matmul(S, h), None))
    return transform(last, matmul(S, h), None)[-halo.shape[1] :]


def _moved(window: Window, newest: Rows) -> Window:
    return jnp.concatenate([window[1:], newest[None]])
