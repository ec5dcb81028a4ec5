"""The names of the codecs; needs no JAX."""

CODEC_NAMES = (
    "float64",
    "float32",
    "bfloat16",
    "uniform16",
    "uniform8",
    "uniform4",
    "uniform2",
    "delta8",
    "delta4",
    "delta2",
    "ternary",
    "levels",
)
"""What `make_codec` makes: floats, uniform and delta codes of so many bits, changes in three
levels, and codes of levels."""

REMEMBERING_CODEC_NAMES = ("delta8", "delta4", "delta2", "ternary")
"""Those whose messages are changes since the last one."""

COMMON_CODEC_NAMES = ("common16", "common8", "common4", "common2")
"""What `make_common` makes: codes of so many bits on one range for all senders."""
