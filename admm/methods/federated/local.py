"""The steps that a client takes by itself in a round."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from admm.methods.federated.network import Batch, Start, chunked, on_host, solver_of
from admm.methods.federated.share import FederatedShare
from admm.solvers.federated import Client, Pull, Shared, Solved
from layers import Context

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
        self._options, self._share, self._device = share.options, share, device
        self._model = start.model
        self._solver = solver_of(share.options, start.model)
        own = share.owned[worker]
        self._windows = {k: on_host(share.clients[k].train, share.options.dtype) for k in own}

    def solve(
        self,
        client: int,
        number: int,
        state: Client,
        pull: Pull,
        context: Context | None = None,
    ) -> Solved:
        """The steps of a client in a round, both by number; `context` is the same in each step."""
        batches, steps = self._draw(client, number), self._options.steps
        batches = batches._replace(
            context=jax.tree.map(lambda each: jnp.stack([each] * steps), context)
        )
        return self._solver.solve(state, pull, batches, self.factors(number))

    def sequences(self, client: int, w: Shared, v: PyTree) -> Float[Array, "slots time hidden"]:
        """R̄ of the training windows in each slot, zeros where there are none."""
        windows, dtype = self._share.clients[client].train, self._options.dtype
        slots = np.asarray(windows.slots)
        chunks = jax.device_put(chunked(windows, dtype), self._device)
        every = np.concatenate([self._model.encode(w, v, chunk) for chunk in chunks])
        found = np.zeros((self._share.filled.shape[1], *every.shape[1:]), dtype)
        for slot in np.unique(slots):
            found[slot] = every[: len(slots)][slots == slot].mean(axis=0)
        return jax.device_put(found, self._device)

    def _draw(self, client: int, number: int) -> Batch:
        """The windows of the steps: every window comes up before any does again."""
        windows, options = self._windows[client], self._options
        rng = np.random.default_rng([options.seed, _STREAM, number, client])
        count, wanted = len(windows.inputs), options.steps * options.batch
        order = np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])
        rows = order[:wanted].reshape(options.steps, options.batch)
        return jax.device_put(jax.tree.map(lambda array: array[rows], windows), self._device)

    def factors(self, number: int) -> Array:
        """Of the learning rate, in the steps of a round."""
        options = self._options
        steps = range((number - 1) * options.steps, number * options.steps)
        return jnp.asarray(
            [options.rate_factor(step) for step in steps], options.dtype, device=self._device
        )
