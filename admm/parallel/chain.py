"""The chain of workers that own layers, and the forward pass along it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from admm.parallel.channel import receive_exact, send_exact
from admm.parallel.transport import Transport
from layers import Dense, PiecewiseLinear, apply_dense

# Rows that travel together: the worker above starts on a chunk while the next one is computed.
_CHUNK_ROWS = 4096


class Neighbors(NamedTuple):
    """Workers next to one in the chain; None at its ends."""

    below: int | None
    above: int | None


def chain(owned: Sequence[Sequence[int]]) -> list[Neighbors]:
    """Neighbours of every worker, among the workers that own a layer.

    Example:
        >>> chain([[1], [], [2]])[2]
        Neighbors(below=0, above=None)
    """
    active = [worker for worker, layers in enumerate(owned) if layers]
    above = dict(pairwise(active))
    below = {upper: lower for lower, upper in above.items()}
    return [Neighbors(below.get(worker), above.get(worker)) for worker in range(len(owned))]


def pass_forward(
    network: Sequence[Dense],
    activation: PiecewiseLinear,
    rows: int,
    inputs: Array | None,
    worker: int,
    neighbors: Neighbors,
    transport: Transport,
) -> Array | None:
    """Pass rows through the layers of one worker and on to the worker above.

    Args:
        network: Parameters of the worker's layers; without any, nothing happens.
        activation: f.
        rows: Number of rows.
        inputs: The rows, for the worker of layer 1, else None.
        worker: The worker's number.
        neighbors: Its neighbours.
        transport: Carries the activations, as they are.

    Returns:
        The logits, (rows, classes), in the worker of the output layer, else None.
    """
    if not network:
        return None
    below, above = neighbors
    weights = network[0].W
    logits = []
    for start in range(0, rows, _CHUNK_ROWS):
        count = min(_CHUNK_ROWS, rows - start)
        if below is None:
            x = inputs[start : start + count]  # type: ignore[index]
        else:
            shape = (count, weights.shape[0])
            blank = jnp.zeros(shape, weights.dtype, device=transport.device(worker))
            x = receive_exact(transport, blank, below, worker, "evaluation")
        for index, params in enumerate(network):
            output = above is None and index == len(network) - 1
            x = apply_dense(params, x, None if output else activation)
        if above is None:
            logits.append(x)
        else:
            send_exact(transport, x, worker, above, "evaluation")
    return jnp.concatenate(logits) if logits else None
