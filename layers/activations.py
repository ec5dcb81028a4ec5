"""Activations: their value, and the closed form of the pre-activation subproblem.

All are members of one family, f(x) = max(x, 0) + slope·min(x, 0), whose subproblem has a closed
form. S, the Lipschitz constant that the convergence theory needs, is `max(1, |slope|)`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float


@runtime_checkable
class Activation(Protocol):
    """What a solver needs of f; hashable, like a frozen dataclass, since it is static under jit.

    `layers.prox` makes one of any scalar function.

    Example:
        >>> isinstance(RELU, Activation), isinstance(jnp.tanh, Activation)
        (True, False)
    """

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """f(x), element by element."""
        ...

    def solve(
        self,
        s: Float[Array, "*shape"],
        q: Float[Array, "*shape"],
        z_old: Float[Array, "*shape"],
    ) -> Float[Array, "*shape"]:
        """argmin over z of (z − s)² + (q − f(z))² + (z − z_old)², element by element."""
        ...


@dataclass(frozen=True)
class PiecewiseLinear:
    """f(x) = x for x ≥ 0 and slope·x below: ReLU (slope 0), leaky ReLU, identity (slope 1).

    Example:
        >>> [float(v) for v in LeakyReLU(0.5)(jnp.array([-2.0, 3.0]))]
        [-1.0, 3.0]
    """

    slope: float

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.where(x >= 0, x, self.slope * x)

    def solve(
        self,
        s: Float[Array, "*shape"],
        q: Float[Array, "*shape"],
        z_old: Float[Array, "*shape"],
    ) -> Float[Array, "*shape"]:
        """argmin over z of (z − s)² + (q − f(z))² + (z − z_old)², element by element.

        Each of the two linear pieces has a minimiser, clipped to its half line; the better one
        by the whole objective wins (Wang et al., arXiv 2105.09837, Appendix A, z-update).
        """
        low = jnp.minimum((s + z_old + self.slope * q) / (2 + self.slope**2), 0)
        high = jnp.maximum((s + z_old + q) / 3, 0)

        def objective(z, fz):
            return (z - s) ** 2 + (q - fz) ** 2 + (z - z_old) ** 2

        return jnp.where(objective(low, self.slope * low) < objective(high, high), low, high)


def LeakyReLU(slope: float = 0.01) -> PiecewiseLinear:
    """The leaky rectifier.

    Example:
        >>> LeakyReLU()
        PiecewiseLinear(slope=0.01)
    """
    return PiecewiseLinear(slope)


RELU = PiecewiseLinear(0.0)
"""max(z, 0)."""

IDENTITY = PiecewiseLinear(1.0)
"""z itself."""
