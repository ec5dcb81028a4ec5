from .codecs import (
    Codec as Codec,
    Delta as Delta,
    Float as Float,
    LevelCodec as LevelCodec,
    Ternary as Ternary,
    Uniform as Uniform,
    make_codec as make_codec,
)
from .common import (
    CommonScale as CommonScale,
    make_common as make_common,
    pack_words as pack_words,
    range_index as range_index,
    range_limit as range_limit,
    unpack_words as unpack_words,
    words_size as words_size,
)
from .levels import Levels as Levels
from .names import (
    CODEC_NAMES as CODEC_NAMES,
    COMMON_CODEC_NAMES as COMMON_CODEC_NAMES,
    REMEMBERING_CODEC_NAMES as REMEMBERING_CODEC_NAMES,
)
from .packing import (
    pack as pack,
    pack_trits as pack_trits,
    packed_size as packed_size,
    packed_trits_size as packed_trits_size,
    unpack as unpack,
    unpack_trits as unpack_trits,
)
