"""Differential privacy: noise has the distribution that the accountant counts on."""

import math

import numpy as np
import pytest
from scipy import stats

from admm.solvers import privacy
from quant import make_common

# A right sampler fails a test once in a million runs.
ALPHA = 1e-6


def probabilities(deviation, reach):
    """Of −reach … reach, by the definition."""
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    return weights / weights.sum()


def pvalue(x, deviation):
    reach = math.ceil(10 * deviation) + 1
    expected = len(x) * probabilities(deviation, reach)
    found = np.bincount(x + reach, minlength=2 * reach + 1)
    often = expected >= 5
    distances = (found[often] - expected[often]) ** 2 / expected[often]
    assert found[~often].sum() < 5 * expected[~often].sum() + 20  # the tails
    return stats.chi2.sf(distances.sum(), often.sum() - 1)


@pytest.mark.parametrize("deviation", [0.6, 1.0, 3.7, 40.0])
def test_noise_is_discrete_gaussian(deviation):
    x = privacy.discrete_gaussian(deviation, 100_000)
    assert x.shape == (100_000,)
    assert pvalue(x, deviation) > ALPHA
    rounded = np.rint(np.random.default_rng(0).normal(0, deviation * 1.05, 100_000)).astype(int)
    assert pvalue(rounded, deviation) < ALPHA  # the test tells others apart


def test_shares_of_noise_add_up_to_the_noise_of_the_accountant():
    shares = [privacy.discrete_gaussian(privacy.LEAST_DEVIATION, 100_000) for _ in range(9)]
    assert pvalue(np.sum(shares, axis=0), 3 * privacy.LEAST_DEVIATION) > ALPHA


def test_noise_does_not_follow_from_a_seed():
    np.random.seed(0)
    one = privacy.discrete_gaussian(50.0, 100)
    np.random.seed(0)
    assert (privacy.discrete_gaussian(50.0, 100) != one).any()


# dp-accounting 0.6.0, GaussianDpEvent: its PLD accountant, which is exact, and its RDP accountant,
# which takes the minimum over a list of orders where we take all.
DP_ACCOUNTING = {
    (1.0, 1, 1e-5): (4.37717810002493, 4.728507067217623),
    (1.0, 40, 1e-5): (46.21121019118735, 48.80169282486775),
    (2.0, 40, 1e-5): (17.85658683146691, 19.05359753163139),
    (1.0, 40, 0.02): (32.12685107555577, 35.68611395352197),
    (4.0, 100, 1e-6): (14.450776968552242, 15.32798402653992),
    (0.5, 10, 1e-3): (38.732876536126135, 41.748756829882275),
}


@pytest.mark.parametrize("given", DP_ACCOUNTING)
def test_epsilon_is_between_the_exact_one_and_that_of_the_library(given):
    exact, library = DP_ACCOUNTING[given]
    assert exact < privacy.epsilon(*given) <= library + 1e-9
    assert privacy.epsilon(*given) == pytest.approx(library, rel=2e-3)


def test_epsilon_is_the_least_over_all_orders():
    z, rounds, delta = 1.3, 17, 1e-4
    alpha = 1 + np.exp(np.linspace(-12, 12, 1_000_001))
    bounds = (
        alpha * rounds / (2 * z**2) + np.log1p(-1 / alpha) - np.log(alpha * delta) / (alpha - 1)
    )
    assert privacy.epsilon(z, rounds, delta) == pytest.approx(bounds.min(), abs=1e-8)


def test_epsilon_knows_its_ends():
    assert privacy.epsilon(0.0, 3, 1e-5) == math.inf
    assert privacy.epsilon(0.0, 0, 1e-5) == privacy.epsilon(1.0, 0, 1e-5) == 0.0
    assert privacy.epsilon(1e6, 1, 1e-5) < 1e-4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipped_updates_are_no_longer_than_the_bound(dtype):
    update = np.random.default_rng(0).normal(size=1000).astype(dtype)
    clipped = privacy.clip_update(update, 0.5)
    assert np.linalg.norm(clipped) == pytest.approx(0.5, rel=1e-14)
    np.testing.assert_allclose(
        clipped / clipped[0], update.astype("float64") / update[0], rtol=1e-6
    )
    np.testing.assert_array_equal(privacy.clip_update(update, 1e3), update)
    np.testing.assert_array_equal(privacy.clip_update(np.zeros(3, dtype), 0.5), 0)
    for wrong in (np.nan, np.inf):
        assert np.isnan(privacy.clip_update(np.array([1.0, wrong], dtype), 0.5)).any()


@pytest.mark.parametrize("name", ["common16", "common4"])
def test_codes_of_a_clipped_update_keep_the_sensitivity(name):
    codec, random, bound = make_common(name), np.random.default_rng(2), 0.7
    allowed = privacy.sensitivity(bound, codec.step(bound), 300)
    zero = codec.encode(np.zeros(300), bound).astype(float)
    moved = []
    for sparse in (1, 10, 300):
        x = np.zeros(300)
        x[:sparse] = random.normal(size=sparse)
        codes = codec.encode(privacy.clip_update(1e3 * x, bound), bound)
        moved.append(codec.step(bound) * np.linalg.norm(codes - zero))
    assert bound * 0.9 < max(moved) <= allowed
