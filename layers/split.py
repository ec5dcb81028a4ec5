"""Balanced, contiguous split of layers over workers."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise


def layer_costs(widths: Sequence[int]) -> list[int]:
    """Multiply-adds per node and iteration of pdADMM-G, layer by layer.

    Two products for layer 1, whose input is fixed, and four for every other layer.

    Example:
        >>> layer_costs((50, 10, 10, 3))
        [1000, 400, 120]
    """
    return [(4 if index else 2) * n * m for index, (n, m) in enumerate(pairwise(widths))]


def split_layers(costs: Sequence[float], workers: int) -> list[tuple[int, int]]:
    """(first, last) layer of every worker, numbered from 1, with the least largest cost.

    Args:
        costs: Cost of each layer.
        workers: Number of workers; each gets at least one layer.

    Raises:
        ValueError: If there are more workers than layers.

    Example:
        >>> split_layers([2, 1, 1, 1, 1], 2)
        [(1, 2), (3, 5)]
    """
    if not 1 <= workers <= len(costs):
        raise ValueError(
            f"got {workers} workers for {len(costs)} layers; every worker needs at least one layer"
        )

    @cache
    def best(first: int, parts: int) -> tuple[float, tuple[int, ...]]:
        """Least largest cost of layers first… in `parts` parts, and where each part ends."""
        if parts == 1:
            return sum(costs[first:]), (len(costs),)
        least: tuple[float, tuple[int, ...]] = (math.inf, ())
        cost = 0.0
        for end in range(first + 1, len(costs) - parts + 2):
            cost += costs[end - 1]
            if cost >= least[0]:
                break  # longer first parts only cost more
            rest, ends = best(end, parts - 1)
            least = min(least, (max(cost, rest), (end, *ends)))
        return least

    ends = best(0, workers)[1]
    return [(start + 1, end) for start, end in zip((0, *ends[:-1]), ends, strict=True)]
