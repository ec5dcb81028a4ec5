"""How an array travels, or is constrained: sets of levels, bit packing, codecs.

Nothing here knows networks, solvers or MPI; everything is a pure, jitted function of arrays.
"""

from quant.codecs import CODEC_NAMES, Codec, Delta, Float, LevelCodec, Uniform, make_codec
from quant.levels import Levels
from quant.packing import pack, packed_size, unpack

__all__ = [
    "CODEC_NAMES",
    "Codec",
    "Delta",
    "Float",
    "LevelCodec",
    "Levels",
    "Uniform",
    "make_codec",
    "pack",
    "packed_size",
    "unpack",
]
