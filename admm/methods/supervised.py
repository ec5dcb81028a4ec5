"""Options of methods that learn the targets of rows. Needs no JAX."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from admm.checks import COUNT, FROM_ZERO
from admm.errors import InputError, spelled
from admm.run.options import MethodOptions, option

D = TypeVar("D", bound=Any)


@dataclass(frozen=True, kw_only=True)
class SupervisedOptions(MethodOptions):
    """The best network is that of the best validation score: of classes, the accuracy.

    Those of rows have a `loss` and a `network`: names, or objects of one's own.
    """

    if TYPE_CHECKING:

        @property
        def loss(self) -> Any: ...
        @property
        def network(self) -> Any: ...

    rows: int | None = option(None, "training rows, the first so many [all]", "data", COUNT)

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

    def with_first_rows(self, data: D) -> D:
        """Data with as many training rows as are wanted.

        Raises:
            InputError: If there are not so many.
        """
        if self.rows is None:
            return data
        train = data.split.train
        if self.rows > len(train):
            raise InputError(
                f"{spelled('rows', self.rows)} is more than the {len(train):,} training rows of "
                f"{data.name}"
            )
        return replace(data, split=data.split._replace(train=train[: self.rows]))

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


@dataclass(frozen=True, kw_only=True)
class GraphOptions(SupervisedOptions):
    """Of methods that read a graph."""

    split: int = option(0, "which of the splits that come with the data", "data", FROM_ZERO)
    weights: Literal["use", "ignore"] | None = option(
        None, "of edges [of a file or folder: use; of a known name: ignore]", "data"
    )
    features: Literal["identity", "degrees"] | None = option(
        None, "a column for each node, or each number of neighbours [those of the file]", "data"
    )
