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
    "levels",
)
"""What `make_codec` makes: floats, uniform and delta codes of so many bits, codes of levels."""
