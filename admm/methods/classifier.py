"""Options of methods that train a classifier of labelled rows. Needs no JAX."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from admm.run.options import MethodOptions


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(MethodOptions):
    """The best network is that of the highest validation accuracy."""

    select: ClassVar[str] = "val_accuracy"

    @abstractmethod
    def logits(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        """What all processes know of the data, and in the last one the logits of a saved network.

        Args:
            saved: The network.
            transport: Its workers share it out.
            data: In place of a name.
            every: Whether the rows are all of the data, in order, and not the labelled ones.
        """

    def evaluate(self, saved: Any, transport: Any, data: Any) -> dict[str, float]:
        facts, logits = self.logits(saved, transport, data, every=False)
        found = None
        if logits is not None:
            found = {**facts.accuracies(logits), **facts.class_scores(logits)}
        return transport.share(found, transport.size - 1)

    def predict(self, saved: Any, transport: Any, data: Any) -> Any:
        import jax
        import numpy as np

        _, logits = self.logits(saved, transport, data, every=True)
        found = None if logits is None else np.asarray(jax.nn.softmax(logits, axis=1))
        return transport.share(found, transport.size - 1)
