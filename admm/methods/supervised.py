"""Options of methods that learn the targets of rows. Needs no JAX."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from admm.run.options import MethodOptions


@dataclass(frozen=True, kw_only=True)
class SupervisedOptions(MethodOptions):
    """The best network is that of the best validation score: of classes, the accuracy."""

    @property
    def select(self) -> str:
        return "val_accuracy"

    @abstractmethod
    def outputs(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        """The `Task` of data in all processes, and in the last one a saved network's outputs.

        Args:
            saved: The network.
            transport: Its workers share it out.
            data: In place of a name.
            every: Whether the rows are all of the data, in order, and not the labelled ones.
        """

    def losses(self, facts: Any, outputs: Any) -> dict[str, float]:
        """Mean losses that are to stand beside the scores."""
        return {}

    def evaluate(self, saved: Any, transport: Any, data: Any) -> dict[str, float]:
        facts, outputs = self.outputs(saved, transport, data, every=False)
        found = None
        if outputs is not None:
            scores = {**facts.main_scores(outputs), **facts.other_scores(outputs)}
            found = {**scores, **self.losses(facts, outputs)}
        return transport.share(found, transport.size - 1)

    def predict(self, saved: Any, transport: Any, data: Any) -> Any:
        facts, outputs = self.outputs(saved, transport, data, every=True)
        found = None if outputs is None else facts.predicted(outputs)
        return transport.share(found, transport.size - 1)
