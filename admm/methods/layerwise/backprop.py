"""A stage of backpropagation as a pipeline."""

from collections.abc import Mapping

import numpy as np

from admm.comm import Transport, in_turns
from admm.methods.layerwise.data import LayerShare
from admm.methods.layerwise.options import BackpropOptions
from admm.methods.layerwise.pipeline import VARIABLES, PipelineWorker
from admm.methods.layerwise.training import LayerTraining
from admm.run.method import Network
from admm.solvers import Backprop


class BackpropTraining(LayerTraining):
    """Layers in training with backpropagation."""

    variables = VARIABLES

    def __init__(
        self,
        options: BackpropOptions,
        share: LayerShare,
        transport: Transport,
        stage: int,
        kept: Network | None,
    ) -> None:
        solver = solver_of(options)
        workers = [PipelineWorker(index, solver, transport) for index in transport.local]
        super().__init__(options, share, transport, stage, workers)
        self.start(kept, coded=False)

    def epoch(self, number: int, measure: bool) -> None:
        in_turns(worker.iteration() for worker in self.workers)
        if measure:
            self.finish()

    def measure(self) -> Mapping[str, float]:
        """Beside the scores, the objective summed over training rows: risk and weight decay."""
        scores = self.scores()
        decay = self.transport.total([np.array([worker.decay()]) for worker in self.workers])
        risk = self.share.facts.training_rows * scores["train_loss"]
        return {**scores, "objective": float(decay[0]) + risk}


def solver_of(options: BackpropOptions) -> Backprop:
    """The algorithm that the options set."""
    assert options.lr is not None  # the options have seen to that
    return Backprop(options.solver, options.lr, options.weight_decay)
