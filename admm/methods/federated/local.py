"""The steps that a client takes by itself in a round."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.methods.federated.network import Batch, Start, on_host, solver_of
from admm.methods.federated.share import FederatedShare
from admm.solvers.federated import Client, Pull, Solved

# Separates the draws of batches from those of who is there.
_STREAM = 2


class LocalSteps:
    """The local steps of the clients of a worker.

    Args:
        share: The federation.
        worker: Its number.
        start: The network before training.
        device: Of the worker.
    """

    def __init__(
        self, share: FederatedShare, worker: int, start: Start, device: jax.Device
    ) -> None:
        self._options, self._device = share.options, device
        self._solver = solver_of(share.options, start.model)
        own = share.owned[worker]
        self._windows = {k: on_host(share.clients[k].train, share.options.dtype) for k in own}

    def solve(self, client: int, number: int, state: Client, pull: Pull) -> Solved:
        """The steps of a client in a round, both by number."""
        return self._solver.solve(state, pull, self._draw(client, number), self.factors(number))

    def _draw(self, client: int, number: int) -> Batch:
        """The windows of the steps: every window comes up before any does again."""
        windows, options = self._windows[client], self._options
        rng = np.random.default_rng([options.seed, _STREAM, number, client])
        count, wanted = len(windows.inputs), options.steps * options.batch
        order = np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])
        rows = order[:wanted].reshape(options.steps, options.batch)
        return Batch(*jax.device_put([array[rows] for array in windows], self._device))

    def factors(self, number: int) -> Array:
        """Of the learning rate, in the steps of a round."""
        options = self._options
        steps = range((number - 1) * options.steps, number * options.steps)
        return jnp.asarray(
            [options.rate_factor(step) for step in steps], options.dtype, device=self._device
        )
