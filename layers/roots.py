"""Roots of many scalar functions at once."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Elements = Float[Array, "*shape"]

# Every third step is a bisection: enough of them for any bracket of float64.
_MAX_STEPS = 200

# Roundings of its terms below which a value counts as zero: what is left is noise.
_NOISE = 4


def increasing_root(
    function: Callable[[Elements], tuple[Elements, Elements]],
    low: Elements,
    high: Elements,
    start: Elements,
) -> Elements:
    """A zero of a function in [low, high], element by element, to rounding.

    Newton's method within a bracket that shrinks; a step that leaves it, and every third one, is a
    bisection. A jump from below zero to above it counts as a zero, and NaN stays NaN.

    Args:
        function: Its value, and the size of the terms that cancel in it. The value is at most 0 at
            `low` and at least 0 at `high`.
        low: Lower end.
        high: Upper end.
        start: Where to begin.

    Example:
        >>> def cube(x):
        ...     return x**3 - 8, abs(x**3) + 8
        >>> x = increasing_root(cube, jnp.zeros(1), jnp.full(1, 9.0), jnp.ones(1))
        >>> float(x[0])
        2.0
    """
    ones, eps = jnp.ones_like(start), float(jnp.finfo(start.dtype).eps)

    def improve(carry):
        step, low, high, x, _ = carry
        value, slope, size = jax.jvp(function, (x,), (ones,), has_aux=True)
        low, high = jnp.where(value <= 0, x, low), jnp.where(value >= 0, x, high)
        found = jnp.abs(value) <= _NOISE * eps * size
        found |= high - low <= eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
        newton = x - value / slope
        inside = (low < newton) & (newton < high) & (step % 3 != 2)
        new = jnp.where(inside, newton, low + (high - low) / 2)
        new = jnp.where(found, x, jnp.where(jnp.isnan(value), value, new))
        return step + 1, low, high, new, ((new != x) & ~jnp.isnan(new)).any()

    begin = (0, low, high, start, jnp.array(True))
    return lax.while_loop(lambda c: c[4] & (c[0] < _MAX_STEPS), improve, begin)[3]
