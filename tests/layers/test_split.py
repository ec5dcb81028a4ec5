from itertools import combinations, pairwise

import pytest
from hypothesis import given, strategies as st

from layers import split_layers


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_split_is_the_best_of_all(costs, data):
    workers = data.draw(st.integers(1, len(costs)))
    split = split_layers(costs, workers)
    assert [first for first, _ in split] == [1, *(last + 1 for _, last in split[:-1])]
    assert split[-1][1] == len(costs)
    assert all(first <= last for first, last in split)

    def largest(cuts):
        edges = [0, *cuts, len(costs)]
        return max(sum(costs[a:b]) for a, b in pairwise(edges))

    best = min(largest(cuts) for cuts in combinations(range(1, len(costs)), workers - 1))
    assert largest([last for _, last in split[:-1]]) == best


def test_more_workers_than_layers():
    with pytest.raises(ValueError, match="got 3 workers for 2 layers"):
        split_layers([1, 1], 3)
