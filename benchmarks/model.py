"""A model of the time of an epoch on R ranks, in plain functions.

Assumptions:
- Every rank has a device of its own, as fast as the one measured, whatever the others do.
- A layer takes the time of its products, proportional to their multiply-adds, and of everything
  else, proportional to the elements of its input (where that is not fixed), output and weights.
- A message of n bytes takes latency + n/bandwidth, both ways at once, and moves while its ranks
  compute; all links are alike.
- pdADMM-G: layers are split by cost. p leaves halfway through a rank's work and is needed at its
  end; q leaves at the end and is needed halfway through the next, or at once by a rank with a
  single layer. What has not arrived by then is waited for. Coding is work of the ranks.
- Pipeline: layers are split by cost; M micro-batches (the best of R, 2R and 4R), as fast as the
  whole batch; M + R − 1 steps of the slowest rank's work on one, of which R − 1 are the bubble. A
  step is no shorter than a message. Messages are exposed on the way up and down once, while the
  pipeline fills and drains.
- Data-parallel: V/R rows a rank, then a ring allreduce of all weights, which hides nothing:
  2(R − 1) messages of 1/R of the weights.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from benchmarks.messages import Link
from layers import split_layers


class Speed(NamedTuple):
    """What a device does."""

    product: float  # seconds of a multiply-add within a product
    element: float  # seconds of everything else, for an element of a layer


def backprop_costs(widths: Sequence[int]) -> list[int]:
    """Multiply-adds per node of a step of backpropagation, layer by layer.

    Example:
        >>> backprop_costs((50, 10, 10, 3))
        [1000, 300, 90]
    """
    return [(3 if index else 2) * n * m for index, (n, m) in enumerate(pairwise(widths))]


def layer_elements(widths: Sequence[int], nodes: float) -> list[float]:
    """Elements of input, output and weights, layer by layer; the input of layer 1 is fixed.

    Example:
        >>> layer_elements((50, 10, 3), nodes=2)
        [520, 56]
    """
    return [
        nodes * ((n if index else 0) + m) + n * m for index, (n, m) in enumerate(pairwise(widths))
    ]


def calibrate(
    costs: Sequence[float], widths: Sequence[int], nodes: int, epoch: float, products: float
) -> Speed:
    """The speed at which one rank takes `epoch` seconds, `products` of them in products.

    Args:
        costs: Multiply-adds per node, layer by layer.
        widths: n_0, …, n_L.
        nodes: V.
        epoch: Seconds of an epoch on one rank.
        products: Seconds of its bare products.
    """
    return Speed(
        products / (nodes * sum(costs)),
        max(0.0, epoch - products) / sum(layer_elements(widths, nodes)),
    )


def layer_seconds(
    speed: Speed, costs: Sequence[float], widths: Sequence[int], nodes: float
) -> list[float]:
    """Seconds of every layer on one device; arguments as those of `calibrate`."""
    elements = layer_elements(widths, nodes)
    return [
        speed.product * nodes * cost + speed.element * count
        for cost, count in zip(costs, elements, strict=True)
    ]


def layer_parallel(
    costs: Sequence[float], seconds: Sequence[float], ranks: int, message: float, coding: float
) -> float:
    """Seconds of an epoch of pdADMM-G.

    Args:
        costs: By which the layers are split.
        seconds: What they take.
        ranks: R.
        message: Seconds of a message, of p or of q.
        coding: Seconds that an end of a cut spends on coding p and q.
    """
    split = split_layers(costs, ranks)
    work = max(
        sum(seconds[first - 1 : last]) + coding * ((first > 1) + (last < len(seconds)))
        for first, last in split
    )
    if ranks == 1:
        return work
    single = any(first == last for first, last in split[1:])
    return work + max(0.0, message - work / 2) + max(0.0, message - (0 if single else work / 2))


def pipeline(
    costs: Sequence[float],
    seconds: Sequence[float],
    ranks: int,
    micro_batches: int,
    message: float,
) -> float:
    """Seconds of an epoch of pipelined backpropagation.

    Args:
        costs: By which the layers are split.
        seconds: What they take for all rows.
        ranks: R.
        micro_batches: M.
        message: Seconds of the message of a micro-batch.
    """
    slowest = max(sum(seconds[first - 1 : last]) for first, last in split_layers(costs, ranks))
    if ranks == 1:
        return slowest
    step = max(slowest / micro_batches, message)
    return (micro_batches + ranks - 1) * step + 2 * (ranks - 1) * message


def data_parallel(seconds: float, ranks: int, nbytes: float, link: Link) -> float:
    """Seconds of an epoch of data-parallel backpropagation.

    Args:
        seconds: What a rank takes for its V/R rows.
        ranks: R.
        nbytes: Size of all weights.
        link: Between neighbours on the ring.
    """
    return seconds + 2 * (ranks - 1) * link.seconds(nbytes / ranks)
