import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from quant import Levels

PAPER = Levels(-1, 20)


@given(st.lists(st.floats(-50, 50, width=32), min_size=6, max_size=6))
def test_projection_is_the_nearest_member(values):
    x = np.array(values, np.float32)
    members = np.arange(-1, 21)
    distance = np.abs(x[:, None] - members).min(axis=1)
    projected = np.asarray(PAPER.project(jnp.asarray(x)))
    assert np.isin(projected, members).all()
    np.testing.assert_allclose(np.abs(x - projected), distance, atol=1e-5)


def test_codes_are_lossless_on_the_set():
    levels = Levels(-0.5, 1.0, 0.25)
    members = np.array([-0.5, -0.25, 0, 0.25, 0.5, 0.75, 1], np.float32)
    codes = levels.encode(jnp.asarray(members))
    assert levels.size == 7
    assert levels.bits == 3
    np.testing.assert_array_equal(codes, np.arange(7))
    np.testing.assert_array_equal(levels.decode(codes), members)


def test_members_are_the_same_bits_however_they_are_computed():
    levels = Levels(-0.7, 1.1, 0.1)
    x = jax.random.normal(jax.random.key(0), (1000,))
    projected = jax.jit(lambda x: levels.project(2 * x))(x)
    decoded = levels.decode(levels.encode(projected))
    np.testing.assert_array_equal(projected, decoded)


def test_nan_stays_nan():
    assert np.isnan(PAPER.project(jnp.array([jnp.nan])))[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "LOW:HIGH or LOW:HIGH:STEP, got '1'"),
        ("a:b", "LOW:HIGH or LOW:HIGH:STEP, got 'a:b'"),
        ("5:5", "low < high and step > 0"),
        ("0:1:-1", "low < high and step > 0"),
        ("0:1:0.3", "multiple of step"),
        ("0:1000", "at most 256 levels fit an 8-bit code, got 1001"),
        ("0:inf", "finite"),
    ],
)
def test_refuses_what_is_no_set(text, message):
    with pytest.raises(ValueError, match=message):
        Levels.parse(text)


def test_text_round_trip():
    levels = Levels(-1, 2, 0.1)
    assert Levels.parse(str(levels)) == levels
