"""A stage whose workers form a chain, each with consecutive units of one network."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Array

from admm.comm import Transport, chain
from admm.methods.tasks import Task
from admm.run.method import Arrays, Training


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
