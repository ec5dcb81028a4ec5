"""A stage whose workers form a chain, each with consecutive units of one network."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm import Transport, chain
from admm.methods.tasks import Task
from admm.run.method import Arrays, Network, Training

L = TypeVar("L")


class ChainTraining(Training):
    """Workers that own consecutive units.

    Args:
        facts: Of the data.
        transport: Of the run.
        owned: Numbers of the units of every worker.
        workers: Those of this process.
    """

    def __init__(
        self,
        facts: Task,
        transport: Transport,
        owned: Sequence[Sequence[int]],
        workers: Sequence[Any],
    ) -> None:
        self.facts, self.transport, self.owned, self.workers = facts, transport, owned, workers
        self.neighbors = chain(owned)

    def finish(self) -> None:
        """Wait until the last iteration is done."""
        for worker in self.workers:
            worker.finish()

    @abstractmethod
    def outputs(self, worker: Any) -> Array | None:
        """Pass all rows through a worker's part of the network; the last one has its outputs."""

    @abstractmethod
    def losses(self, outputs: Array) -> dict[str, float]:
        """Mean losses, as a history names them: `train_loss`, and of other parts."""

    def scores(self) -> dict[str, float]:
        """Losses and scores, in every process."""
        found = None
        for worker in self.workers:
            outputs = self.outputs(worker)
            if outputs is not None:
                found = {**self.losses(outputs), **self.facts.scores(outputs)}
        return self.transport.share(found, self.transport.size - 1)

    def state(self) -> dict[int, Arrays]:
        self.finish()
        return {
            number: state
            for worker in self.workers
            for number, state in zip(self.owned[worker.index], worker.state(), strict=True)
        }

    def restore(self, read: Callable[[int], Arrays], settings: Mapping[str, Any] | None) -> None:
        for worker in self.workers:
            worker.restore(self.owned[worker.index], read)

    def on_one_device(self, layers: Mapping[int, L]) -> dict[int, L]:
        """Parameters on the first device of this process."""
        return jax.device_put(dict(layers), self.transport.device(self.transport.local[0]))


def in_full(network: Network, basis: np.ndarray | None) -> dict[int, Any]:
    """The layers, of which W₁ takes the inputs in full, not in the coordinates of a basis.

    Args:
        network: Layers by number.
        basis: Shape (columns, coordinates); None where W₁ takes the inputs as they are.

    Example:
        >>> from layers import Dense
        >>> network = {1: Dense(jnp.ones((1, 2)), jnp.zeros(2))}
        >>> in_full(network, np.array([[2.0], [3.0]], np.float32))[1].W.tolist()
        [[2.0, 2.0], [3.0, 3.0]]
    """
    layers = dict(network)
    if basis is not None and 1 in layers:
        layers[1] = layers[1]._replace(W=jnp.asarray(basis) @ layers[1].W)
    return layers
