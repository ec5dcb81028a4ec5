"""A stage of pdADMM-G."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from admm.comm import Transport, in_turns
from admm.errors import DivergedError
from admm.methods.layerwise.data import LayerShare
from admm.methods.layerwise.options import PDADMMGOptions
from admm.methods.layerwise.training import LayerTraining
from admm.methods.layerwise.worker import VARIABLES, Codecs, LayerWorker
from admm.run.method import Arrays, Network
from admm.solvers import PDADMMG, Info, PenaltySchedule, PenaltyState, class_codes
from quant import Codec, Float, Levels, make_codec


class PDADMMGTraining(LayerTraining):
    """Layers in training with pdADMM-G, and the penalties, which rise when the loss stalls.

    Attributes:
        penalties: ρ and ν now.
    """

    variables = VARIABLES
    optional = ("sent",)

    def __init__(
        self,
        options: PDADMMGOptions,
        share: LayerShare,
        transport: Transport,
        stage: int,
        kept: Network | None,
    ) -> None:
        solver, codecs = solver_of(options), codecs_of(options)
        workers = [LayerWorker(index, solver, transport, codecs) for index in transport.local]
        super().__init__(options, share, transport, stage, workers)
        self._schedule = PenaltySchedule()
        self.penalties = self._schedule.init(solver.rho, solver.nu)
        coded = options.coded and stage == 0
        labels = share.facts.labels[: share.facts.training_rows]

        def codes(own: Any) -> list[Any]:
            given = (options.seed, own, self.shape, labels, options.code_size, options.dtype)
            return class_codes(*given) if coded else []

        self.start(kept, coded, codes=codes)

    def epoch(self, number: int, measure: bool) -> None:
        in_turns(worker.iteration(measure) for worker in self.workers)
        if measure:
            self.finish()

    def measure(self) -> Mapping[str, float]:
        scores = self.scores()
        none = (0.0,) * len(Info._fields)  # of workers without a layer
        infos = [np.array(worker.info() or none, float) for worker in self.workers]
        total = self.transport.total(infos)
        lagrangian, primal, dual = total.tolist()
        return {
            **scores,
            "lagrangian": lagrangian,
            "primal_residual": math.sqrt(primal),
            "dual_residual": math.sqrt(dual),
            "rho": self.penalties.rho,
            "nu": self.penalties.nu,
        }

    def adapt(self) -> None:
        """Let the worker of the output layer tell its loss, and all take the penalties from it."""
        losses = [worker.loss() for worker in self.workers]
        loss = self.transport.share(losses[-1], self.transport.size - 1)
        if not math.isfinite(loss):
            self.finish()  # nothing of this iteration may be on its way
            raise DivergedError(f"loss {loss}")
        before = self.penalties
        self.penalties = self._schedule.update(before, {"loss": loss})
        if before[:2] != self.penalties[:2]:
            self._set_penalties()

    def _set_penalties(self) -> None:
        for worker in self.workers:
            worker.set_penalties(self.penalties.rho, self.penalties.nu)

    def settings(self) -> Mapping[str, Any]:
        return {"penalties": self.penalties._asdict()}

    def restore(self, read: Callable[[int], Arrays], settings: Mapping[str, Any] | None) -> None:
        super().restore(read, settings)
        if settings is not None:
            self.penalties = PenaltyState(**settings["penalties"])
        self._set_penalties()


def solver_of(options: PDADMMGOptions) -> PDADMMG:
    """The algorithm that the options set."""
    penalties = (options.rho, options.nu, options.weight_decay)
    levels_p, levels_q = options.levels, options.levels_q
    return PDADMMG(*penalties, options.step, levels_p=levels_p, levels_q=levels_q)


def codecs_of(options: PDADMMGOptions) -> Codecs:
    """The codecs of p and q."""
    return Codecs(*(variable_codec(options, each) for each in (options.levels, options.levels_q)))


def variable_codec(options: PDADMMGOptions, levels: Levels | None) -> Codec:
    """The codec of a variable that is constrained to `levels`.

    With the codec `levels` a variable without levels travels as it is.
    """
    if options.codec is None or (options.codec == "levels" and levels is None):
        return Float(options.dtype)
    return make_codec(options.codec, levels)
