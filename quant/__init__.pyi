from .codecs import (
    Codec as Codec,
    Delta as Delta,
    Float as Float,
    LevelCodec as LevelCodec,
    Uniform as Uniform,
    make_codec as make_codec,
)
from .levels import Levels as Levels
from .names import CODEC_NAMES as CODEC_NAMES
from .packing import pack as pack, packed_size as packed_size, unpack as unpack
