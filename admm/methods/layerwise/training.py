"""A stage of training on a GA-MLP, as far as it does not depend on how its layers are updated."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Array

from admm.comm import Transport, pass_dense
from admm.methods.chain import ChainTraining, in_full
from admm.methods.layerwise.data import LayerShare
from admm.methods.layerwise.options import GAMLPOptions
from admm.run.method import Arrays, Network
from admm.solvers import stage_layers, stage_network
from layers import RELU, Dense, SoftmaxCrossEntropy, widths


class LayerTraining(ChainTraining):
    """Consecutive layers for every worker; subclasses know how these train.

    Args:
        options: What to train.
        share: The data.
        transport: Of the run.
        stage: From 0.
        workers: Those of this process.

    Attributes:
        depth: Layers of the stage.
        shape: Widths n_0…n_L.
    """

    def __init__(
        self,
        options: GAMLPOptions,
        share: LayerShare,
        transport: Transport,
        stage: int,
        workers: Sequence[Any],
    ) -> None:
        facts, self.depth = share.facts, options.depths[stage]
        super().__init__(facts, transport, stage_layers(share.split, self.depth), workers)
        self.shape = widths(facts.columns, options.hidden, facts.classes, self.depth)
        self.share = share
        self._options, self._stage = options, stage

    def start(
        self, kept: Network | None, coded: bool, **more: Callable[[Sequence[int]], Any]
    ) -> None:
        """Give every worker its layers, and link the workers that have any.

        Args:
            kept: The network in training at the end of the stage before, of this process.
            coded: Whether the first stage starts from class codes.
            more: Further arguments of the workers' `start`, from the numbers of their layers.
        """
        options, facts = self._options, self.share.facts
        if kept is not None:  # the output layer starts anew
            before = options.depths[self._stage - 1]
            kept = {number: params for number, params in kept.items() if number < before}
        for worker in self.workers:
            own = self.owned[worker.index]
            worker.start(
                stage_network(
                    options.seed, own, self.shape, kept, facts.features, options.dtype, coded
                ),
                self.neighbors[worker.index],
                inputs=self.share.training_inputs if 1 in own else None,
                nodes=facts.training_rows,
                targets=self.share.targets if self.depth in own else None,
                **{name: make(own) for name, make in more.items()},
            )

    def units(self, worker: int) -> str:
        first, last = self.share.split[worker]
        return f"layers {first}–{last}"

    def outputs(self, worker: Any) -> Array | None:
        return pass_dense(
            worker.network,
            RELU,
            len(self.facts.targets),
            self.share.rows,
            worker.index,
            self.neighbors[worker.index],
            self.transport,
        )

    def losses(self, outputs: Array) -> dict[str, float]:
        rows = self.facts.training_rows
        return {
            "train_loss": float(SoftmaxCrossEntropy()(outputs[:rows], self.share.targets) / rows)
        }

    def scores(self) -> dict[str, float]:
        return {"layers": self.depth, **super().scores()}

    def network(self) -> dict[int, Dense]:
        return {
            number: params
            for worker in self.workers
            for number, params in zip(self.owned[worker.index], worker.network, strict=True)
        }

    def export(self, network: Network) -> dict[int, Dense]:
        """On one device; W₁ takes the inputs in full, not in the coordinates of the basis."""
        return self.on_one_device(in_full(network, self.share.basis))

    def saved_network(self, depth: int, read: Callable[[int], Arrays]) -> dict[int, Dense]:
        owned = stage_layers(self.share.split, depth)
        return self.on_one_device(
            {n: Dense(**read(n)) for worker in self.workers for n in owned[worker.index]}
        )
