"""Finite sets of equally spaced levels Δ, and the projection onto them.

JAX is imported where there are arrays: options name sets of levels before it starts.

A set of levels constrains what a solver optimises (pdADMM-G-Q). How an array travels is the
business of `quant.codecs`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

Array = Any  # a jax.Array


@dataclass(frozen=True)
class Levels:
    """The equally spaced set Δ = {low, low + step, …, high}, of at most 256 members.

    The set of Wang et al., arXiv 2105.09837, section V, is `Levels(-1, 20)`: the integers −1…20.

    Args:
        low: Smallest member.
        high: Largest member; `high − low` is a multiple of `step`.
        step: Distance between neighbours.

    Raises:
        ValueError: If the numbers describe no such set, or one too large for 8-bit codes.

    Example:
        >>> import jax.numpy as jnp
        >>> levels = Levels(-1, 20)
        >>> levels.size, levels.bits
        (22, 5)
        >>> [float(v) for v in levels.project(jnp.array([-7.0, 0.4, 3.6]))]
        [-1.0, 0.0, 4.0]
    """

    low: float
    high: float
    step: float = 1.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.low, self.high, self.step)):
            raise ValueError(f"levels must be finite numbers, got {self}")
        if self.step <= 0 or self.high <= self.low:
            raise ValueError(f"levels need low < high and step > 0, got {self}")
        count = (self.high - self.low) / self.step
        if not math.isfinite(count):
            raise ValueError(f"at most 256 levels fit an 8-bit code, got {self}")
        if abs(count - round(count)) > 1e-6 * count:
            raise ValueError(f"high - low must be a multiple of step, got {self}")
        if round(count) + 1 > 256:
            raise ValueError(
                f"at most 256 levels fit an 8-bit code, got {round(count) + 1}: {self}"
            )

    @classmethod
    def parse(cls, text: str) -> "Levels":
        """Read `LOW:HIGH` or `LOW:HIGH:STEP`.

        Raises:
            ValueError: If `text` is neither.

        Example:
            >>> Levels.parse("-1:20")
            Levels(low=-1.0, high=20.0, step=1.0)
        """
        try:
            numbers = [float(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3):
            raise ValueError(f"levels are LOW:HIGH or LOW:HIGH:STEP, got {text!r}")
        return cls(*numbers)

    def __str__(self) -> str:
        """LOW:HIGH:STEP, which `parse` reads."""
        return f"{self.low}:{self.high}:{self.step}"

    @property
    def size(self) -> int:
        """Number of members, |Δ|."""
        return round((self.high - self.low) / self.step) + 1

    @property
    def bits(self) -> int:
        """Bits of one code, ⌈log2 |Δ|⌉."""
        return (self.size - 1).bit_length()

    def nearest(self, x: float) -> float:
        """The nearest member of Δ of one number."""
        return self.low + self.step * min(max(round((x - self.low) / self.step), 0), self.size - 1)

    def project(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The nearest member of Δ, element by element (the even code at a tie); NaN stays NaN."""
        import jax.numpy as jnp

        return jnp.where(jnp.isnan(x), x, self.decode(self.encode(x), x.dtype))

    def encode(self, x: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
        """Codes 0…size−1 of the nearest members; NaN has none, and gets that of some member."""
        import jax.numpy as jnp

        codes = jnp.round((x - self.low) / self.step)
        return jnp.clip(codes, 0, self.size - 1).astype(jnp.uint8)

    def decode(
        self, codes: UInt8[Array, "*shape"], dtype: Any = np.float32
    ) -> Float[Array, "*shape"]:
        """The members that the codes stand for; exact inverse of `encode` on Δ.

        Members are looked up, not computed, so that they are the same bits wherever they are
        decoded, however a compiler fuses the arithmetic around.
        """
        import jax.numpy as jnp

        members = np.linspace(self.low, self.high, self.size)
        return jnp.asarray(members, dtype)[codes]
