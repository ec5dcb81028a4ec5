"""Sums of answers: what the root gets, with and without masks, clipping and noise."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import PairwiseMasks
from admm.errors import InputError
from admm.methods.federated.options import FederatedOptions
from admm.methods.federated.schedule import Availability
from admm.methods.federated.summed import RANGE_BYTES, SummedCodec, SummedUplink
from benchmarks.federated_convex import ridge_problem, summed_distances
from quant import COMMON_CODEC_NAMES, make_common, range_limit

CLIENTS, SIZE = 7, 300
NAMES = pytest.mark.parametrize("name", COMMON_CODEC_NAMES)


def schedule(participation=0.7):
    return Availability(FederatedOptions(participation=participation), CLIENTS, least=3)


def rounds_until(end):
    """The rounds of the schedule that are not skipped."""
    return [number for number in range(1, end) if schedule()[number].answering]


def uplinks(name, secure=False, rounds=None, **changes):
    """Those of two workers; the first is the root's."""
    owned = range(4), range(4, CLIENTS)
    masks = [PairwiseMasks(own) if secure else None for own in owned]
    if secure:
        public = {k: v for each in masks for k, v in each.public.items()}
        for each in masks:
            each.agree(public)
    start = jnp.asarray(np.random.default_rng(9).normal(size=SIZE), "float32")
    rounds = rounds or schedule()
    noise = {n: changes.pop(n) for n in ("clip", "noise_multiplier") if n in changes}
    codec = SummedCodec(make_common(name), CLIENTS, **noise)
    counted = rounds.answering if "base" in changes else rounds.answered
    return [
        SummedUplink(codec, start, own, rounds.answering, counted, masks=mask, **changes)
        for own, mask in zip(owned, masks, strict=True)
    ]


def take_round(ways, answers, number):
    """The mean at the root, and the messages of a round."""
    owner = {client: way for way in ways for client in way.changes}
    there = ways[0]._answering(number)
    assert there  # a round with fewer than three is skipped
    asked = {k: owner[k].ask(k, answers[k], number) for k in there}
    reply = ways[0].settle(asked)
    for way in ways:
        way.hear(reply)
    messages = {k: owner[k].encode(k, answers[k], number) for k in there}
    return ways[0].collect(messages, number), asked, messages


def some_answers(seed, scale=1.0):
    random = np.random.default_rng(seed)
    return {k: jnp.asarray(scale * random.normal(size=SIZE), "float32") for k in range(CLIENTS)}


@NAMES
@pytest.mark.parametrize("secure", [False, True])
def test_the_mean_of_all_that_have_answered_is_reached(name, secure):
    """Answers stay what they are from round 10 on: what is lost comes later."""
    ways, last = uplinks(name, secure), {}
    answers = {n: some_answers(min(n, 10)) for n in range(1, 80)}
    for number in rounds_until(80):
        mean, *_ = take_round(ways, answers[number], number)
        last |= {k: answers[number][k] for k in schedule()[number].answering}
    assert len(last) == CLIENTS
    exact = np.mean([np.asarray(each, float) for each in last.values()], axis=0)
    np.testing.assert_allclose(mean, exact, atol=2e-7)


@NAMES
@pytest.mark.parametrize("based", [False, True])
def test_masks_change_no_bit_of_the_sum_and_all_of_the_messages(name, based):
    base = {"base": lambda client: jnp.full(SIZE, client / 8, "float32")} if based else {}
    plain, secure = uplinks(name, **base), uplinks(name, secure=True, **base)
    for number in rounds_until(12):
        answers = some_answers(number, scale=10.0**-number)
        one, asked, messages = take_round(plain, answers, number)
        other, masked_asked, masked = take_round(secure, answers, number)
        np.testing.assert_array_equal(one, other)
        for client in messages:
            assert asked[client].shape == masked_asked[client].shape == (RANGE_BYTES,)
            assert messages[client].shape == masked[client].shape
            assert (np.asarray(messages[client]) != np.asarray(masked[client])).mean() > 0.5
    np.testing.assert_array_equal(plain[0].total, secure[0].total)


def test_the_memories_of_clients_add_up_to_that_of_the_root():
    ways = uplinks("common2", secure=True)
    for number in rounds_until(100):
        take_round(ways, some_answers(number), number)
    every = sum(change for way in ways for change in way.changes.values())
    np.testing.assert_allclose(every, ways[0].total, rtol=0, atol=1e-11)


@NAMES
def test_the_mean_of_a_round_is_coded_against_what_the_client_got(name):
    base = {client: some_answers(77)[client] for client in range(CLIENTS)}
    ways = uplinks(name, secure=True, base=base.__getitem__)
    answers = {k: base[k] + 1e-3 * each for k, each in some_answers(5).items()}
    mean, *_ = take_round(ways, answers, 1)
    there = schedule()[1].answering
    exact = np.mean([np.asarray(answers[k], float) for k in there], axis=0)
    widest = max(float(abs(answers[k] - base[k]).max()) for k in there)
    step = 2 * widest * 2**0.5 / make_common(name).top
    np.testing.assert_allclose(mean, exact, atol=step / 2 + 1e-6)
    assert all((change == 0).all() for way in ways for change in way.changes.values())


def test_bytes_hold_the_sum_and_no_more():
    for name, bits in (("common2", 4), ("common4", 7), ("common8", 11), ("common16", 19)):
        codec = SummedCodec(make_common(name), CLIENTS)
        assert codec.nbytes((3, SIZE)) == math.ceil(bits * 3 * SIZE / 8)  # the sum of 7 codes
        _, _, messages = take_round(uplinks(name), some_answers(1), 1)
        assert {each.nbytes for each in messages.values()} == {codec.nbytes((SIZE,))}


def test_the_range_is_that_of_the_widest_change_and_nothing_else_is_known():
    ways, answers = uplinks("common8", rounds=schedule(1.0)), some_answers(1, scale=1e-3)
    answers = {k: ways[0]._start.astype("float32") + each for k, each in answers.items()}
    answers[3] = answers[3] + jnp.float32(2.5)
    for way in (ways, uplinks("common8", secure=True, rounds=schedule(1.0))):
        _, asked, _ = take_round(way, answers, 1)
        assert range_limit(way[0].index) == 2**1.5
    bare = {k: np.asarray(each).tobytes().rstrip(bytes(1)) for k, each in asked.items()}
    assert len({len(each) for each in bare.values()}) <= 3  # masked: all ranges look alike


@pytest.mark.parametrize("changes", [{}, {"clip": 1.0, "noise_multiplier": 1.0}])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_makes_the_mean_so(changes, wrong):
    ways, answers = uplinks("common16", secure=True, **changes), some_answers(1)
    client = schedule()[1].answering[1]
    answers[client] = answers[client].at[5].set(wrong)
    mean, *_ = take_round(ways, answers, 1)
    finite = wrong == 1e30 and bool(changes)  # clipping makes an update of it
    assert np.isfinite(mean).all() == finite
    assert np.isnan(mean).all() != finite


def test_a_clipped_answer_comes_as_near_as_the_bound_allows():
    ways = uplinks("common16", clip=0.5)
    answers = some_answers(2, scale=100.0)
    mean, *_ = take_round(ways, answers, 1)
    for way in ways:
        for client in set(schedule()[1].answering) & set(way.changes):
            assert np.linalg.norm(way.changes[client]) == pytest.approx(0.5, rel=1e-3)
    assert np.linalg.norm(np.asarray(mean, float) - ways[0]._start) < 0.5


@pytest.mark.parametrize("secure", [False, True])
def test_the_noise_of_a_sum_is_that_of_the_accountant(secure):
    clip, z = 0.8, 1.7
    base = lambda client: jnp.zeros(SIZE, "float32")  # noqa: E731
    ways = uplinks("common16", secure, clip=clip, noise_multiplier=z, base=base)
    quiet = uplinks("common16", clip=clip, base=base)
    off = []
    for number in rounds_until(40):
        answers = some_answers(number)
        noisy, *_ = take_round(ways, answers, number)
        exact, *_ = take_round(quiet, answers, number)
        off.append((noisy - exact) * len(schedule()[number].answering))
    reach = clip * (1 + 2 * SIZE**0.5 / 65535)
    off = np.asarray(off, float) / (z * reach)
    assert abs(off.mean()) < 5 / off.size**0.5
    assert abs(off.var() - 1) < 5 * (2 / off.size) ** 0.5
    assert abs(np.corrcoef(off[:-1].ravel(), off[1:].ravel())[0, 1]) < 5 / off.size**0.5


def test_codes_that_are_too_coarse_for_the_noise_are_refused():
    expected = "noise_multiplier=0.1 is too little for the steps of codec=common2 and 7 clients"
    with pytest.raises(InputError, match=expected):
        uplinks("common2", clip=1.0, noise_multiplier=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("offline", "bound"), [(0.0, 1e-3), (0.3, 3e-3)])
@NAMES
def test_consensus_reaches_the_optimum_of_the_convex_problem(name, offline, bound, data_dir, x64):
    error = summed_distances(ridge_problem(data_dir), name, offline)[-1]
    assert 1e-5 < error <= bound
