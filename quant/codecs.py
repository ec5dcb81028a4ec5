"""Codecs: an array to one contiguous byte buffer of known size, and back.

The two ends of a channel hold the same `previous` array, the one decoded last (a start value that
both know, at first). `decode(encode(x, previous), previous)` is what both ends go on with: the
sender decodes its own message with the same compiled function, so the two copies are equal bit
for bit. Only codecs that remember look at `previous`.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float as FloatArray, UInt8

from quant.levels import Levels
from quant.names import CODEC_NAMES
from quant.packing import (
    pack,
    pack_trits,
    packed_size,
    packed_trits_size,
    unpack,
    unpack_trits,
)

Shape = tuple[int, ...]


@runtime_checkable
class Codec(Protocol):
    """What every codec offers; all are frozen dataclasses, hence hashable and static under jit.

    Attributes:
        remembers: Whether messages depend on `previous`: the ends of a channel then keep it, and
            so does a checkpoint.

    Example:
        >>> isinstance(Uniform(4), Codec)
        True
    """

    remembers: ClassVar[bool]

    def nbytes(self, shape: Shape) -> int:
        """Exact size of the message of an array of this shape, known before it is sent."""
        ...

    def encode(
        self, x: FloatArray[Array, "*shape"], previous: FloatArray[Array, "*shape"]
    ) -> UInt8[Array, " nbytes"]:
        """The message: scales first, then packed codes."""
        ...

    def decode(
        self,
        message: UInt8[Array, " nbytes"] | UInt8[np.ndarray, " nbytes"],
        previous: FloatArray[Array, "*shape"],
    ) -> FloatArray[Array, "*shape"]:
        """The array that both ends use, in the shape and dtype of `previous`."""
        ...


@dataclass(frozen=True)
class Float:
    """The array as it is, rounded to a floating-point type: lossless when that is its own.

    Example:
        >>> Float("bfloat16").nbytes((10, 3))
        60
    """

    remembers: ClassVar[bool] = False
    dtype: str = "float32"

    def nbytes(self, shape: Shape) -> int:
        return math.prod(shape) * jnp.dtype(self.dtype).itemsize

    @partial(jax.jit, static_argnames="self")
    def encode(self, x, previous):
        return _to_bytes(x.astype(self.dtype))

    @partial(jax.jit, static_argnames="self")
    def decode(self, message, previous):
        values = _from_bytes(message, jnp.dtype(self.dtype))
        return values.reshape(previous.shape).astype(previous.dtype)


@dataclass(frozen=True)
class LevelCodec:
    """Packed codes of a set of levels: lossless for an array whose elements are members.

    NaN has no code, and arrives as a member: whoever may have some has to look for it before.

    Example:
        >>> LevelCodec(Levels(-1, 20)).nbytes((8, 100))  # 5 bits each
        500
    """

    remembers: ClassVar[bool] = False
    levels: Levels

    def nbytes(self, shape: Shape) -> int:
        return packed_size(math.prod(shape), self.levels.bits)

    @partial(jax.jit, static_argnames="self")
    def encode(self, x, previous):
        return pack(self.levels.encode(x).reshape(-1), self.levels.bits)

    @partial(jax.jit, static_argnames="self")
    def decode(self, message, previous):
        codes = unpack(message, self.levels.bits, previous.size)
        return self.levels.decode(codes.reshape(previous.shape), previous.dtype)


@dataclass(frozen=True)
class Uniform:
    """Affine quantisation, block by block of the flattened array.

    With `lo` and `hi` the extremes of a block and `scale = (hi − lo)/(2^bits − 1)`, an element
    travels as the code `round((x − lo)/scale)` and arrives as `lo + scale·code`: the error is at
    most `scale/2`. A message is `lo` and `scale` of every block (float32), then the packed codes.

    Args:
        bits: 1 to 8, or 16.
        block: Elements that share one offset and one scale.

    Raises:
        ValueError: If bits or block are out of range.

    Example:
        >>> Uniform(4).nbytes((256, 100))  # 12 800 of codes and 100 blocks of 8
        13600
    """

    remembers: ClassVar[bool] = False
    bits: int
    block: int = 256

    def __post_init__(self) -> None:
        _check_block(self.block)
        if self.bits != 16 and not 1 <= self.bits <= 8:
            raise ValueError(f"uniform codes have 1 to 8 or 16 bits, got {self.bits}")

    def nbytes(self, shape: Shape) -> int:
        count = math.prod(shape)
        codes = 2 * count if self.bits == 16 else packed_size(count, self.bits)
        return 8 * _blocks(count, self.block) + codes

    @partial(jax.jit, static_argnames="self")
    def encode(self, x, previous):
        flat = x.reshape(-1)
        blocks = jnp.pad(flat, (0, -flat.size % self.block), mode="edge")
        blocks = blocks.reshape(-1, self.block)
        top = 2**self.bits - 1
        lo = blocks.min(axis=1).astype(jnp.float32)
        start = lo.astype(x.dtype)
        scale = ((blocks.max(axis=1) - start) / top).astype(jnp.float32)
        codes = (blocks - start[:, None]) / jnp.where(scale > 0, scale, 1).astype(x.dtype)[:, None]
        codes = jnp.clip(jnp.round(codes), 0, top).reshape(-1)[: flat.size]
        header = _to_bytes(jnp.stack([lo, scale]))
        if self.bits == 16:
            return jnp.concatenate([header, _to_bytes(codes.astype(jnp.uint16))])
        return jnp.concatenate([header, pack(codes.astype(jnp.uint8), self.bits)])

    @partial(jax.jit, static_argnames="self")
    def decode(self, message, previous):
        count = previous.size
        header, packed = jnp.split(message, [8 * _blocks(count, self.block)])
        lo, scale = _from_bytes(header, jnp.dtype(jnp.float32)).reshape(2, -1, 1)
        if self.bits == 16:
            codes = _from_bytes(packed, jnp.dtype(jnp.uint16))
        else:
            codes = unpack(packed, self.bits, count)
        codes = jnp.pad(codes, (0, -count % self.block)).reshape(-1, self.block)
        dtype = previous.dtype
        values = lo.astype(dtype) + scale.astype(dtype) * codes.astype(dtype)
        return values.reshape(-1)[:count].reshape(previous.shape)


@dataclass(frozen=True)
class Delta:
    """Uniform quantisation of the change since the message before.

    Both ends hold m, the array decoded last; `uniform(bits)` of `x − m` travels and both go on
    with `m + decoded difference`. What one message loses stays in `x − m` and is sent in the next,
    so for a converging x the error vanishes at a fixed bit width.

    Args:
        bits: See `Uniform`.
        block: Likewise.

    Raises:
        ValueError: If bits or block are out of range.

    Example:
        >>> Delta(2).nbytes((256, 100)) / (4 * 256 * 100)
        0.0703125
    """

    remembers: ClassVar[bool] = True
    bits: int
    block: int = 256

    def __post_init__(self) -> None:
        Uniform(self.bits, self.block)  # which checks both

    def nbytes(self, shape: Shape) -> int:
        return self._uniform.nbytes(shape)

    @partial(jax.jit, static_argnames="self")
    def encode(self, x, previous):
        return self._uniform.encode(x - previous, previous)

    @partial(jax.jit, static_argnames="self")
    def decode(self, message, previous):
        return previous + self._uniform.decode(message, previous)

    @property
    def _uniform(self) -> Uniform:
        return Uniform(self.bits, self.block)


@dataclass(frozen=True)
class Ternary:
    """Quantisation to three levels of the change since the message before.

    With d = x − m, m the array decoded last, and `s = ⅔ max |d|` of a block, an element travels as
    that of −1, 0 and 1 that is nearest to d/s, and both ends go on with `m + s·code`. The error is
    at most max |d|/3, as that of `Delta(2)` with changes of both signs, and it goes into the next
    message likewise. A message is `s` of every block (float32), then five codes a byte.

    Args:
        block: Elements that share one scale.

    Raises:
        ValueError: If there are none.

    Example:
        >>> Ternary().nbytes((256, 100)) / (4 * 256 * 100)
        0.05390625
    """

    remembers: ClassVar[bool] = True
    block: int = 256

    def __post_init__(self) -> None:
        _check_block(self.block)

    def nbytes(self, shape: Shape) -> int:
        count = math.prod(shape)
        return 4 * _blocks(count, self.block) + packed_trits_size(count)

    @partial(jax.jit, static_argnames="self")
    def encode(self, x, previous):
        change = (x - previous).reshape(-1)
        blocks = jnp.pad(change, (0, -change.size % self.block)).reshape(-1, self.block)
        scale = (2 / 3 * jnp.abs(blocks).max(axis=1)).astype(jnp.float32)
        codes = blocks / jnp.where(scale > 0, scale, 1).astype(x.dtype)[:, None]
        codes = 1 + jnp.clip(jnp.round(codes), -1, 1).reshape(-1)[: change.size]
        return jnp.concatenate([_to_bytes(scale), pack_trits(codes.astype(jnp.uint8))])

    @partial(jax.jit, static_argnames="self")
    def decode(self, message, previous):
        count, dtype = previous.size, previous.dtype
        header, packed = jnp.split(message, [4 * _blocks(count, self.block)])
        scale = _from_bytes(header, jnp.dtype(jnp.float32)).astype(dtype)
        codes = jnp.pad(unpack_trits(packed, count), (0, -count % self.block))
        values = scale[:, None] * (codes.reshape(-1, self.block).astype(dtype) - 1)
        return previous + values.reshape(-1)[:count].reshape(previous.shape)


def make_codec(name: str, levels: Levels | None = None) -> Codec:
    """The codec of a name: one of `CODEC_NAMES`.

    Args:
        name: `levels` needs the set; the others ignore it.
        levels: The set of levels.

    Raises:
        ValueError: If the name is unknown, or `levels` comes without a set.

    Example:
        >>> make_codec("delta4")
        Delta(bits=4, block=256)
    """
    if name == "levels":
        if levels is None:
            raise ValueError("codec 'levels' needs a set of levels for the variable it carries")
        return LevelCodec(levels)
    if name not in CODEC_NAMES:
        raise ValueError(f"unknown codec {name!r}; expected one of {', '.join(CODEC_NAMES)}")
    if name == "ternary":
        return Ternary()
    for kind, codec in (("uniform", Uniform), ("delta", Delta)):
        if name.startswith(kind):
            return codec(int(name.removeprefix(kind)))
    return Float(name)


def _check_block(block: int) -> None:
    if block < 1:
        raise ValueError(f"a block has at least 1 element, got {block}")


def _blocks(count: int, block: int) -> int:
    """How many blocks so many elements begin."""
    return -(-count // block)


def _to_bytes(x: Array) -> Array:
    return lax.bitcast_convert_type(x, jnp.uint8).reshape(-1)


def _from_bytes(message: Array, dtype: jnp.dtype) -> Array:
    return lax.bitcast_convert_type(message.reshape(-1, dtype.itemsize), dtype)
