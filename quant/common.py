"""Integer codes that can be added: all senders of a round share one range.

Sums of the codes decode to sums of the arrays, so a receiver that knows nothing but the sum can
work with it. Words are NumPy's: whoever masks them does so on the host.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8, UInt32

from quant.names import COMMON_CODEC_NAMES

Words = UInt32[np.ndarray, " count"]

RANGES = 128
"""How many ranges there are: half octaves from 2⁻⁴⁰ to 2²³, and one for all above and NaN."""


def range_index(x: Float[np.ndarray, " count"]) -> int:
    """Index of the smallest range that holds every element.

    Example:
        >>> range_limit(range_index(np.array([0.3, -0.6])))
        0.7071067811865476
        >>> range_limit(range_index(np.array([0.3, np.nan])))
        inf
    """
    largest = float(np.abs(x).max(initial=0.0))
    if not math.isfinite(largest):
        return RANGES - 1
    index = math.ceil(2 * math.log2(largest)) + 80 if largest > 0 else 0
    return min(max(index, 0), RANGES - 1)


def range_limit(index: int) -> float:
    """The largest magnitude m in a range: 2^(index/2 − 40), infinite in the last.

    Example:
        >>> range_limit(80), range_limit(82)
        (1.0, 2.0)
    """
    return math.inf if index == RANGES - 1 else 2.0 ** (index / 2 - 40)


@dataclass(frozen=True)
class CommonScale:
    """Uniform codes on one range [−m, m] for all senders of a round.

    With `step = 2m/(2^bits − 2)`, so that 0 has a code, an element travels as
    `code = round((x + m)/step)`, and the sum of n senders arrives as `step·Σcode − n·m`: off by at
    most `n·step/2`. What is out of range is cut.

    Args:
        bits: Of one sender's code, at least 2; words of 32 bits have to hold the sum of all.

    Example:
        >>> codec = CommonScale(8)
        >>> a, b = (codec.encode(np.array(x), 1.0) for x in ([0.5, -1.0], [0.2, 0.4]))
        >>> [round(float(v), 2) for v in codec.decode_sum(a + b, 1.0, senders=2)]
        [0.69, -0.6]
    """

    bits: int

    @property
    def top(self) -> int:
        """The largest code."""
        return 2**self.bits - 2

    def step(self, limit: float) -> float:
        """Distance between neighbouring values."""
        return 2 * limit / self.top

    def width(self, senders: int, spare: int = 0) -> int:
        """Bits of a word that holds the sum of so many codes and of a noise within ±`spare`."""
        return (senders * self.top + 2 * spare).bit_length()

    def encode(self, x: Float[np.ndarray, " count"], limit: float) -> Words:
        """The codes of an array; zeros in the infinite range, whose sums decode to NaN.

        Raises:
            ValueError: If an element is NaN.
        """
        if math.isinf(limit):
            return np.zeros(x.shape, np.uint32)
        codes = np.rint((x.astype(np.float64) + limit) / self.step(limit))
        if np.isnan(codes).any():
            raise ValueError("NaN has no code")
        return np.clip(codes, 0, self.top).astype(np.uint32)

    def decode_sum(
        self, total: Words, limit: float, senders: int, width: int = 32, spare: int = 0
    ) -> Float[np.ndarray, " count"]:
        """The sum of the arrays, in float64.

        Args:
            total: Sum of the words of all senders, modulo 2^width.
            limit: m of their range.
            senders: How many they are.
            width: Bits of a word.
            spare: Largest magnitude of the noise among the words.
        """
        if math.isinf(limit):
            return np.full(total.shape, np.nan)
        signed = (total.astype(np.int64) + spare) % 2**width - spare
        return self.step(limit) * signed - senders * limit


def make_common(name: str) -> CommonScale:
    """The codec of a name, one of `COMMON_CODEC_NAMES`.

    Raises:
        ValueError: If the name is another.

    Example:
        >>> make_common("common4")
        CommonScale(bits=4)
    """
    if name not in COMMON_CODEC_NAMES:
        raise ValueError(f"unknown codec {name!r}; expected one of {', '.join(COMMON_CODEC_NAMES)}")
    return CommonScale(int(name.removeprefix("common")))


def words_size(count: int, width: int) -> int:
    """Bytes of so many packed words of `width` bits.

    Example:
        >>> words_size(1000, 12), words_size(1000, 32)
        (1500, 4000)
    """
    return -(-count * width // 8)


def pack_words(words: Words, width: int) -> UInt8[Array, " nbytes"]:
    """The lowest `width` bits of every word, one word after the other.

    Example:
        >>> packed = pack_words(np.array([5, 4095, 70000], np.uint32), 12)
        >>> unpack_words(packed, 12, count=3).tolist()  # 70000 modulo 2¹²
        [5, 4095, 368]
    """
    octets = words.astype("<u4").view(np.uint8).reshape(-1, 4)
    return jnp.asarray(np.packbits(np.unpackbits(octets, axis=1, bitorder="little")[:, :width]))


def unpack_words(
    packed: UInt8[Array, " nbytes"] | UInt8[np.ndarray, " nbytes"], width: int, count: int
) -> Words:
    """The first `count` words of a packed buffer: the inverse of `pack_words`.

    Example:
        >>> unpack_words(pack_words(np.array([7, 9], np.uint32), 5), 5, count=2).tolist()
        [7, 9]
    """
    bits = np.zeros((count, 32), np.uint8)
    bits[:, :width] = np.unpackbits(np.asarray(packed), count=count * width).reshape(count, width)
    return np.packbits(bits, axis=1, bitorder="little").view("<u4").reshape(-1).astype(np.uint32)
