"""pdADMM-G and pdADMM-G-Q: gradient-free, layer-parallel training of GA-MLPs.

The state is a `Block`: consecutive layers on one worker. One block holding every layer is the
serial solver (`init`, `step`). Work is done layer by layer, from the top down (`update_layer`);
at a cut, a worker takes the steps apart that touch a neighbour's p or q (`update_input`,
`update_output`, see `admm.methods.layerwise.worker`). Both ways compile to the same arithmetic, so
that a layer's iterates do not depend on how the network is split.

Memory: five arrays of V rows per hidden layer live between iterations: p, z, r, q, u. Each is
read and written by some step, and none follows from the others (r would cost a product, u the
knowledge of every ν so far). The calls reuse the buffers of p, z, r and u.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.checks import check_protocol
from admm.solvers import diagnostics, updates
from admm.solvers.block import Block, Layer
from admm.solvers.diagnostics import Diagnosis, Info
from admm.solvers.settings import StepRule, check_rules
from layers import RELU, Activation, Dense, Risk, SoftmaxCrossEntropy
from quant import Levels

# Rows of a block on a CPU: those of p, r, q, u and of the products of 512 columns fit its caches.
_CPU_ROWS = 512


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
        activation: f, a `layers.Activation`.
        risk: R, a `layers.Risk`.
        levels_p: Δ for the inputs p_l, l ≥ 2.
        levels_q: Δ for the outputs q_l.
        row_block: Rows that the products are taken of at a time; by default 512 on CPUs, whose
            caches hold so many, and all of them elsewhere.

    Raises:
        InputError: If a penalty is not positive, the weight decay is negative, the step rule is
            unknown, or activation or risk have not the methods of their protocol.

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
    activation: Activation = RELU
    risk: Risk = field(default_factory=SoftmaxCrossEntropy)
    levels_p: Levels | None = None
    levels_q: Levels | None = None
    row_block: int | None = None

    def __post_init__(self) -> None:
        check_rules(self)
        check_protocol("activation", self.activation, Activation, "layers.prox(fun) makes one")
        check_protocol("risk", self.risk, Risk, "layers.prox_risk(fun) makes one")

    # The whole network on one worker.

    def init(
        self,
        network: Sequence[Dense],
        inputs: Array,
        targets: Array,
        codes: Sequence[Array] = (),
    ) -> Block:
        """State of a whole network: forward pass, u = 0, z_L as the risk says.

        Args:
            network: Parameters, from which W and b start.
            inputs: X, (V, n_0).
            targets: What the risk takes, one row a node: one-hot labels, (V, classes), of softmax.
            codes: z of the hidden layers, in place of the forward pass, see
                `admm.solvers.class_codes`.
        """
        return self.init_block(network, inputs, targets, codes, first=True)

    def step(self, state: Block) -> tuple[Block, Info]:
        """One iteration of a whole network; `state` stays valid, at the cost of a copy."""
        rho, nu = state.rho, state.nu
        layers = list(jax.tree.map(jnp.copy, state.layers))
        q_before = [layer.q for layer in layers]
        p_above = None
        for index in reversed(range(len(layers))):
            below = layers[index - 1] if index else None
            layers[index] = self.update_layer(
                layers[index],
                below.q if below else None,
                below.u if below else None,
                p_above,
                state.targets,
                rho,
                nu,
            )
            p_above = layers[index].p
        state = state._replace(layers=tuple(layers))
        return state, self.info(q_before, state)

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

    # The steps of an iteration. They reuse the buffers of p, z, r and u: a layer given to one of
    # them must not be used again.

    def update_layer(
        self,
        layer: Layer,
        q_below: Array | None,
        u_below: Array | None,
        p_above: Array | None,
        targets: Array | None,
        rho: Array,
        nu: Array,
    ) -> Layer:
        """All steps of one layer, 1 to 6, but for those whose neighbour is not given.

        Args:
            layer: The layer.
            q_below: Output of the layer below before this iteration; without it, p stays.
            u_below: Dual of the layer below before this iteration.
            p_above: Input of the layer above after its step 1; without it, q and u stay.
            targets: One-hot labels, which the output layer needs and the others ignore.
            rho: ρ.
            nu: ν.
        """
        below = None if q_below is None or u_below is None else (q_below, u_below)
        if layer.q is not None:
            targets = None
        elif below is not None:  # always apart, since compiled together the bits are others
            layer, below = self.update_input(layer, *below, rho, nu), None
        moving = (layer.p, layer.z, layer.r, layer.u)
        p, q, r, u, W, b, z = self._update_layer(
            moving, layer.W, layer.b, layer.q, below, p_above, targets, rho, nu
        )
        return Layer(p, W, b, q, r, layer.q, u) if z is None else Layer(p, W, b, z, r, q, u)

    def update_input(
        self, layer: Layer, q_below: Array, u_below: Array, rho: Array, nu: Array
    ) -> Layer:
        """Step 1 alone, where p has to leave before the other steps are done."""
        p, r = self._update_p((layer.p, layer.r), layer.W, (q_below, u_below), rho, nu)
        return layer._replace(p=p, r=r)

    def update_output(self, layer: Layer, p_above: Array, rho: Array, nu: Array) -> Layer:
        """Step 5 alone, where p_above comes from another worker."""
        return layer._replace(q=self._update_q(p_above, layer.u, layer.z, rho, nu))

    def update_dual(self, u: Array, p_above: Array, q: Array, rho: Array) -> Array:
        """Step 6 at a cut, from p and q as both of its sides have them."""
        return _update_u(u, p_above, q, rho)

    def info(self, q_before: Sequence[Array | None], block: Block) -> Info:
        """Diagnostics of the iteration that led to `block`; a cut counts in the block above it.

        Args:
            q_before: q of the block's layers before the iteration.
            block: The state after it.
        """
        total = Info(*[jnp.zeros_like(block.rho)] * 3)
        for around in _with_surroundings(q_before, block):
            total = jax.tree.map(jnp.add, total, self._layer_info(*around, block.rho, block.nu))
        return total

    def diagnose(self, q_before: Sequence[Array | None], block: Block) -> list[Diagnosis]:
        """Parts of the Lagrangian and stationarity; two products and a step of z a layer.

        Args:
            q_before: q of the block's layers before the iteration.
            block: The state after it.
        """
        around = _with_surroundings(q_before, block)
        return [self._diagnosis(*each, block.rho, block.nu) for each in around]

    def loss(self, output: Layer, targets: Array) -> Array:
        """Mean risk at s_L, of the output layer; the penalty schedule follows it."""
        return self._mean_risk(output.z, output.r, targets)

    # What is compiled, and shared by all layers of a shape.

    @partial(jax.jit, static_argnames="self")
    def _mean_risk(self, z: Array, r: Array, targets: Array) -> Array:
        return self.risk(z + r, targets) / z.shape[0]

    @partial(jax.jit, static_argnames="self")
    def _init_layer(
        self, params: Dense, p: Array, targets: Array | None, code: Array | None
    ) -> Layer:
        s = p @ params.W + params.b
        p = jnp.copy(p)  # a buffer of its own: the steps reuse it
        if targets is not None:
            z = _apart(self.risk.start(s, targets), s, targets)
            return Layer(p, params.W, params.b, z, s - z, q=None, u=None)
        z = s if code is None else jnp.copy(code)
        q = _apart(self.activation(z), z)
        if self.levels_q is not None:
            q = self.levels_q.project(q)
        return Layer(p, params.W, params.b, z, s - z, q=q, u=jnp.zeros_like(q))

    @partial(jax.jit, static_argnames="self", donate_argnames="moving")
    def _update_layer(self, moving, W, b, q, below, p_above, targets, rho, nu):
        p, z, r, u = moving
        p, r, sums = self._step_p(p, W, r, below, rho, nu, self.step_rule != "newton")
        rows = self._block_of(p)
        W, b, change = updates.update_Wb(
            p, W, b, r, sums, nu, self.weight_decay, self.step_rule, rows
        )
        # Outputs get the buffers of `moving` in its order: that of z is q's or, without q, its own.
        if targets is None:
            new_z, q, r, u = updates.update_zqu(
                change, r, z, q, u, p_above, rho, nu, self.activation, self.levels_q, rows
            )
            return (p, new_z, r, u, W, b, None) if q is None else (p, q, r, u, W, b, new_z)
        z, r = updates.update_z_last(change, r, z, targets, nu, self.risk, rows)
        return p, z, r, u, W, b, None

    @partial(jax.jit, static_argnames="self", donate_argnames="moving")
    def _update_p(self, moving, W, below, rho, nu):
        p, r = moving
        return self._step_p(p, W, r, below, rho, nu, with_sums=False)[:2]

    def _step_p(self, p, W, r, below, rho, nu, with_sums):
        given = rho, nu, self.step_rule, self.levels_p, self._block_of(p)
        return updates.update_p(p, W, r, below, *given, with_sums)

    def _block_of(self, p: Array) -> int:
        if self.row_block is None:
            return _CPU_ROWS if jax.default_backend() == "cpu" else p.shape[0]
        return self.row_block

    @partial(jax.jit, static_argnames="self")
    def _update_q(self, p_above, u, z, rho, nu):
        return updates.update_q(p_above, u, self.activation(z), rho, nu, self.levels_q)

    @partial(jax.jit, static_argnames="self")
    def _layer_info(self, layer, q_below, u_below, q_before, targets, rho, nu):
        state = (layer, q_below, u_below, q_before, targets, rho, nu)
        return diagnostics.layer_info(*state, self.activation, self.risk, self.weight_decay)

    @partial(jax.jit, static_argnames="self")
    def _diagnosis(self, layer, q_below, u_below, q_before, targets, rho, nu):
        state = (layer, q_below, u_below, q_before, targets, rho, nu)
        fixed = (self.levels_p is not None, self.levels_q is not None)
        return diagnostics.layer_diagnosis(
            *state, self.activation, self.risk, self.weight_decay, fixed
        )


_update_u = jax.jit(updates.update_u, donate_argnames="u")


def _apart(x: Array, *others: Array | None) -> Array:
    """x in a buffer of its own: the steps reuse that of z, and nothing else may live there."""
    return jnp.copy(x) if any(x is other for other in others) else x


def _with_surroundings(
    q_before: Sequence[Array | None], block: Block
) -> Iterator[tuple[Layer, Array | None, Array | None, Array | None, Array | None]]:
    """Every layer, q and u of the layer below, its q before, and targets of the output layer."""
    q, u = block.q_below, block.u_below
    for before, layer in zip(q_before, block.layers, strict=True):
        yield layer, q, u, before, block.targets if layer.q is None else None
        q, u = layer.q, layer.u
