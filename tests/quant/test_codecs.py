"""One contract for all codecs, then what is particular to each."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from quant import (
    CODEC_NAMES,
    REMEMBERING_CODEC_NAMES,
    Delta,
    Float,
    LevelCodec,
    Levels,
    Ternary,
    Uniform,
    make_codec,
)

LEVELS = Levels(-1, 20)
NAMES = [name for name in CODEC_NAMES if name != "float64"]
SHAPES = [(1, 1), (16, 16), (37, 100)]


def sample(shape, seed=0, scale=3.0):
    return scale * jax.random.normal(jax.random.key(seed), shape)


def bytes_expected(name, count):
    """Sizes worked out from the documentation, independently of the code."""
    if name in ("float32", "bfloat16"):
        return {"float32": 4, "bfloat16": 2}[name] * count
    if name == "ternary":
        return -(-count // 5) + 4 * -(-count // 256)
    bits = 5 if name == "levels" else int(name.lstrip("uniformdelta"))
    codes = 2 * count if bits == 16 else bits * -(-count // 8)
    return codes + (0 if name == "levels" else 8 * -(-count // 256))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_contract(name, shape):
    codec = make_codec(name, LEVELS)
    x, previous = sample(shape), sample(shape, seed=1)
    message = codec.encode(x, previous)
    assert message.dtype == jnp.uint8
    assert message.shape == (codec.nbytes(shape),) == (bytes_expected(name, x.size),)
    decoded = codec.decode(message, previous)
    assert decoded.shape == shape
    assert decoded.dtype == x.dtype
    again = codec.decode(np.array(message), previous)  # as it comes out of a receive buffer
    np.testing.assert_array_equal(decoded, again)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_call_does_not_recompile(name):
    codec = make_codec(name, LEVELS)
    x = sample((5, 11))
    codec.decode(codec.encode(x, x), x)
    with jax.log_compiles(True):
        encodings, decodings = type(codec).encode._cache_size(), type(codec).decode._cache_size()
        codec.decode(codec.encode(x + 1, x), x)
    assert type(codec).encode._cache_size() == encodings
    assert type(codec).decode._cache_size() == decodings


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_floats_are_lossless(name, x64):
    x = sample((4, 5)).astype(name)
    codec = Float(name)
    np.testing.assert_array_equal(codec.decode(codec.encode(x, x), x), x)


@given(st.sampled_from([1, 2, 3, 4, 8, 16]), st.integers(0, 999))
def test_uniform_error_is_at_most_half_a_step(bits, seed):
    codec = Uniform(bits, block=32)
    x = sample((9, 13), seed, scale=10.0 ** (seed % 7 - 3))
    error = np.abs(codec.decode(codec.encode(x, x), x) - x).reshape(-1)
    padded = np.pad(np.asarray(x).reshape(-1), (0, -x.size % 32), mode="edge").reshape(-1, 32)
    step = (padded.max(axis=1) - padded.min(axis=1)) / (2**bits - 1)
    bound = np.repeat(step / 2, 32)[: x.size]
    assert (error <= bound + 1e-6 * np.abs(padded).max()).all()


@pytest.mark.parametrize("value", [0.0, -7.25])
def test_constants_are_exact(value):
    x = jnp.full((20, 30), value)
    for codec in (Uniform(2), Delta(2)):
        np.testing.assert_array_equal(codec.decode(codec.encode(x, x), x), x)


def test_levels_are_exact_in_five_bits():
    codes = jax.random.randint(jax.random.key(0), (40, 100), 0, 22)
    x = codes.astype(jnp.float32) - 1
    codec = LevelCodec(LEVELS)
    assert codec.nbytes(x.shape) == 40 * 100 * 5 // 8
    np.testing.assert_array_equal(codec.decode(codec.encode(x, x), x), x)


@pytest.mark.parametrize("name", REMEMBERING_CODEC_NAMES)
def test_the_error_of_changes_vanishes_for_a_converging_sequence(name):
    codec = make_codec(name)
    assert codec.remembers
    limit, start = sample((30, 50)), sample((30, 50), seed=1)
    last = jnp.zeros((30, 50))
    errors = []
    for k in range(40):
        x = limit + 0.5**k * start
        last = codec.decode(codec.encode(x, last), last)
        errors.append(float(jnp.abs(x - last).max()))
    assert errors[-1] < 1e-5 * errors[0]


@given(st.integers(0, 999))
def test_ternary_error_is_at_most_a_third_of_the_largest_change(seed):
    codec = Ternary(block=32)
    x, previous = sample((9, 13), seed, scale=10.0 ** (seed % 7 - 3)), sample((9, 13), seed + 1)
    error = np.abs(codec.decode(codec.encode(x, previous), previous) - x).reshape(-1)
    change = np.pad(np.abs(np.asarray(x - previous)).reshape(-1), (0, -x.size % 32))
    bound = np.repeat(change.reshape(-1, 32).max(axis=1) / 3, 32)[: x.size]
    assert (error <= bound + 1e-6 * np.abs(x).max() + 1e-6).all()


def test_ternary_leaves_what_has_not_changed():
    x = sample((20, 30))
    y = x.at[3, 4].add(1.5)
    for new in (x, y):
        decoded = Ternary().decode(Ternary().encode(new, x), x)
        np.testing.assert_array_equal(decoded != x, new != x)


def test_bytes_against_float32():
    """The fractions that docs/speed.md states, for rows of 100."""
    fraction = {
        name: make_codec(name, LEVELS).nbytes((140, 100)) / (4 * 140 * 100)
        for name in ("uniform8", "delta4", "delta2", "ternary", "levels")
    }
    assert fraction["uniform8"] <= 0.26
    assert fraction["delta4"] <= 0.135
    assert fraction["delta2"] <= 0.072
    assert fraction["ternary"] <= 0.054
    assert fraction["levels"] == 5 / 32


def test_nan_is_not_hidden():
    x = jnp.array([[1.0, jnp.nan, 2.0]])
    for codec in (Float("bfloat16"), Uniform(8), Delta(2), Ternary()):
        zero = jnp.zeros_like(x)
        assert np.isnan(codec.decode(codec.encode(x, zero), zero)).any()


@pytest.mark.parametrize("bits", [0, 9, 12, 32])
def test_refuses_other_widths(bits):
    with pytest.raises(ValueError, match=f"1 to 8 or 16 bits, got {bits}"):
        Uniform(bits)
    with pytest.raises(ValueError, match=f"1 to 8 or 16 bits, got {bits}"):
        Delta(bits)


@pytest.mark.parametrize("make", [partial(Uniform, 4), partial(Delta, 4), Ternary])
def test_refuses_empty_blocks(make):
    with pytest.raises(ValueError, match="a block has at least 1 element, got 0"):
        make(block=0)


def test_names():
    with pytest.raises(ValueError, match="unknown codec 'zip'; expected one of float64, float32"):
        make_codec("zip")
    with pytest.raises(ValueError, match="needs a set of levels"):
        make_codec("levels")
