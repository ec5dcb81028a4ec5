"""Data parallelism: every process has the whole network and some of the rows."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from admm.comm import MPITransport, Transport
from admm.solvers.backprop import Backprop, Network, Segment
from layers import Dense

S = TypeVar("S")


class SumTransport(MPITransport):
    """Adds up by an allreduce.

    The sum of the training's transport is the same on any number of ranks, bit for bit; for that it
    sends every rank's numbers to every rank, which are too many where they are all gradients.
    """

    def begin_total(self, values: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
        (own,) = values
        total = np.empty_like(own)
        request = self.comm.Iallreduce(own, total)

        def wait() -> np.ndarray:
            self.wait(request.Test)
            return total

        return wait


class DataParallel(Generic[S]):
    """A network that all processes train together, each on its rows of every batch.

    One process alone takes a step in one compiled call. Several sum up what their rows say, in one
    buffer, once a step; the step is that of one process to rounding.

    Args:
        transport: Adds up over its processes.
        state: Network and memory of its optimiser, the same in every process.
        share: What some rows add to gradients, and to anything else that is summed; a function of
            the state and the rows.
        update: The state after a step, and what the step tells, from the state before and the sum
            of all shares.
        batches: This process's rows of every batch of an epoch.
        overwrite: Whether a step may overwrite the state before it, `state` included.

    Attributes:
        state: The same in every process.
        size: How many numbers are summed in a step.
    """

    def __init__(
        self,
        transport: Transport,
        state: S,
        share: Callable[..., Any],
        update: Callable[[S, Any], tuple[S, Any]],
        batches: Sequence[tuple[Any, ...]],
        overwrite: bool = False,
    ) -> None:
        shapes = jax.eval_shape(share, state, *batches[0])
        flat, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
        donated = (0,) if overwrite else ()
        self.state = state
        self.size = flat.size
        self._transport = transport
        self._batches = batches
        self._share = jax.jit(lambda state, *rows: ravel_pytree(share(state, *rows))[0])
        self._update = jax.jit(
            lambda state, total: update(state, unravel(total)), donate_argnums=donated
        )
        self._step = jax.jit(
            lambda state, *rows: update(state, share(state, *rows)), donate_argnums=donated
        )

    def epoch(self) -> Any:
        """Start one epoch; what its last step tells."""
        told = None
        for rows in self._batches:
            if self._transport.size == 1:
                self.state, told = self._step(self.state, *rows)
                continue
            own = self._share(self.state, *rows)
            total = self._transport.total([np.asarray(own)])
            self.state, told = self._update(self.state, total)
        return told

    def finish(self) -> None:
        """Wait until the last one is done."""
        jax.block_until_ready(self.state)

    @property
    def ring_bytes(self) -> float:
        """What this rank sends in an epoch, in float32, if the ranks reduce along a ring."""
        ranks = self._transport.size
        return 2 * (ranks - 1) / ranks * 4 * self.size * len(self._batches)


def full_batch(
    solver: Backprop,
    transport: Transport,
    network: Sequence[Dense],
    inputs: Array,
    targets: Array,
) -> DataParallel[Segment]:
    """Backpropagation on the rows of all processes; an epoch tells the mean risk before it.

    Args:
        solver: The algorithm.
        transport: Adds up over its processes.
        network: Parameters to start from, the same in every process.
        inputs: This process's rows of X.
        targets: Their one-hot labels.

    Example:
        >>> from admm.comm import LocalTransport
        >>> x = y = jnp.eye(2)
        >>> network = [Dense(jnp.eye(2), jnp.zeros(2))]
        >>> trainer = full_batch(Backprop("gd", 1.0), LocalTransport(), network, x, y)
        >>> bool(trainer.epoch() > trainer.epoch())
        True
    """
    device = transport.device(transport.local[0])
    own, *rows = jax.device_put((tuple(network), inputs, targets), device)
    nodes = int(transport.total([np.array([len(inputs)])])[0])

    def share(segment: Segment, inputs: Array, targets: Array) -> tuple[Array, Network]:
        return solver.loss_and_gradients(segment.network, inputs, targets, nodes=nodes)

    def update(segment: Segment, total: tuple[Array, Network]) -> tuple[Segment, Array]:
        loss, gradients = total
        return solver.update(segment, gradients), loss

    return DataParallel(transport, solver.init_segment(own), share, update, [tuple(rows)])
