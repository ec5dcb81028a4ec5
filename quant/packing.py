"""Dense packing of 1- to 8-bit codes, and of codes 0, 1 and 2, into bytes.

The layout is planar: the codes are laid out as 8 rows and every group of 8 codes, one from each
row, fills `bits` bytes, one in each row of the output. All accesses are then contiguous, for any
width, and an odd width such as 5 costs no more than 4.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt8

_TRITS = 5  # of a byte: 3⁵ = 243


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take: `bits` for every started group of 8.

    Example:
        >>> packed_size(1000, 5)
        625
    """
    return bits * -(-count // 8)


@partial(jax.jit, static_argnames="bits")
def pack(codes: UInt8[Array, " count"], bits: int) -> UInt8[Array, " packed"]:
    """Pack codes below `2**bits` into `packed_size(count, bits)` bytes.

    Example:
        >>> codes = jnp.arange(16, dtype=jnp.uint8)
        >>> packed = pack(codes, 5)
        >>> packed.size, bool((unpack(packed, 5, 16) == codes).all())
        (10, True)
    """
    _check(bits)
    if bits == 8:
        return jnp.pad(codes, (0, -codes.size % 8))
    rows = jnp.pad(codes, (0, -codes.size % 8)).reshape(8, -1)
    packed = []
    for byte in range(bits):
        value = jnp.zeros_like(rows[0])
        for row, shift in _overlaps(byte, bits):
            value |= rows[row] << shift if shift >= 0 else rows[row] >> -shift
        packed.append(value)
    return jnp.concatenate(packed)


@partial(jax.jit, static_argnames=("bits", "count"))
def unpack(packed: UInt8[Array, " packed"], bits: int, count: int) -> UInt8[Array, " count"]:
    """The first `count` codes of a packed buffer: the inverse of `pack`.

    Example:
        >>> codes = jnp.array([3, 0, 2], jnp.uint8)
        >>> unpack(pack(codes, bits=2), bits=2, count=3).tolist()
        [3, 0, 2]
    """
    _check(bits)
    if bits == 8:
        return packed[:count]
    planes = packed.reshape(bits, -1)
    values = [jnp.zeros_like(planes[0]) for _ in range(8)]
    for byte in range(bits):
        for row, shift in _overlaps(byte, bits):
            values[row] |= planes[byte] >> shift if shift >= 0 else planes[byte] << -shift
    mask = jnp.uint8(2**bits - 1)
    return (jnp.concatenate(values) & mask)[:count]


@jax.jit
def pack_trits(codes: UInt8[Array, " count"]) -> UInt8[Array, " packed"]:
    """Pack codes 0, 1 and 2, five to a byte, in planes of their own.

    Example:
        >>> pack_trits(jnp.array([0, 1, 2, 0, 0], jnp.uint8)).tolist()  # 1·3 + 2·9
        [21]
    """
    packed, *rows = jnp.pad(codes, (0, -codes.size % _TRITS)).reshape(_TRITS, -1)[::-1]
    for row in rows:
        packed = 3 * packed + row
    return packed


@partial(jax.jit, static_argnames="count")
def unpack_trits(packed: UInt8[Array, " packed"], count: int) -> UInt8[Array, " count"]:
    """The first `count` codes of a packed buffer: the inverse of `pack_trits`.

    Example:
        >>> unpack_trits(jnp.array([21], jnp.uint8), count=3).tolist()
        [0, 1, 2]
    """
    rows = []
    for _ in range(_TRITS):
        rows.append(packed % 3)
        packed = packed // 3
    return jnp.concatenate(rows)[:count]


def packed_trits_size(count: int) -> int:
    """Bytes that `count` codes 0, 1 and 2 take.

    Example:
        >>> packed_trits_size(11)
        3
    """
    return -(-count // _TRITS)


def _check(bits: int) -> None:
    if not 1 <= bits <= 8:
        raise ValueError(f"codes have 1 to 8 bits, got {bits}")


def _overlaps(byte: int, bits: int) -> list[tuple[int, int]]:
    """(row, left shift) of every code that has bits in this output byte of a group."""
    return [
        (row, row * bits - 8 * byte)
        for row in range(8)
        if row * bits < 8 * byte + 8 and row * bits + bits > 8 * byte
    ]
