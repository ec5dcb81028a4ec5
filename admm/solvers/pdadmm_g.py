"""pdADMM-G and pdADMM-G-Q: gradient-free, layer-parallel training of GA-MLPs.

The unit of work is a `Block`: consecutive layers on one worker. One block holding every layer is
the serial solver (`init`, `step`); a worker runs the same four phases on its own block and
exchanges p and q with its neighbours between them (`admm.parallel.worker`). Every phase calls one
compiled function per layer, so a layer's iterates do not depend on how the network is split.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.solvers import updates
from admm.solvers.updates import StepRule
from layers import RELU, Dense, PiecewiseLinear, SoftmaxCrossEntropy, SquaredError
from quant import Levels


class Layer(NamedTuple):
    """Variables of layer l; V nodes. The output layer has no q and u."""

    p: Array  # (V, n_in)   input
    W: Array  # (n_in, n_out)
    b: Array  # (n_out,)
    z: Array  # (V, n_out)  pre-activation
    s: Array  # (V, n_out)  p W + b, carried along
    q: Array | None  # (V, n_out)  output
    u: Array | None  # (V, n_out)  dual of p_{l+1} = q_l


class Block(NamedTuple):
    """State of consecutive layers a…b, and what their worker knows of its surroundings."""

    layers: tuple[Layer, ...]
    q_below: Array | None  # (V, n_{a-1})  copy of q_{a-1}; None for the first block
    u_below: Array | None  # (V, n_{a-1})  copy of u_{a-1}
    targets: Array | None  # (V, classes)  one-hot labels, in the block of the output layer
    rho: Array  # ()  penalty of p_{l+1} = q_l
    nu: Array  # ()  penalty of z_l = p_l W_l + b_l and of q_l = f(z_l)


class Info(NamedTuple):
    """Diagnostics of one iteration; they add up over blocks."""

    lagrangian: Array  # ()  augmented Lagrangian
    primal_residual: Array  # ()  Σ ‖p_{l+1} − q_l‖²
    dual_residual: Array  # ()  Σ ‖ρ (q_l − q_l of the iteration before)‖²


@dataclass(frozen=True)
class PDADMMG:
    """pdADMM-G (Wang et al., arXiv 2105.09837, Algorithm 1); with `levels_p`, pdADMM-G-Q.

        minimise  R(z_L; y) + ν/2 Σ‖z_l − p_l W_l − b_l‖² + ν/2 Σ‖q_l − f(z_l)‖² + μ/2 Σ‖W_l‖²
        subject to  p_{l+1} = q_l,  and p_l ∈ Δ (l ≥ 2) for pdADMM-G-Q

    by one pass over p, W, b, z, q, u an iteration (`admm.solvers.updates`), each for all layers
    at once. With ρ > max(4νS², (√17+1)/2·ν), S the Lipschitz constant of f, the augmented
    Lagrangian never rises (Theorem 1).

    Deviations from the paper: weight decay μ; nodes are rows; row-wise exact steps for p and
    column-wise ones for W (`step_rule`) in place of one backtracked step.

    Args:
        rho: ρ, penalty of the coupling p_{l+1} = q_l.
        nu: ν, penalty of the two relaxed equations.
        weight_decay: μ.
        step_rule: Step-size rule of p and W, see `admm.solvers.updates.step_length`.
        activation: f, a `PiecewiseLinear`.
        risk: R.
        levels_p: Δ for the inputs p_l, l ≥ 2.
        levels_q: Δ for the outputs q_l.

    Raises:
        ValueError: If a penalty is not positive or the weight decay is negative.

    Example:
        >>> x, y = jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.eye(2)
        >>> network = [Dense(jnp.eye(2), jnp.zeros(2)), Dense(jnp.eye(2), jnp.zeros(2))]
        >>> solver = PDADMMG(rho=1.0, nu=0.1)
        >>> state = solver.init(network, x, y)
        >>> for _ in range(20):
        ...     state, info = solver.step(state)
        >>> float(info.primal_residual) < 1e-3
        True
    """

    rho: float = 3e-3
    nu: float = 3e-3
    weight_decay: float = 2e-2
    step_rule: StepRule = "exact"
    activation: PiecewiseLinear = RELU
    risk: SoftmaxCrossEntropy | SquaredError = field(default_factory=SoftmaxCrossEntropy)
    levels_p: Levels | None = None
    levels_q: Levels | None = None

    def __post_init__(self) -> None:
        if not (self.rho > 0 and self.nu > 0):
            raise ValueError(f"penalties must be positive, got rho={self.rho}, nu={self.nu}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight decay must not be negative, got {self.weight_decay}")

    # The whole network on one worker.

    def init(
        self,
        network: Sequence[Dense],
        inputs: Array,
        targets: Array,
        codes: Sequence[Array] = (),
    ) -> Block:
        """State of a whole network: forward pass, u = 0, z_L = ±1 at the true class or not.

        Args:
            network: Parameters, from which W and b start.
            inputs: X, (V, n_0).
            targets: One-hot labels, (V, classes).
            codes: z of the hidden layers, in place of the forward pass, see
                `admm.solvers.class_codes`.
        """
        return self.init_block(network, inputs, targets, codes, first=True)

    def step(self, state: Block) -> tuple[Block, Info]:
        """One iteration of a whole network."""
        q_before = [layer.q for layer in state.layers]
        state = self.update_inputs(state)
        state = self.update_parameters(state)
        state = self.update_outputs(state, None)
        state = self.update_duals(state, None, None)
        return state, self.info(q_before, state)

    # The phases of an iteration, on the block of one worker.

    def init_block(
        self,
        network: Sequence[Dense],
        inputs: Array,
        targets: Array | None,
        codes: Sequence[Array] = (),
        *,
        first: bool,
    ) -> Block:
        """State of consecutive layers: q_below = `inputs`, then the forward pass through them.

        Args:
            network: Parameters of the block's layers.
            inputs: X for the first block, else the output of the layer below, shape (V, n).
            targets: One-hot labels where the block ends with the output layer, else None.
            codes: z of the block's hidden layers, if not from the forward pass.
            first: Whether the block starts with layer 1, whose input is fixed.
        """
        states = []
        x = inputs
        for index, params in enumerate(network):
            if self.levels_p is not None and not (first and index == 0):
                x = self.levels_p.project(x)
            output = targets is not None and index == len(network) - 1
            code = codes[index] if codes and not output else None
            state = self._init_layer(params, x, targets if output else None, code)
            states.append(state)
            x = state.q
        scalar = partial(jnp.asarray, dtype=inputs.dtype)
        return Block(
            layers=tuple(states),
            q_below=None if first else inputs,
            u_below=None if first else jnp.zeros_like(inputs),
            targets=targets,
            rho=scalar(self.rho),
            nu=scalar(self.nu),
        )

    def update_inputs(self, block: Block) -> Block:
        """Step 1 for every layer whose input is not fixed."""
        layers = []
        q, u = block.q_below, block.u_below
        for layer in block.layers:
            if q is not None:
                p, s = self._update_p(layer.p, layer.W, layer.z, layer.s, q, u, block.rho, block.nu)
                layer = layer._replace(p=p, s=s)
            layers.append(layer)
            q, u = layer.q, layer.u
        return block._replace(layers=tuple(layers))

    def update_parameters(self, block: Block) -> Block:
        """Steps 2 to 4: W, b and z."""
        layers = []
        for layer in block.layers:
            targets = block.targets if layer.q is None else None
            W, b, z, s = self._update_Wbz(
                layer.p, layer.W, layer.b, layer.z, layer.s, layer.q, targets, block.nu
            )
            layers.append(layer._replace(W=W, b=b, z=z, s=s))
        return block._replace(layers=tuple(layers))

    def update_outputs(self, block: Block, p_above: Array | None) -> Block:
        """Step 5; `p_above` is the input of the layer above the block."""
        layers = []
        for layer, p in zip(block.layers, _inputs_above(block, p_above), strict=True):
            if p is not None:
                q = self._update_q(p, layer.u, layer.z, block.rho, block.nu)
                layer = layer._replace(q=q)
            layers.append(layer)
        return block._replace(layers=tuple(layers))

    def update_duals(self, block: Block, p_above: Array | None, p_sent: Array | None) -> Block:
        """Step 6, for the block's own duals and for its copy of the dual at the cut below.

        Args:
            block: With the new q, `q_below` included, as decoded by both sides of their cuts.
            p_above: Decoded p_{b+1}, from the worker above.
            p_sent: Decoded p_a, as the worker below has it.
        """
        layers = []
        for layer, p in zip(block.layers, _inputs_above(block, p_above), strict=True):
            if p is not None:
                layer = layer._replace(u=_update_u(layer.u, p, layer.q, block.rho))
            layers.append(layer)
        if p_sent is not None:
            u_below = _update_u(block.u_below, p_sent, block.q_below, block.rho)
            block = block._replace(u_below=u_below)
        return block._replace(layers=tuple(layers))

    def info(self, q_before: Sequence[Array | None], block: Block) -> Info:
        """Diagnostics of the iteration that led to `block`; a cut counts in the block above it.

        Args:
            q_before: q of the block's layers before the iteration.
            block: The state after it.
        """
        total = Info(*[jnp.zeros_like(block.rho)] * 3)
        q, u = block.q_below, block.u_below
        for old, layer in zip(q_before, block.layers, strict=True):
            targets = block.targets if layer.q is None else None
            part = self._layer_info(layer, q, u, old, targets, block.rho, block.nu)
            total = jax.tree.map(jnp.add, total, part)
            q, u = layer.q, layer.u
        return total

    @partial(jax.jit, static_argnames="self")
    def _mean_risk(self, s: Array, targets: Array) -> Array:
        return self.risk(s, targets) / s.shape[0]

    def loss(self, block: Block) -> Array:
        """Mean risk at s_L, in the block of the output layer; the penalty schedule follows it."""
        return self._mean_risk(block.layers[-1].s, block.targets)

    # What is compiled: one function per phase, shared by all layers of a shape.

    @partial(jax.jit, static_argnames="self")
    def _init_layer(
        self, params: Dense, p: Array, targets: Array | None, code: Array | None
    ) -> Layer:
        s = p @ params.W + params.b
        if targets is not None:
            return Layer(p, params.W, params.b, z=2 * targets - 1, s=s, q=None, u=None)
        z = s if code is None else code
        q = self.activation(z)
        if self.levels_q is not None:
            q = self.levels_q.project(q)
        return Layer(p, params.W, params.b, z=z, s=s, q=q, u=jnp.zeros_like(q))

    @partial(jax.jit, static_argnames="self")
    def _update_p(self, p, W, z, s, q_below, u_below, rho, nu):
        return updates.update_p(
            p, W, z, s, q_below, u_below, rho, nu, self.step_rule, self.levels_p
        )

    @partial(jax.jit, static_argnames="self")
    def _update_Wbz(self, p, W, b, z, s, q, targets, nu):
        W, s = updates.update_W(p, W, z, s, nu, self.weight_decay, self.step_rule)
        b, s = updates.update_b(b, z, s)
        if targets is None:
            z = self.activation.solve(s, q, z)
        else:
            z = self.risk.solve(s, targets, nu, z)
        return W, b, z, s

    @partial(jax.jit, static_argnames="self")
    def _update_q(self, p_above, u, z, rho, nu):
        return updates.update_q(p_above, u, self.activation(z), rho, nu, self.levels_q)

    @partial(jax.jit, static_argnames="self")
    def _layer_info(self, layer, q_below, u_below, q_before, targets, rho, nu):
        def squared(x):
            return jnp.sum(x**2)

        lagrangian = nu / 2 * squared(layer.z - layer.s)
        lagrangian += self.weight_decay / 2 * squared(layer.W)
        primal = dual = jnp.zeros_like(rho)
        if targets is not None:
            lagrangian += self.risk(layer.z, targets)
        else:
            lagrangian += nu / 2 * squared(layer.q - self.activation(layer.z))
            dual = squared(rho * (layer.q - q_before))
        if q_below is not None:
            gap = layer.p - q_below
            primal = squared(gap)
            lagrangian += jnp.sum(u_below * gap) + rho / 2 * primal
        return Info(lagrangian, primal, dual)


_update_u = jax.jit(updates.update_u)


def _inputs_above(block: Block, p_above: Array | None) -> list[Array | None]:
    """p_{l+1} for every layer l of the block."""
    return [*[layer.p for layer in block.layers[1:]], p_above]
