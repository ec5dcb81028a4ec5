"""Backpropagation over rows: every process has the whole network and some of the nodes.

One reduction an iteration carries all gradients; a step is the full-batch step to rounding.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from admm.parallel.transport import Transport
from admm.solvers.backprop import Backprop, Network, Segment
from layers import Dense


class DataParallel:
    """A whole network, trained on the rows of all processes together.

    Args:
        solver: The algorithm.
        transport: Adds up over its processes.
        network: Parameters to start from, the same in every process.
        inputs: This process's rows of X.
        targets: Their one-hot labels.

    Attributes:
        block: The network and the memory of its optimiser, the same in every process.

    Example:
        >>> from admm.parallel import LocalTransport
        >>> x = y = jnp.eye(2)
        >>> network = [Dense(jnp.eye(2), jnp.zeros(2))]
        >>> data_parallel = DataParallel(Backprop("gd", 1.0), LocalTransport(), network, x, y)
        >>> bool(data_parallel.step() > data_parallel.step())
        True
    """

    def __init__(
        self,
        solver: Backprop,
        transport: Transport,
        network: Sequence[Dense],
        inputs: Array,
        targets: Array,
    ) -> None:
        device = transport.device(transport.local[0])
        own, *self._rows = jax.device_put((tuple(network), inputs, targets), device)
        self.block = solver.init_segment(own)
        self._nodes = int(transport.total(np.array([len(inputs)]))[0])
        self._solver = solver
        self._transport = transport

    def step(self) -> Float[Array, ""]:
        """One update of the network; the mean training risk over all nodes before it."""
        own = _flat_share(self._solver, self.block.network, *self._rows, nodes=self._nodes)
        total = self._transport.total(np.asarray(own))
        self.block, loss = _update(self._solver, self.block, jax.device_put(total, own.device))
        return loss


@partial(jax.jit, static_argnames=("solver", "nodes"))
def _flat_share(
    solver: Backprop, network: Network, inputs: Array, targets: Array, nodes: int
) -> Float[Array, " size"]:
    """Loss and gradients of some rows in one buffer."""
    return ravel_pytree(solver.loss_and_gradients(network, inputs, targets, nodes))[0]


@partial(jax.jit, static_argnames="solver")
def _update(
    solver: Backprop, segment: Segment, total: Float[Array, " size"]
) -> tuple[Segment, Float[Array, ""]]:
    like = (jnp.zeros((), total.dtype), segment.network)
    loss, gradients = ravel_pytree(like)[1](total)
    return solver.update(segment, gradients), loss
