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
  whole batch. The schedule of `admm.methods.layerwise.pipeline` is played through, message by
  message: a rank waits for what has not arrived, a link carries one message at a time each way.
- Data-parallel: V/R rows a rank, then a ring allreduce of all weights, which hides nothing:
  2(R − 1) messages of 1/R of the weights.
"""

from collections import deque
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
        seconds: What they take for all rows; the forward pass is one product of three, and of
            two in layer 1.
        ranks: R.
        micro_batches: M.
        message: Seconds of the message of a micro-batch.
    """
    split = [range(first - 1, last) for first, last in split_layers(costs, ranks)]
    work = [sum(seconds[layer] for layer in own) / micro_batches for own in split]
    forward = [sum(seconds[n] / (3 if n else 2) for n in own) / micro_batches for own in split]
    free, sent_up, sent_down = ([0.0] * ranks for _ in range(3))
    # Arrival of the micro-batches in flight at each rank; the data and the loss are there.
    up, down = ([deque[float]() for _ in range(ranks)] for _ in range(2))
    for tick in range(micro_batches + 2 * (ranks - 1)):
        for rank in range(ranks):
            if tick < micro_batches:
                free[rank] = max(free[rank], up[rank].popleft() if rank else 0.0) + forward[rank]
                sent_up[rank] = max(free[rank], sent_up[rank]) + message
                if rank + 1 < ranks:
                    up[rank + 1].append(sent_up[rank])
        for rank in reversed(range(ranks)):
            if 0 <= tick - 2 * (ranks - 1 - rank) < micro_batches:
                arrived = down[rank].popleft() if rank + 1 < ranks else 0.0
                free[rank] = max(free[rank], arrived) + work[rank] - forward[rank]
                sent_down[rank] = max(free[rank], sent_down[rank]) + message
                if rank:
                    down[rank - 1].append(sent_down[rank])
    return max(free)


def data_parallel(seconds: float, ranks: int, nbytes: float, link: Link) -> float:
    """Seconds of an epoch of data-parallel backpropagation.

    Args:
        seconds: What a rank takes for its V/R rows.
        ranks: R.
        nbytes: Size of all weights.
        link: Between neighbours on the ring.
    """
    return seconds + 2 * (ranks - 1) * link.seconds(nbytes / ranks)
