"""Stochastic ADMM of dense layers and convolutions: exact multipliers, and local Newton steps.

The functions here act on consecutive layers and one micro-batch;
`admm.methods.stochastic.worker` says who does what when.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import gcd, prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, Int, PRNGKeyArray

from admm.solvers.losses import Loss, cross_entropy
from admm.solvers.settings import check_rules
from layers import Affine, Dense, activate, affine, patches, sides, weights, with_weights

Function = Callable[[Array], Array]
Scalar = Float[Array, ""]
Rows = Float[Array, "rows ..."]

# W-steps at the start that each invert anew: the moment still changes fast.
WARM_UP = 16

# μ, the memory of the average of N.
MEMORY = 0.9

# Floor of the damping, beside inputs that are all but zero.
_FLOOR = 1e-6

# Of fewer rows at a time, adding up the products of a W-step costs more than they do.
_ROWS_AT_ONCE = 64


class Layer(NamedTuple):
    """One layer in training. With p̃ = (p, 1), m = n_in + 1."""

    params: Affine
    moment: Array  # (m, m)  A: average of N, not corrected for its start from 0
    inverse: Array  # (m, m)  (A + εI)⁻¹
    damping: Array  # ()     ε
    steps: Array  # ()       W-steps so far


class Record(NamedTuple):
    """What a layer keeps of a micro-batch between its way up and its way down."""

    p: Array  # (rows, n_in)   input; of a convolution, rows are images
    s: Array  # (rows, n_out)  pre-activation; images likewise


class Window(NamedTuple):
    """What a layer keeps of micro-batches on their way down until its W-step."""

    p: Array  # (slots, rows, n_in)
    delta: Array  # (slots, rows, n_out)  gradient at s of the loss of each row
    squares: Array  # (slots,)  ‖s‖²


class Place(NamedTuple):
    """Where a layer is: neither readers of inputs or images nor the last are pulled towards I."""

    reads_data: bool
    is_last: bool


@dataclass(frozen=True)
class StochasticADMM:
    """A network whose layers all work at once, each on another micro-batch.

    For a row y of targets, the problem

        minimise  R(s_L; y)  so that  s_l = p_l W_l + b_l,  p_{l+1} = f(s_l)

    has a multiplier u for every constraint p_{l+1} = q_l, q_l = f(s_l). With g the gradient at p of
    all that lies above, the linearised update of p at q, p ← q − (g + u)/ρ, and the dual update
    u ← u + ρ(p − q) give u = −g: exact, whatever ρ and the old u. So q goes up and g down, and
    no slack is left between layers. With δ_l the gradient at s_l,

        up      s = p W + b,   q = f(s)
        down    δ = f'(s) ∘ g (of the last layer: the gradient of R),   g of below = δ Wᵀ
        W-step  G = mean of p̃ᵀδ  over the rows of some micro-batches, and from time to time
                N = mean of p̃ᵀp̃,   A ← μA + (1 − μ)N,   μ = 0.9,
                D = η (A/(1 − μᵏ) + εI)⁻¹ G,   ε = λ tr(A)/m + 10⁻⁶,
                D ← D min(1, κ‖s‖/√tr(DᵀAD)),   W ← (W − D + ηω W⁰)/(1 + ηω)

    where b is the last row of W, which no decay pulls, p̃ = (p, 1) and ‖s‖ the root mean square over
    rows, of the last layer at least 1. The W-step is the damped least-squares step of one layer:
    with δ fixed it minimises the mean of −⟨δ, p̃D⟩ + ‖p̃D‖²/2η, but for ε and the average in A. W⁰ is
    the identity for hidden layers, which start there, and 0 for the first layer and those that read
    images, which start from random weights, and the last, which starts from 0. The rate η falls
    linearly to 0.

    A convolution is the product s = P(p) W + b with the patches of its image, a row for each
    position. Then g of below is the transpose of P, applied to δ Wᵀ, and f' the transpose of f's
    derivative, f being max pooling and rectifier. Products and ‖s‖² are summed over positions, and
    only their means are those over rows. D would be the same with means over positions: all that it
    is made of, ε included, would be divided by their number (but for the floor of ε).

    A micro-batch comes down to layer l 2(L − l) ticks after it went up; p and s are those of then,
    W is that of now. So, plainly: without delay, this is backpropagation with a block-diagonal
    Gauss–Newton step of which only the input factor is kept; with it, that of a pipeline.

    Its kin: K-FAC (Martens and Grosse, arXiv 1503.05671) has the same input factor, and another one
    for δ; of convolutions, KFC (Grosse and Martens, arXiv 1602.01407) has the same. PipeDream
    (arXiv 1806.03377) and decoupled backpropagation (DDG, arXiv 1804.10574) train layers on delayed
    gradients with first-order steps; Features Replay (arXiv 1807.04511) computes p and s anew with
    the weights of now. gsADMM (`TSSM`) has the same messages, with an optimiser in the place of the
    W-step, and a proximal term that bounds the delay's harm.

    Args:
        loss: R of each row, from outputs and targets.
        damping: λ.
        reach: κ; None for no bound.
        factor_every: W-steps from one N and its inverse to the next, after the first 16.
        dropout: Fraction of the inputs of the first layer that a row loses in training.

    Raises:
        InputError: If a parameter is out of range.

    Example:
        >>> solver, place = StochasticADMM(), Place(reads_data=True, is_last=True)
        >>> x, y = jnp.eye(2), jnp.array([0, 1])
        >>> layer = solver.init(Dense(jnp.zeros((2, 2)), jnp.zeros(2)))
        >>> for _ in range(5):
        ...     (record,), s = solver.up([layer.params], x, last=True)
        ...     delta, _ = solver.at_top(s, y)
        ...     window = Window(x[None], delta[None], jnp.sum(s**2)[None])
        ...     layer, _ = solver.step(layer, window, 1, rate=1.0, decay=0.0, place=place)
        >>> (x @ layer.params.W + layer.params.b).argmax(axis=1).tolist()
        [0, 1]
    """

    loss: Loss = cross_entropy
    damping: float = 1.0
    reach: float | None = 0.3
    factor_every: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_rules(self)

    def init(self, params: Affine) -> Layer:
        """A layer about to be trained."""
        W, _ = weights(params)
        dtype, m = W.dtype, W.shape[0] + 1
        moment, inverse = jnp.zeros((2, m, m), dtype)
        return Layer(params, moment, inverse, jnp.zeros((), dtype), jnp.zeros((), jnp.int32))

    # A micro-batch.

    def drop(self, x: Rows, key: PRNGKeyArray) -> Rows:
        """Inputs of the first layer, of which a row loses some."""
        if not self.dropout:
            return x
        kept = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
        return jnp.where(kept, x / (1 - self.dropout), 0)

    def up(self, network: Sequence[Affine], x: Rows, last: bool) -> tuple[list[Record], Rows]:
        """Pass a micro-batch through consecutive layers: what each keeps of it, and what goes up.

        Args:
            network: The layers.
            x: What the first of them reads.
            last: Whether the last one is the output layer, which has no activation.
        """
        records = []
        for number, layer in enumerate(network, start=1):
            s = affine(layer, x)
            records.append(Record(x, s))
            x = s if last and number == len(network) else activate(layer, s)
        return records, x

    def at_top(self, s: Rows, targets: Array) -> tuple[Rows, Scalar]:
        """δ of the output layer, and the loss, summed over rows."""
        loss, delta = jax.value_and_grad(lambda s: jnp.sum(self.loss(s, targets)))(s)
        return delta, loss

    def down(
        self, network: Sequence[Affine], records: Sequence[Record], delta: Rows
    ) -> tuple[list[Rows], Rows]:
        """Pass multipliers down through consecutive layers: δ of each, and what goes down.

        Args:
            network: The layers.
            records: What they kept of the micro-batch.
            delta: That of the last of them.
        """
        deltas = [delta]
        for number in reversed(range(len(network))):
            _, transposed = jax.vjp(partial(affine, network[number]), records[number].p)
            (g,) = transposed(deltas[0])
            if not number:
                break
            f = partial(activate, network[number - 1])
            deltas.insert(0, self.pull(records[number - 1].s, g, f))
        return deltas, g

    def pull(self, s: Rows, g: Rows, f: Function = jax.nn.relu) -> Rows:
        """δ, the gradient at s of what has the gradient g at f(s)."""
        return jax.vjp(f, s)[1](g)[0]

    # A W-step.

    def step(
        self,
        layer: Layer,
        window: Window,
        count: Int[Array, ""] | int,
        rate: Scalar | float,
        decay: Scalar | float,
        place: Place,
    ) -> tuple[Layer, Array]:
        """The W-step of a layer, and 1 if κ has bound it, else 0.

        Args:
            layer: The layer.
            window: Its micro-batches; those after the first `count` do not count.
            count: How many there are.
            rate: η.
            decay: ω.
            place: Of the layer.
        """
        old, moment, inverse, damping, steps = layer
        W, b = weights(old)
        slots, size = window.p.shape[:2]
        dtype, rows = W.dtype, count * size
        squares = jnp.sum(jnp.where(jnp.arange(slots) < count, window.squares, 0))

        def invert() -> tuple[Array, Array, Array]:
            averaged = MEMORY * moment + (1 - MEMORY) / rows * _second_moment(old, window, count)
            later = jnp.maximum(steps - WARM_UP, 0) // self.factor_every
            times = jnp.minimum(steps, WARM_UP) + later + 1  # k
            corrected = averaged / (1 - MEMORY ** jnp.asarray(times, dtype))
            epsilon = self.damping * jnp.trace(corrected) / len(moment) + _FLOOR
            one = jnp.eye(len(moment), dtype=dtype)
            factor = cho_factor(corrected + epsilon * one, lower=True)
            return averaged, cho_solve(factor, one), epsilon

        anew = (steps < WARM_UP) | (steps % self.factor_every == 0)
        moment, inverse, damping = jax.lax.cond(anew, invert, lambda: (moment, inverse, damping))
        gradient = _summed(old, window, window.delta, count) * (rate / rows)
        change = inverse @ gradient
        # tr(DᵀAD): with (A + εI)D = G, no product is needed.
        length = jnp.sum(change * gradient) - damping * jnp.sum(change**2)
        room = jnp.sqrt(squares / rows)
        room = jnp.maximum(room, 1) if place.is_last else room
        reach = jnp.inf if self.reach is None else self.reach
        scale = reach * room / jnp.sqrt(jnp.maximum(length, jnp.finfo(dtype).tiny))
        change = change * jnp.minimum(scale, 1)
        pulled = W - change[:-1] + rate * decay * anchor(W.shape, place, dtype)
        params = with_weights(old, Dense(pulled / (1 + rate * decay), b - change[-1]))
        return Layer(params, moment, inverse, damping, steps + 1), (scale < 1).astype(dtype)


def _summed(
    layer: Affine, window: Window, y: Array, count: Int[Array, ""] | int, of_inputs: bool = False
) -> Array:
    """Σ p̃ᵀy over rows and positions of the first `count` micro-batches, (n_in + 1, columns of y).

    Some micro-batches at a time, so that the others cost nothing. With `of_inputs`, y are inputs as
    p is, and its patches count.
    """
    slots, size = y.shape[:2]
    at_once = gcd(slots, slots_at_once(size))

    def flat(rows: Array, of_inputs: bool) -> Array:
        rows = rows.reshape(at_once * size, *rows.shape[2:])
        rows = patches(layer, rows) if of_inputs else rows
        return rows.reshape(-1, rows.shape[-1])

    def add(number: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        first = number * at_once
        p, own = (jax.lax.dynamic_slice_in_dim(a, first, at_once) for a in (window.p, y))
        used = first + jnp.arange(at_once) < count
        own = jnp.where(used.reshape(-1, *(y.ndim - 1) * [1]), own, 0)
        p, own = flat(p, True), flat(own, of_inputs)
        return sums[0] + p.T @ own, sums[1] + jnp.sum(own, axis=0)

    (n_in, n_out), dtype = sides(layer), y.dtype
    columns = n_in if of_inputs else n_out
    start = jnp.zeros((n_in, columns), dtype), jnp.zeros(columns, dtype)
    products, sums = jax.lax.fori_loop(0, -(-count // at_once), add, start)
    return jnp.concatenate([products, sums[None]])


def _second_moment(layer: Affine, window: Window, count: Int[Array, ""] | int) -> Array:
    """Σ p̃ᵀp̃ likewise, (n_in + 1, n_in + 1)."""
    products = _summed(layer, window, window.p, count, of_inputs=True)
    positions = prod(window.delta.shape[1:-1])
    rows = jnp.asarray(count * positions, products.dtype)
    return jnp.concatenate([products, jnp.append(products[-1], rows)[:, None]], axis=1)


def slots_at_once(size: int) -> int:
    """Micro-batches of so many rows that make one product of a good size.

    Example:
        >>> slots_at_once(10), slots_at_once(200)
        (6, 1)
    """
    return max(1, _ROWS_AT_ONCE // size)


def anchor(shape: tuple[int, ...], place: Place, dtype: np.dtype | str) -> Array:
    """W⁰, where decay pulls a layer.

    Example:
        >>> anchor((2, 2), Place(False, False), "float32").tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return jnp.zeros(shape, dtype) if any(place) else jnp.eye(shape[0], shape[1], dtype=dtype)


# Rules.


def groups(batches: int, least: int) -> list[range]:
    """The micro-batches of an epoch, by W-step: as many steps as there are full groups.

    Example:
        >>> groups(40, least=18)
        [range(0, 20), range(20, 40)]
    """
    count = max(1, batches // least)
    edges = [round(number * batches / count) for number in range(count + 1)]
    return [range(*ends) for ends in pairwise(edges)]


def groups_ahead(groups: Sequence[range], ticks: int) -> list[range]:
    """The micro-batches of the same W-steps where each comes down so many ticks earlier.

    The first groups are longer than those given, the last ones shorter, and there may be nothing
    left for these.

    Example:
        >>> groups_ahead(groups(40, least=18), ticks=3)
        [range(0, 23), range(23, 40)]
    """
    stops = [min(group.stop + ticks, groups[-1].stop) for group in groups]
    return [range(*ends) for ends in pairwise([0, *stops])]
