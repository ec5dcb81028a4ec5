"""Balanced, contiguous splits: of layers over workers, of a network into subnetworks."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

# Cost of the last subnetwork: its visits take three products where those of the others take four.
_LAST = 3 / 4


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
    return [(start + 1, end) for start, end in pairwise(_edges(costs, workers))]


def split_network(
    costs: Sequence[float], parts: int, at: Sequence[int] | None = None
) -> list[range]:
    """The modules, numbered from 0, of each subnetwork, with the least largest cost.

    The last subnetwork counts 3/4 of its cost: it needs three products per weight and mini-batch
    (forward, and the gradients of its weights and of its input); the others need a fourth, to
    evaluate their output after the step.

    Args:
        costs: Cost of each module.
        parts: Number of subnetworks; each gets at least one module.
        at: The first module of every subnetwork but the first, to cut there instead.

    Raises:
        ValueError: If there are more subnetworks than modules, or `at` does not fit them.

    Example:
        >>> split_network([1, 1, 1, 1, 1, 1, 1], 2)
        [range(0, 3), range(3, 7)]
        >>> split_network([1, 1, 1, 1, 1, 1, 1], 3, at=[1, 2])
        [range(0, 1), range(1, 2), range(2, 7)]
    """
    if not 1 <= parts <= len(costs):
        raise ValueError(
            f"got {parts} subnetworks for {len(costs)} modules; "
            "every subnetwork needs at least one module"
        )
    edges = _edges(costs, parts, last=_LAST) if at is None else (0, *at, len(costs))
    if len(edges) != parts + 1:
        raise ValueError(f"got {len(edges) - 2} cuts for {parts} subnetworks; expected {parts - 1}")
    if any(start >= end for start, end in pairwise(edges)):
        raise ValueError(
            f"got cuts at modules {', '.join(map(str, edges[1:-1]))}; "
            f"expected increasing numbers from 1 to {len(costs) - 1}"
        )
    return [range(start, end) for start, end in pairwise(edges)]


def subnetwork_costs(costs: Sequence[float], cuts: Sequence[range]) -> list[float]:
    """Cost of each subnetwork, 3/4 of the last one's, as `split_network` balances them.

    Args:
        costs: Cost of each module.
        cuts: Modules of each subnetwork.

    Example:
        >>> subnetwork_costs([1, 1, 4], [range(0, 2), range(2, 3)])
        [2, 3.0]
    """
    *lower, top = (sum(costs[number] for number in own) for own in cuts)
    return [*lower, _LAST * top]


def deal_out(costs: Sequence[float], cuts: Sequence[range], workers: int) -> list[range]:
    """The subnetworks, numbered from 0, of each worker, with the least largest cost.

    Args:
        costs: Cost of each module.
        cuts: Modules of each subnetwork.
        workers: Number of workers; each gets at least one subnetwork.

    Raises:
        ValueError: If there are more workers than subnetworks.

    Example:
        >>> deal_out([1, 1, 1, 1], [range(0, 2), range(2, 3), range(3, 4)], 2)
        [range(0, 1), range(1, 3)]
    """
    split = split_layers(subnetwork_costs(costs, cuts), workers)
    return [range(first - 1, last) for first, last in split]


def _edges(costs: Sequence[float], parts: int, last: float = 1) -> tuple[int, ...]:
    """Where parts start and end, (0, …, len(costs)), for the least largest cost.

    The cost of the last part is multiplied by `last`.
    """

    @cache
    def best(first: int, parts: int) -> tuple[float, tuple[int, ...]]:
        """Least largest cost of items first… in `parts` parts, and where each part ends."""
        if parts == 1:
            return last * sum(costs[first:]), (len(costs),)
        least: tuple[float, tuple[int, ...]] = (math.inf, ())
        cost = 0.0
        for end in range(first + 1, len(costs) - parts + 2):
            cost += costs[end - 1]
            if cost >= least[0]:
                break  # longer first parts only cost more
            rest, ends = best(end, parts - 1)
            least = min(least, (max(cost, rest), (end, *ends)))
        return least

    return (0, *best(0, parts)[1])
