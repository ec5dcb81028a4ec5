"""Drawn links against the probabilities of all pairs of nodes."""

import numpy as np
import pytest
import scipy.stats

from admm.datasets.links import draw_links


@pytest.mark.parametrize(("groups", "own_class"), [(3, 0.3), (1, 0.8), (3, 0), (2, 1)])
def test_every_pair_has_its_probability(groups, own_class):
    """Of 24 nodes, over three chunks."""
    count, random = 150_000, np.random.default_rng(0)
    weights = 1 / (1 - random.random(24))
    group, labels = np.arange(24) % groups, np.arange(24) // 3 % 2
    expected = np.zeros((24, 24))
    for first in range(24):
        among = group == group[first]
        for nodes, chance in (
            (among & (labels == labels[first]), own_class),
            (among, 1 - own_class),
        ):
            expected[first] += chance * nodes * weights / weights[nodes].sum()
    expected *= weights[:, None] / weights.sum() * count
    chunks = list(draw_links((7, 1), count, weights, group, labels, own_class))
    found = np.zeros((24, 24))
    np.add.at(found, tuple(np.concatenate(chunks, axis=1)), 1)
    assert [chunk.shape for chunk in chunks] == [(2, 2**16), (2, 2**16), (2, count - 2**17)]
    assert not found[expected == 0].any()
    possible = expected > 0
    assert scipy.stats.chisquare(found[possible], expected[possible]).pvalue > 0.01


def test_chunks_differ_and_seeds_do():
    nodes, count = np.zeros(50, int), 2**17

    def chunks(*seed):
        return [part.tobytes() for part in draw_links(seed, count, nodes + 1.0, nodes, nodes, 0)]

    assert chunks(3, 1) == chunks(3, 1)
    assert len({*chunks(3, 1), *chunks(3, 2), *chunks(4, 1)}) == 6
