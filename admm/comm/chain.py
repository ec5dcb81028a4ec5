"""The chain of workers that own layers, and the forward pass along it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from admm.comm.channel import receive_exact, send_exact
from admm.comm.transport import Transport
from layers import Dense, PiecewiseLinear, apply_dense


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


# Rows that travel together where nothing else is said.
CHUNK = 4096

# Chunks that are on their way through a worker at once, as measured: it does not wait for them.
IN_FLIGHT = 8


def chunk_sizes(rows: int, chunk: int = CHUNK) -> list[int]:
    """How many rows `pass_forward` passes on at a time.

    Example:
        >>> chunk_sizes(10, 4)
        [4, 4, 2]
    """
    return [min(chunk, rows - start) for start in range(0, rows, chunk)]


def pass_forward(
    apply: Callable[[Array], Array] | None,
    blank: Array,
    rows: int,
    inputs: Array | None,
    worker: int,
    neighbors: Neighbors,
    transport: Transport,
    chunk: int = CHUNK,
) -> Array | None:
    """Pass rows through what one worker has of a network, and on to the worker above.

    Args:
        apply: The worker's part, a function of rows; None for a worker that has no part.
        blank: No rows, (0, *features), of what the part reads.
        rows: Number of rows.
        inputs: The rows, for the first worker of the chain, else None.
        worker: The worker's number.
        neighbors: Its neighbours.
        transport: Carries the activations, as they are.
        chunk: Rows that travel together: the worker above starts on a chunk while the next one
            is computed.

    Returns:
        The logits, (rows, classes), in the last worker of the chain, else None.
    """
    if apply is None:
        return None
    below, above = neighbors
    logits = []
    for number, count in enumerate(chunk_sizes(rows, chunk)):
        if below is None:
            start = number * chunk
            x = inputs[start : start + count]  # type: ignore[index]
        else:
            shape = (count, *blank.shape[1:])
            zeros = jnp.zeros(shape, blank.dtype, device=transport.device(worker))
            x = receive_exact(transport, zeros, below, worker, "evaluation")
        x = apply(x)
        if above is None:
            logits.append(x)
        else:
            send_exact(transport, x, worker, above, "evaluation")
    return jnp.concatenate(logits) if logits else None


def pass_dense(
    network: Sequence[Dense],
    activation: PiecewiseLinear,
    rows: int,
    inputs: Array | None,
    worker: int,
    neighbors: Neighbors,
    transport: Transport,
) -> Array | None:
    """`pass_forward` with the layers of a GA-MLP; the output layer has no activation."""
    if not network:
        return None

    def apply(x: Array) -> Array:
        for index, params in enumerate(network):
            output = neighbors.above is None and index == len(network) - 1
            x = apply_dense(params, x, None if output else activation)
        return x

    weights = network[0].W
    blank = jnp.zeros((0, weights.shape[0]), weights.dtype)
    return pass_forward(apply, blank, rows, inputs, worker, neighbors, transport)
