"""Numerical proximal steps: activations and risks of any function."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import jax.scipy as jsp
from jax import lax
from jaxtyping import Array, Float

from layers.activations import Activation
from layers.risks import Risk
from layers.roots import increasing_root

Elements = Float[Array, "*shape"]
Outputs = Float[Array, "nodes classes"]
Targets = Float[Array, "nodes columns"]

# Multiples of the rounding of a value that no difference counts below.
_ROUNDING = 8

# Damping of Newton's step, in multiples of the Hessian's largest element: the least, a factor, and
# the largest, with which a row that finds no better point is at its minimum.
_LEAST, _FACTOR, _MOST = 1e-3, 10.0, 1e8


def prox(fun: Callable[[Array], Array], cells: int = 64) -> Activation:
    """An activation of any scalar function, whose subproblem is solved numerically.

    With c = (s + z_old)/2, (z − s)² + (q − f(z))² + (z − z_old)² is φ(z) = 2 (z − c)² + (q − f(z))²
    and a constant. As φ(z) ≥ 2 (z − c)², a point that is better than c and z_old is no farther from
    c than (min(φ(c), φ(z_old))/2)^½. This interval is cut into `cells`. Those in which φ' goes from
    below zero to above have a minimum; the one wins whose secant's root has the lowest φ. There
    Newton's method, safeguarded by bisection, solves φ' = 0 to rounding. The result is never worse
    than z_old by more than rounding.

    Minima narrower than a cell may be missed. A solve takes 3·`cells` + 10 to 100 evaluations of f
    an element, and memory for some ten arrays; the closed form of ReLU takes two.

    Args:
        fun: f, a JAX function of an array, element by element; continuous, kinks allowed.
        cells: Parts of the interval.

    Raises:
        ValueError: If f does not keep shape and dtype, or there is no cell.

    Example:
        >>> tanh = prox(jnp.tanh)
        >>> z = tanh.solve(jnp.array([0.5]), jnp.array([0.9]), jnp.array([0.0]))
        >>> slope = 2 * (2 * z - 0.5) - 2 * (0.9 - jnp.tanh(z)) * (1 - jnp.tanh(z) ** 2)
        >>> bool(jnp.abs(slope[0]) < 1e-6)
        True
    """
    blank = jax.ShapeDtypeStruct((), jnp.float32)  # a single number: softmax takes none
    try:
        found = jax.eval_shape(fun, blank)
    except (TypeError, ValueError) as error:
        found = error
    if (getattr(found, "shape", None), getattr(found, "dtype", None)) != ((), jnp.float32):
        raise ValueError(
            f"prox takes a JAX function of an array, element by element, whose result has the same "
            f"shape and dtype; of one float32 number {fun} makes {found}"
        )
    if cells < 1:
        raise ValueError(f"cells= must be at least 1, got {cells}")
    return _Scalar(fun, cells)


@dataclass(frozen=True)
class _Scalar:
    """See `prox`."""

    fun: Callable[[Array], Array]
    cells: int

    def __call__(self, x: Elements) -> Elements:
        return self.fun(x)

    def solve(self, s: Elements, q: Elements, z_old: Elements) -> Elements:
        """argmin over z of (z − s)² + (q − f(z))² + (z − z_old)², element by element."""
        ones, center = jnp.ones_like(z_old), z_old + (s - z_old) / 2

        def excess(z):
            """φ without its constant, infinite where f has no value."""
            value = 2 * (z - center) ** 2 + (q - self.fun(z)) ** 2
            return jnp.where(jnp.isnan(value), jnp.inf, value)

        def gradient(z):
            f, slope = jax.jvp(self.fun, (z,), (ones,))
            size = jnp.abs(z) + jnp.abs(center) + jnp.abs(slope) * (jnp.abs(q) + jnp.abs(f))
            return 2 * (z - center) - (q - f) * slope, size

        before, middle = excess(z_old), excess(center)
        # A little wider, so that no minimum is at an end.
        reach = 1.01 * jnp.sqrt(jnp.minimum(before, middle) / 2)
        width = 2 * jnp.where(jnp.isfinite(reach), reach, 0) / self.cells

        def look(cell, carry):
            *kept, left, below = carry
            right = center + (cell + 1 - self.cells / 2) * width
            above = gradient(right)[0]
            secant = left - below * (right - left) / (above - below)
            value = excess(secant)
            better = (below <= 0) & (above >= 0) & (above > below) & (value < kept[0])
            new = (value, left, right, secant)
            kept = [jnp.where(better, x, y) for x, y in zip(new, kept, strict=True)]
            return *kept, right, above

        left = center - self.cells / 2 * width
        carry = (jnp.full_like(z_old, jnp.inf), z_old, z_old, z_old, left, gradient(left)[0])
        _, low, high, best, *_ = lax.fori_loop(0, self.cells, look, carry)
        found = increasing_root(gradient, low, high, best)
        for z, value in ((z_old, before), (center, middle)):
            lowest = excess(found)
            terms = value + jnp.sqrt(value) * (jnp.abs(center) + jnp.abs(q))
            rounding = _ROUNDING * float(jnp.finfo(z.dtype).eps) * terms
            found = jnp.where(value < lowest - rounding, z, found)
        return jnp.where(jnp.isnan(s + q + z_old), jnp.nan, found)


def prox_risk(fun: Callable[[Array, Array], Array], max_steps: int = 100) -> Risk:
    """A risk of any differentiable loss of a row, whose proximal problem is solved numerically.

        R(z; y) = Σ_rows fun(z_v, y_v)

    fun(z, y) + ν/2 ‖z − s‖² is minimised row by row by Newton's method with the Hessian H from JAX,
    damped: z ← z − (H + λI)⁻¹ g, λ = 0 at first. A step that would raise the objective, or whose
    matrix is not positive definite, is not taken, and λ rises until one is; so the objective never
    rises. Where fun is not convex the result is a local minimum. A row is finished when its step
    drowns in rounding. A step takes a gradient, a Hessian and classes³/3 operations a row.

    z_L starts from the forward pass: of an unknown loss no better point is known.

    Args:
        fun: Loss of a row z, (classes,), with its targets y, (columns,); twice differentiable.
        max_steps: Bound on the steps of one solve; the next solve starts where it ended.

    Raises:
        ValueError: If `max_steps` is below 1.

    Example:
        >>> huber = prox_risk(lambda z, y: jnp.sum(jnp.sqrt(1 + (z - y) ** 2) - 1))
        >>> y, nu = jnp.zeros((1, 2)), jnp.float32(0.5)
        >>> z = huber.solve(jnp.array([[3.0, -1.0]]), y, nu, y)
        >>> gradient = z / jnp.sqrt(1 + z**2) + 0.5 * (z - jnp.array([[3.0, -1.0]]))
        >>> bool(jnp.abs(gradient).max() < 1e-6)
        True
    """
    if max_steps < 1:
        raise ValueError(f"max_steps= must be at least 1, got {max_steps}")
    return _RowLoss(fun, max_steps)


@dataclass(frozen=True)
class _RowLoss:
    """See `prox_risk`."""

    fun: Callable[[Array, Array], Array]
    max_steps: int

    def __call__(self, z: Outputs, targets: Targets) -> Float[Array, ""]:
        return jnp.sum(jax.vmap(self.fun)(z, targets))

    def solve(
        self, s: Outputs, targets: Targets, nu: Float[Array, ""], z_start: Outputs
    ) -> Outputs:
        """argmin over z of R(z; y) + ν/2 ‖z − s‖², from `z_start`."""
        return jax.vmap(self._solve_row, in_axes=(0, 0, None, 0))(s, targets, nu, z_start)

    def start(self, s: Outputs, targets: Targets) -> Outputs:
        """The forward pass."""
        return jnp.copy(s)

    def _solve_row(self, s, y, nu, start):
        rounding = _ROUNDING * float(jnp.finfo(s.dtype).eps)

        def objective(z):
            return self.fun(z, y) + nu / 2 * jnp.sum((z - s) ** 2)

        def improve(carry):
            step, z, value, damping, _ = carry
            g, H = jax.grad(objective)(z), jax.hessian(objective)(z)
            shift = damping * jnp.abs(H).max() * jnp.eye(len(z), dtype=z.dtype)
            move = jsp.linalg.solve(H + shift, g, assume_a="pos")
            new = objective(z - move)
            # Close to the minimum the objective drowns in rounding; then the gradient decides.
            level = new <= value + rounding * jnp.abs(value)
            smaller = jnp.abs(jax.grad(objective)(z - move)).max() < jnp.abs(g).max() / 2
            taken = (new < value) | (level & smaller)
            lower = jnp.where(damping > _LEAST, damping / _FACTOR, 0)
            higher = jnp.maximum(_FACTOR * damping, _LEAST)
            small = jnp.abs(move).max() <= rounding * (jnp.abs(z) + jnp.abs(s)).max()
            z, value = jnp.where(taken, z - move, z), jnp.where(taken, new, value)
            finished = ~taken & (small | (damping > _MOST))
            return step + 1, z, value, jnp.where(taken, lower, higher), ~finished

        # Where s is NaN no step improves anything; the result must not look sound.
        start = jnp.where(jnp.isnan(s).any(), jnp.nan, start)
        carry = (0, start, objective(start), jnp.zeros_like(nu), ~jnp.isnan(start).any())
        return lax.while_loop(lambda c: c[4] & (c[0] < self.max_steps), improve, carry)[1]
