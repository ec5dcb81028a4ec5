"""Risks R(z; y): their value, and the proximal problem of the output layer's pre-activation.

Targets are one row per node: the one-hot class for softmax, a 0 or 1 for each label for the
sigmoid, any real row for the squared error. Risks are sums over rows, not means.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

from layers.roots import increasing_root

# A full Newton step suffices if the objective falls by this part of what the gradient promises.
_ENOUGH = 0.1
# Of a step that goes too far, down to 1/64.
_HALVINGS = 6


@runtime_checkable
class Risk(Protocol):
    """What a solver needs of R; hashable, like a frozen dataclass, since it is static under jit.

    `layers.prox_risk` makes one of any differentiable loss of a row.

    Example:
        >>> isinstance(SquaredError(), Risk), isinstance(optax.l2_loss, Risk)
        (True, False)
    """

    def __call__(
        self, z: Float[Array, "nodes classes"], targets: Float[Array, "nodes columns"]
    ) -> Float[Array, ""]:
        """R(z; y), summed over rows."""
        ...

    def solve(
        self,
        s: Float[Array, "nodes classes"],
        targets: Float[Array, "nodes columns"],
        nu: Float[Array, ""],
        z_start: Float[Array, "nodes classes"],
    ) -> Float[Array, "nodes classes"]:
        """argmin over z of R(z; y) + ν/2 ‖z − s‖²; an iterative one starts at `z_start`.

        It gets some of the rows at a time.
        """
        ...

    def start(
        self, s: Float[Array, "nodes classes"], targets: Float[Array, "nodes columns"]
    ) -> Float[Array, "nodes classes"]:
        """z_L before the first iteration, where s is the output of the forward pass."""
        ...


@dataclass(frozen=True)
class SquaredError:
    """R(z; y) = ½ ‖z − y‖².

    Example:
        >>> risk, z, y = SquaredError(), jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 0.0]])
        >>> float(risk(z, y))
        0.5
    """

    def __call__(
        self, z: Float[Array, "nodes classes"], targets: Float[Array, "nodes classes"]
    ) -> Float[Array, ""]:
        return 0.5 * jnp.sum((z - targets) ** 2)

    def solve(
        self,
        s: Float[Array, "nodes classes"],
        targets: Float[Array, "nodes classes"],
        nu: Float[Array, ""],
        z_start: Float[Array, "nodes classes"],
    ) -> Float[Array, "nodes classes"]:
        """argmin over z of R(z; y) + ν/2 ‖z − s‖², in closed form."""
        return (targets + nu * s) / (1 + nu)

    def start(
        self, s: Float[Array, "nodes classes"], targets: Float[Array, "nodes classes"]
    ) -> Float[Array, "nodes classes"]:
        """The targets, where the risk is 0."""
        return targets


@dataclass(frozen=True)
class SigmoidCrossEntropy:
    """R(z; y) = Σ log(1 + exp z) − y z, for rows y of independent labels in [0, 1].

    The proximal problem falls apart into elements. σ(z) − y + ν (z − s) = 0 has its only root
    between s − (1 − y)/ν and s + y/ν, and a safeguarded Newton iteration finds it to rounding.

    Example:
        >>> risk, y = SigmoidCrossEntropy(), jnp.array([[1.0, 0.0, 1.0]])
        >>> z = risk.solve(jnp.zeros((1, 3)), y, jnp.float32(0.1), jnp.zeros((1, 3)))
        >>> bool(jnp.abs(jax.nn.sigmoid(z) - y + 0.1 * z).max() < 1e-6)
        True
    """

    def __call__(
        self, z: Float[Array, "nodes labels"], targets: Float[Array, "nodes labels"]
    ) -> Float[Array, ""]:
        return jnp.sum(optax.sigmoid_binary_cross_entropy(z, targets))

    def solve(
        self,
        s: Float[Array, "nodes labels"],
        targets: Float[Array, "nodes labels"],
        nu: Float[Array, ""],
        z_start: Float[Array, "nodes labels"],
    ) -> Float[Array, "nodes labels"]:
        """argmin over z of R(z; y) + ν/2 ‖z − s‖², element by element, from `z_start`."""

        def gradient(z):
            value = jax.nn.sigmoid(z) - targets + nu * (z - s)
            return value, 1 + nu * (jnp.abs(z) + jnp.abs(s))

        low, high = s - (1 - targets) / nu, s + targets / nu
        return increasing_root(gradient, low, high, jnp.clip(z_start, low, high))

    def start(
        self, s: Float[Array, "nodes labels"], targets: Float[Array, "nodes labels"]
    ) -> Float[Array, "nodes labels"]:
        """±1 for labels that hold or do not."""
        return 2 * targets - 1


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """R(z; y) = −Σ_nodes ⟨y, log softmax(z)⟩, for one-hot (or probability) rows y.

    The proximal problem is solved row by row with Newton's method. The Hessian
    diag(π + ν) − ππᵀ is inverted by the Sherman–Morrison formula. Where a full step does not lower
    the objective enough, the best is taken of it, of its halvings down to 1/64, and of the
    majorised gradient step 1/(½ + ν) (Böhning's bound: the Hessian of log-sum-exp is at most ½ I).
    So the objective never rises by more than rounding. A row is finished when it no longer
    improves by more than that. Under `vmap` every step tries all of them.

    Args:
        max_steps: Bound on the Newton steps of one solve; the next solve starts where it ended.

    Example:
        >>> risk, y = SoftmaxCrossEntropy(), jnp.array([[1.0, 0.0]])
        >>> z = risk.solve(jnp.zeros((1, 2)), y, jnp.float32(1.0), jnp.zeros((1, 2)))
        >>> gradient = jax.nn.softmax(z) - y + z
        >>> bool(jnp.abs(gradient).max() < 1e-5)
        True
    """

    max_steps: int = 30

    def __call__(
        self, z: Float[Array, "nodes classes"], targets: Float[Array, "nodes classes"]
    ) -> Float[Array, ""]:
        return jnp.sum(optax.softmax_cross_entropy(z, targets))

    def solve(
        self,
        s: Float[Array, "nodes classes"],
        targets: Float[Array, "nodes classes"],
        nu: Float[Array, ""],
        z_start: Float[Array, "nodes classes"],
    ) -> Float[Array, "nodes classes"]:
        """argmin over z of R(z; y) + ν/2 ‖z − s‖², starting at `z_start`."""
        # Nodes as columns: sums over few classes then run along many nodes at once.
        s, targets, z_start = s.T, targets.T, z_start.T
        rounding = 8 * float(jnp.finfo(s.dtype).eps)

        def at(z):
            """Objective of every node, and the softmax: both of one exponential."""
            high = z.max(axis=0)
            e = jnp.exp(z - high)
            total = jnp.sum(e, axis=0)
            risk = jnp.sum(targets * ((high - z) + jnp.log(total)), axis=0)
            return risk + nu / 2 * jnp.sum((z - s) ** 2, axis=0), e / total

        def gradient(z, pi):
            return pi - targets + nu * (z - s)

        def size(gradient):
            return jnp.abs(gradient).max(axis=0)

        def shortened(z, g, newton, best, far):
            """The full step, and of nodes that it takes too `far` the best of it and of others."""

            def tried(move, best):
                trial = at(z - move)[0]
                lower = far & (trial < best[1])
                return jnp.where(lower, z - move, best[0]), jnp.where(lower, trial, best[1])

            best = lax.fori_loop(1, _HALVINGS + 1, lambda k, b: tried(newton * 0.5**k, b), best)
            z = tried(g / (0.5 + nu), best)[0]
            return z, *at(z)

        def improve(carry):
            step, z, value, pi, active = carry
            g, ratio = gradient(z, pi), pi / (pi + nu)
            newton = g / (pi + nu)
            # The denominator is ν times 1 − Σ π²/(π + ν), written so that nothing cancels.
            newton += ratio * jnp.sum(pi * newton, axis=0) / (nu * jnp.sum(ratio, axis=0))
            full = z - newton
            full_value, full_pi = at(full)
            enough = full_value <= value - _ENOUGH * jnp.sum(g * newton, axis=0)
            # Close to the minimum the objective drowns in rounding; then the gradient decides,
            # until it drowns too.
            level = full_value <= value + rounding * (1 + jnp.abs(value))
            nearer = level & (size(gradient(full, full_pi)) < size(g) / 2)
            far = ~(enough | nearer) & (size(g) > rounding * (1 + nu * size(z - s)))
            best, lowest, best_pi = lax.cond(
                (active & far).any(),
                lambda: shortened(z, g, newton, (full, full_value), far),
                lambda: (full, full_value, full_pi),
            )
            better = lowest < value
            active &= better | nearer
            moved = (best, lowest, best_pi)
            kept = (z, value, pi)
            now = (jnp.where(active, new, old) for new, old in zip(moved, kept, strict=True))
            return step + 1, *now, active

        # Where s or targets are not finite no step improves anything: no sound result comes out.
        z_start = jnp.where(jnp.isfinite(s + targets).all(axis=0), z_start, jnp.nan)
        start = (0, z_start, *at(z_start), jnp.full(z_start.shape[1:], True))
        z = lax.while_loop(lambda c: c[4].any() & (c[0] < self.max_steps), improve, start)[1]
        return z.T

    def start(
        self, s: Float[Array, "nodes classes"], targets: Float[Array, "nodes classes"]
    ) -> Float[Array, "nodes classes"]:
        """1 at the true class and −1 elsewhere."""
        return 2 * targets - 1
