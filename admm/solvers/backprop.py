"""Backpropagation with a first-order optimiser: what the layer-parallel solvers compete with.

The unit of work is a `Segment`: consecutive layers on one worker. One segment holding every layer
is the serial solver (`init` and `step`, one compiled call); a pipeline
(`admm.methods.layerwise.pipeline`) runs the same forward and backward pass and the same update on
each of its segments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from admm.solvers.settings import OPTIMIZER, Optimizer, check_rules
from layers import RELU, Dense, PiecewiseLinear, SoftmaxCrossEntropy, SquaredError

Network = tuple[Dense, ...]
Scalar = Float[Array, ""]
Inputs = Float[Array, "nodes n_in"]
Outputs = Float[Array, "nodes n_out"]

_OPTIMIZERS = {
    "gd": optax.sgd,
    "adadelta": optax.adadelta,
    "adagrad": optax.adagrad,
    "adam": optax.adam,
}


@cache  # one object for the same rate, so that what is compiled for it is found again
def make_optimizer(name: Optimizer, learning_rate: float) -> optax.GradientTransformation:
    """An optimiser of optax; all but the learning rate is its default.

    Args:
        name: One of `gd`, `adadelta`, `adagrad` and `adam`.
        learning_rate: Of its steps.

    Raises:
        InputError: If the name is another.

    Example:
        >>> optimizer, W = make_optimizer("gd", 0.5), jnp.ones(2)
        >>> updates, _ = optimizer.update(W, optimizer.init(W))
        >>> updates.tolist()
        [-0.5, -0.5]
    """
    OPTIMIZER("optimizer", name)
    return _OPTIMIZERS[name](learning_rate)


class Segment(NamedTuple):
    """Consecutive layers a…b, and what the optimiser remembers of them."""

    network: Network
    memory: tuple[Any, ...]  # of each layer: state of its optax optimiser


class State(NamedTuple):
    """A whole network and its training data; V nodes."""

    segment: Segment
    inputs: Array  # (V, n_0)
    targets: Array  # (V, classes)  one-hot labels


class Record(NamedTuple):
    """What the backward pass needs of the forward pass of layer l."""

    p: Array  # (V, n_in)  input
    pull: Callable[[Array], tuple[Array]] | None  # g ↦ g ∘ f'(z_l); None for the output layer


@dataclass(frozen=True)
class Backprop:
    """Gradient descent, Adadelta, Adagrad or Adam on the mean training risk, in full batches.

        minimise  R(z_L; y)/V + λ/2 Σ‖W_l‖²,  z_l = p_l W_l + b_l,  p_{l+1} = f(z_l)

    With g_l the gradient at z_l: g_{l−1} = (g_l W_lᵀ) ∘ f'(z_{l−1}), and the gradients at W_l and
    b_l are p_lᵀ g_l + λ W_l and Σ_nodes g_l. That is three products a layer, two for layer 1.

    Args:
        optimizer: The update; all but the learning rate is optax's default.
        learning_rate: See `admm.solvers.LEARNING_RATES`.
        weight_decay: λ, in the gradient that the optimiser sees.
        activation: f.
        risk: R, a sum over nodes.

    Raises:
        InputError: If the optimiser is unknown, the learning rate is not positive, or the weight
            decay is negative.

    Example:
        >>> x = y = jnp.eye(2)
        >>> network = [Dense(jnp.eye(2), jnp.zeros(2)), Dense(jnp.eye(2), jnp.zeros(2))]
        >>> solver = Backprop("adam", learning_rate=0.1)
        >>> state = solver.init(network, x, y)
        >>> for _ in range(20):
        ...     state, loss = solver.step(state)
        >>> float(loss) < 1e-3
        True
    """

    optimizer: Optimizer
    learning_rate: float
    weight_decay: float = 0.0
    activation: PiecewiseLinear = RELU
    risk: SoftmaxCrossEntropy | SquaredError = field(default_factory=SoftmaxCrossEntropy)

    def __post_init__(self) -> None:
        check_rules(self)
        OPTIMIZER("optimizer", self.optimizer)

    # The whole network on one worker.

    def init(self, network: Sequence[Dense], inputs: Inputs, targets: Outputs) -> State:
        """State of a whole network.

        Args:
            network: Parameters to start from.
            inputs: X, (V, n_0).
            targets: One-hot labels, (V, classes).
        """
        return State(self.init_segment(network), inputs, targets)

    def step(self, state: State) -> tuple[State, Scalar]:
        """One update of a whole network, and the mean training risk before it."""
        segment, loss = self._step(*state)
        return state._replace(segment=segment), loss

    @partial(jax.jit, static_argnames="self")
    def _step(self, segment: Segment, inputs: Inputs, targets: Outputs) -> tuple[Segment, Scalar]:
        loss, gradients = self.loss_and_gradients(
            segment.network, inputs, targets, nodes=len(inputs)
        )
        return self.update(segment, gradients), loss

    @partial(jax.jit, static_argnames=("self", "nodes"))
    def loss_and_gradients(
        self, network: Network, inputs: Inputs, targets: Outputs, nodes: int
    ) -> tuple[Scalar, Network]:
        """Some rows' share of the mean risk over `nodes` rows, and its gradients."""
        logits, records = self.forward(network, inputs, top=True)
        loss, gradient = self.loss_at_logits(logits, targets, nodes=nodes)
        gradients, _ = self.backward(network, records, gradient, None, first=True)
        return loss, gradients

    # The parts of a step, on the segment of one worker.

    def init_segment(self, network: Sequence[Dense]) -> Segment:
        """Parameters to start from, and the memory of an optimiser that has seen nothing."""
        optimizer = self._transformation()
        return Segment(tuple(network), tuple(optimizer.init(params) for params in network))

    @partial(jax.jit, static_argnames=("self", "top"))
    def forward(
        self, network: Network, x: Inputs, *, top: bool
    ) -> tuple[Outputs, tuple[Record, ...]]:
        """Output of consecutive layers, and what their backward pass needs.

        Args:
            network: Parameters of the layers.
            x: Input of the lowest.
            top: Whether the highest is the output layer, which has no activation.
        """
        records = []
        for index, (W, b) in enumerate(network):
            p, pull = x, None
            x = p @ W + b
            if not (top and index == len(network) - 1):
                x, pull = jax.vjp(self.activation, x)
            records.append(Record(p, pull))
        return x, tuple(records)

    @partial(jax.jit, static_argnames=("self", "nodes"))
    def loss_at_logits(
        self, logits: Outputs, targets: Outputs, *, nodes: int
    ) -> tuple[Scalar, Outputs]:
        """Some rows' share of the mean risk over `nodes` rows, and its gradient at the logits."""
        return jax.value_and_grad(lambda z: self.risk(z, targets) / nodes)(logits)

    @partial(jax.jit, static_argnames=("self", "first"))
    def backward(
        self,
        network: Network,
        records: tuple[Record, ...],
        gradient: Outputs,
        others: Network | None,
        *,
        first: bool,
    ) -> tuple[Network, Inputs | None]:
        """Gradients at the parameters of consecutive layers, and at the input of the lowest.

        Args:
            network: Parameters of the layers.
            records: What the forward pass noted of them.
            gradient: At the output of the highest.
            others: Gradients of other rows, to be added to those of these rows.
            first: Whether the lowest is layer 1, whose input needs no gradient.
        """
        gradients = []
        for index in reversed(range(len(network))):
            p, pull = records[index]
            (g,) = (gradient,) if pull is None else pull(gradient)
            gradients.append(Dense(p.T @ g, g.sum(axis=0)))
            if index or not first:
                gradient = g @ network[index].W.T
        total = tuple(reversed(gradients))
        if others is not None:
            total = jax.tree.map(jnp.add, others, total)
        return total, None if first else gradient

    @partial(jax.jit, static_argnames="self")
    def update(self, segment: Segment, gradients: Network) -> Segment:
        """One step of the optimiser, with the gradients of the mean risk."""
        optimizer = self._transformation()
        network, memory = [], []
        for params, known, gradient in zip(*segment, gradients, strict=True):
            with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
                changes, known = optimizer.update(gradient, known, params)
            network.append(optax.apply_updates(params, changes))
            memory.append(known)
        return Segment(tuple(network), tuple(memory))

    @partial(jax.jit, static_argnames="self")
    def decay(self, network: Network) -> Scalar:
        """λ/2 Σ‖W_l‖², the layers' part of the objective beside the risk."""
        return self.weight_decay / 2 * jnp.stack([jnp.sum(W**2) for W, _ in network]).sum()

    def _transformation(self) -> Any:
        optimizer = make_optimizer(self.optimizer, self.learning_rate)
        if self.weight_decay == 0:
            return optimizer
        decay = optax.add_decayed_weights(self.weight_decay, mask=Dense(W=True, b=False))  # type: ignore[arg-type]
        return optax.chain(decay, optimizer)
