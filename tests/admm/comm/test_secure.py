"""Pairwise masks: sums are exact, and what travels says nothing else."""

import random
import sys
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from admm.comm import PairwiseMasks
from admm.errors import InputError

# Uniform words fail a test once in a million runs.
ALPHA = 1e-6


def agreed(*processes):
    """The masks of clients that live in such processes."""
    masks = [PairwiseMasks(clients) for clients in processes]
    public = {client: key for each in masks for client, key in each.public.items()}
    for each in masks:
        each.agree(public)
    return {client: each for each in masks for client in each.public}


def words_of(clients, count, seed=0, high=2**32):
    generator = np.random.default_rng(seed)
    return {client: generator.integers(0, high, count, np.uint32) for client in clients}


def masked_words(masks, words, exchange=0):
    return {k: masks[k].masked(each, k, tuple(words), exchange) for k, each in words.items()}


def p_uniform(words):
    """How likely bytes of uniform words are as far from equally frequent."""
    counts = np.bincount(np.ascontiguousarray(words).view(np.uint8), minlength=256)
    return stats.chisquare(counts).pvalue


def assert_sum_is_exact(masked, words):
    found = np.sum(list(masked.values()), axis=0, dtype=np.uint32)
    lists = [each.tolist() for each in words.values()]  # integers of Python, of any size
    exact = [sum(column) % 2**32 for column in zip(*lists, strict=True)]
    assert found.tolist() == exact


@pytest.mark.parametrize("clients", range(3, 13))
def test_sums_are_exact_whoever_takes_part(clients):
    masks = agreed(range(0, clients, 2), range(1, clients, 2))
    generator = random.Random(clients)
    for exchange in range(5):
        participants = sorted(generator.sample(range(clients), generator.randint(3, clients)))
        words = words_of(participants, 100, exchange)
        assert_sum_is_exact(masked_words(masks, words, exchange), words)


def test_sums_of_every_subset_are_exact():
    masks = agreed([0], [1, 4], [2, 3, 5])
    subsets = [each for n in range(3, 7) for each in combinations(range(6), n)]
    for exchange, participants in enumerate(subsets):
        words = words_of(participants, 10, exchange)
        assert_sum_is_exact(masked_words(masks, words, exchange), words)


def test_what_is_masked_stays_as_it_is():
    masks, words = agreed(range(3)), words_of(range(3), 50)
    kept = {client: each.copy() for client, each in words.items()}
    masked_words(masks, words)
    for client in words:
        np.testing.assert_array_equal(words[client], kept[client])


@pytest.mark.parametrize("high", [1, 256, 2**32])
def test_masked_words_are_uniform_whatever_they_hide(high):
    """Nor is any sum of less than all of them anything but uniform."""
    masks, words = agreed(range(5)), words_of(range(5), 20_000, high=high)
    masked = masked_words(masks, words)
    for n in range(1, 5):
        for some in combinations(range(5), n):
            total = np.sum([masked[client] for client in some], axis=0, dtype=np.uint32)
            assert p_uniform(total) > ALPHA
            # Less what the attacker guesses them to hide, too.
            guess = np.sum([words[client] for client in some], axis=0, dtype=np.uint32)
            assert p_uniform(total - guess) > ALPHA
    # The test sees what is not uniform: bare words, and the sum of all.
    if high < 2**32:
        assert p_uniform(words[0]) < ALPHA
        assert p_uniform(np.sum(list(masked.values()), axis=0, dtype=np.uint32)) < ALPHA


def test_two_exchanges_share_no_mask():
    """Neither the difference of two messages of a client nor that of two clients is small."""
    masks, words = agreed(range(4)), words_of(range(4), 20_000, high=4)
    rounds = [masked_words(masks, words, exchange) for exchange in (0, 1, 1000)]
    for one, other in combinations(rounds, 2):
        for client in words:
            assert p_uniform(one[client] - other[client]) > ALPHA
            assert p_uniform(one[client] + other[client]) > ALPHA
    for one, other in combinations(words, 2):
        assert p_uniform(rounds[0][one] - rounds[0][other]) > ALPHA
        assert p_uniform(rounds[0][one] + rounds[0][other]) > ALPHA


def test_masks_do_not_follow_from_seeds():
    def with_known_seeds():
        random.seed(0)
        np.random.seed(0)
        masks = agreed(range(3))
        return masks[0].public, masked_words(masks, words_of(range(3), 20_000, high=1))

    (one_public, one), (other_public, other) = with_known_seeds(), with_known_seeds()
    assert not set(one_public.values()) & set(other_public.values())
    for client in one:
        assert p_uniform(one[client] - other[client]) > ALPHA


def test_without_a_secret_public_keys_unmask_nobody():
    """Who knows all public keys and all messages, and secrets of its own, is no participant."""
    masks, words = agreed([0], [1], [2]), words_of(range(3), 20_000, high=4)
    masked = masked_words(masks, words)
    attacker = PairwiseMasks(range(3))
    attacker.agree({k: masks[k].public[k] for k in range(3)})
    for client in range(3):
        # The masks it can make for the client, taken off.
        tried = masked[client] - attacker.masked(np.zeros(20_000, np.uint32), client, range(3), 0)
        assert p_uniform(tried) > ALPHA


def test_the_root_cannot_take_off_what_others_share():
    """It knows the secrets of its own clients, hence their part of every mask, and no other."""
    masks, words = agreed([0, 1], [2], [3]), words_of(range(4), 20_000, high=4)
    masked, root = masked_words(masks, words), masks[0]
    for client in (2, 3):
        shared = [root._stream(own, client, 0, 20_000) for own in (0, 1)]
        less = masked[client] + np.sum(shared, axis=0, dtype=np.uint32)
        assert p_uniform(less) > ALPHA
        assert p_uniform(less - words[client]) > ALPHA
    # The last stream is that of the two others; without it the words are bare.
    less = masked[2] + np.sum(
        [root._stream(own, 2, 0, 20_000) for own in (0, 1)], axis=0, dtype="u4"
    )
    np.testing.assert_array_equal(less - masks[2]._stream(2, 3, 0, 20_000), words[2])


def test_no_mask_is_used_twice():
    masks, words = agreed(range(4)), words_of(range(4), 10)
    masked_words(masks, words, exchange=5)
    for again in (5, 4, 0):
        with pytest.raises(RuntimeError, match=f"its masks of exchange {again} already"):
            masks[0].masked(words[0] + 1, 0, range(3), again)
    words = words_of(range(3), 10)
    assert_sum_is_exact(masked_words(masks, words, exchange=6), words)


def test_two_clients_cannot_hide():
    masks = agreed(range(4))
    for few in ((0,), (0, 2)):
        with pytest.raises(RuntimeError, match="clients cannot hide words from each other"):
            masks[0].masked(np.zeros(3, np.uint32), 0, few, 0)


@pytest.mark.parametrize("key", [bytes(32), b"short"])
def test_a_bad_public_key_is_told(key):
    masks = PairwiseMasks([0, 1])
    with pytest.raises(InputError, match="client 2 has no valid public key"):
        masks.agree({**masks.public, 2: key})


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(InputError, match="secure aggregation needs cryptography: pip install"):
        PairwiseMasks([0])
