"""Codes on a common range: they add up, in words that just hold the sum."""

import itertools
import math

import numpy as np
import pytest

from quant import (
    COMMON_CODEC_NAMES,
    make_common,
    pack_words,
    range_index,
    range_limit,
    unpack_words,
    words_size,
)
from quant.common import RANGES

BITS = {"common16": 16, "common8": 8, "common4": 4, "common2": 2}


@pytest.mark.parametrize("senders", [1, 3, 12])
@pytest.mark.parametrize("name", COMMON_CODEC_NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sum_of_codes_is_the_sum_up_to_half_a_step_each(name, senders, dtype):
    codec, bits = make_common(name), BITS[name]
    x = np.random.default_rng(0).uniform(-3, 3, (senders, 500)).astype(dtype)
    limit = range_limit(range_index(x.reshape(-1)))
    step = 2 * limit / (2**bits - 2)
    total = sum(codec.encode(each, limit) for each in x)
    found = codec.decode_sum(total, limit, senders)
    assert found.dtype == np.float64
    assert abs(found - x.sum(axis=0, dtype=np.float64)).max() <= senders * step / 2 * (1 + 1e-9)
    one_by_one = sum(codec.decode_sum(codec.encode(each, limit), limit, 1) for each in x)
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", COMMON_CODEC_NAMES)
@pytest.mark.parametrize("senders", [1, 2, 3, 12, 1024])
@pytest.mark.parametrize("spare", [0, 777])
def test_words_are_as_wide_as_the_largest_sum_and_no_wider(name, senders, spare):
    codec = make_common(name)
    width = codec.width(senders, spare)
    assert 2 ** (width - 1) <= senders * (2 ** BITS[name] - 2) + 2 * spare < 2**width
    for extreme in (senders * codec.top + spare, -spare):
        word = np.array([extreme % 2**width], np.uint32)
        (found,) = codec.decode_sum(word, 1.0, senders, width, spare)
        assert found == pytest.approx(codec.step(1.0) * extreme - senders, abs=1e-12)


@pytest.mark.parametrize("name", COMMON_CODEC_NAMES)
def test_zero_stays_zero(name):
    """What does not move must not drift, whatever moves beside it."""
    codec = make_common(name)
    words = sum(codec.encode(np.array([0.0, 0.7]), 1.0) for _ in range(5))
    assert codec.decode_sum(words, 1.0, senders=5)[0] == 0


@pytest.mark.parametrize("width", [1, 2, 5, 7, 8, 9, 12, 16, 20, 31, 32])
@pytest.mark.parametrize("count", [1, 8, 1001])
def test_packed_words_come_back_modulo_their_width(width, count):
    words = np.random.default_rng(width).integers(0, 2**32, count, np.uint32)
    packed = pack_words(words, width)
    assert packed.nbytes == words_size(count, width) == math.ceil(width * count / 8)
    np.testing.assert_array_equal(unpack_words(packed, width, count), words & (2**width - 1))


@pytest.mark.parametrize("size", [1e-20, 1e-9, 0.4, 0.5, 1.0, 1.1, 8e6])
def test_a_range_holds_its_array_and_is_at_most_half_an_octave_too_wide(size):
    limit = range_limit(range_index(np.array([0.0, -size])))
    assert size <= limit
    assert limit < size * 2**0.5 * (1 + 1e-12) or limit == 2.0**-40


def test_what_is_not_finite_stays_so():
    for x in (np.array([1.0, np.nan]), np.array([np.inf]), np.array([1e30])):
        assert range_index(x) == RANGES - 1
    codec = make_common("common8")
    words = codec.encode(np.array([1.0, np.nan]), range_limit(RANGES - 1))
    assert np.isnan(codec.decode_sum(words, range_limit(RANGES - 1), 1)).all()
    with pytest.raises(ValueError, match="NaN has no code"):
        codec.encode(np.array([1.0, np.nan]), 1.0)


def test_zeros_have_the_smallest_range():
    assert range_index(np.zeros(3, np.float32)) == range_index(np.zeros(0)) == 0
    assert range_limit(0) == 2.0**-40


@pytest.mark.parametrize("name", COMMON_CODEC_NAMES)
def test_what_a_code_loses_comes_with_the_next(name):
    """Codes of changes: the memory converges to the array, at any number of bits."""
    codec, x = make_common(name), np.random.default_rng(1).normal(size=200)
    memory, errors = np.zeros(200), []
    for _ in range(40):
        limit = range_limit(range_index(x - memory))
        memory = memory + codec.decode_sum(codec.encode(x - memory, limit), limit, 1)
        errors.append(abs(x - memory).max())
    assert errors[-1] < 1e-11
    # Half a step of a range that is up to √2 too wide.
    factor = 2**0.5 / codec.top
    assert all(b <= factor * a + 2.0**-40 for a, b in itertools.pairwise(errors))


def test_an_unknown_name_is_told():
    with pytest.raises(ValueError, match="unknown codec 'delta8'; expected one of common16"):
        make_common("delta8")
