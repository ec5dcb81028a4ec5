"""The loop around the solver: stages, evaluation, penalties, results.

The same loop drives one worker, several in a process, and one on every MPI rank; only the
transport differs.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.errors import DivergedError, InputError
from admm.parallel import LocalTransport, Trace, Transport, chain, pass_dense
from admm.solvers import (
    Backprop,
    PenaltySchedule,
    PenaltyState,
    stage_layers,
)
from admm.training.checkpoint import Checkpoint, Snapshot
from admm.training.checks import check_dtype
from admm.training.clock import Clock
from admm.training.data import Facts, begin_run, training_inputs
from admm.training.history import Evaluation, Text
from admm.training.loop import Around, Loop
from admm.training.method import make_method
from admm.training.options import Options
from admm.training.stage import start_stage
from admm.training.summary import Result, scores
from layers import Dense, layer_costs, split_layers, widths


def train(
    options: Options, transport: Transport | None = None, progress: Text | None = None
) -> Result:
    """Train a GA-MLP with pdADMM-G, pdADMM-G-Q where levels are given, or backpropagation.

    Backpropagation satisfies all constraints exactly: both residuals are 0, and the Lagrangian is
    its objective summed over the training nodes.

    Args:
        options: What to train, on what, and how.
        transport: Carries the messages; by default `options.workers` workers live here.
        progress: Where the root prints its table; None prints nothing.

    Raises:
        InputError: If data or options cannot be used.
        DivergedError: If training leaves the finite numbers, and going back to the last checkpoint
            with safer settings does not help; `summary.json` says `diverged`.
        StoppedError: After SIGTERM or SIGINT; `summary.json` says `interrupted`.
        OutputError: If results cannot be written.
        WorkerLostError: If another rank is silent for too long, or its messages are damaged.

    Example:
        >>> result = train(Options(layers=2, hidden=16, epochs=5, workers=2))
        >>> result.summary["workers"]["layers_per_rank"]
        [[1, 1], [2, 2]]
    """
    transport = transport or LocalTransport(options.workers)
    if transport.size > options.layers:
        raise InputError(
            f"got {transport.size} workers for {options.layers} layers; every worker needs at "
            "least one: start fewer ranks or raise --layers"
        )
    with Clock(transport) as clock:
        return _Run(options, transport, clock, progress).train()


class _Run(Loop):
    """The stages of a run, and its best network so far."""

    def __init__(
        self, options: Options, transport: Transport, clock: Clock, progress: Text | None
    ) -> None:
        check_dtype(options.dtype)
        facts, inputs, history = begin_run(
            lambda: training_inputs(options), options, transport, progress
        )
        self.basis = None if inputs is None else inputs.basis
        self.rows = None if inputs is None else jax.device_put(inputs.rows, transport.device(0))
        one_hot = np.eye(facts.classes)[facts.labels]
        self.targets = jnp.asarray(one_hot[: facts.nodes], options.dtype)
        shape = widths(facts.columns, options.hidden, facts.classes, options.layers)
        split = split_layers(layer_costs(shape), transport.size)
        around = Around(transport, clock, progress, facts, history)
        super().__init__(options, around, split, "layers")
        self.facts: Facts = facts
        if options.trace is not None:
            first, last = transport.local[0], transport.local[-1]
            layers = f"layers {self.split[first][0]}–{self.split[last][1]}"
            transport.trace = Trace(first, f"process of worker {first}: {layers}")
        if transport.is_root and progress is not None:
            progress.write(self._introduction())
            progress.flush()
        self.schedule = PenaltySchedule()

    def _introduction(self) -> str:
        """What is trained on what, and by whom."""
        data = self.facts.summary
        owners = ", ".join(f"{first}–{last}" for first, last in self.split)
        return (
            f"{data['name']}: {data['nodes']:,} nodes, {data['edges']:,} directed edges, "
            f"{data['features']:,} features, {data['classes']} classes; {data['train']} training, "
            f"{data['val']} validation, {data['test']} test nodes\n"
            f"{self.options.layers} layers of {self.options.hidden} on {self.transport.size} "
            f"workers (layers {owners}); stages of {', '.join(map(str, self.options.stages))} "
            f"layers, {self.options.epochs} epochs each\n"
        )

    def begin(self) -> None:
        self.method = make_method(self.options, self.transport)
        self.solver, self.workers = self.method.solver, self.method.workers
        self.variables = self.method.variables
        self.best_network: dict[int, Dense] = {}
        self.best_is_full = False  # whether its W₁ takes the inputs in full, not those of a basis
        self.stages: list[dict[str, Any]] = []
        self.stage, self.epoch, self.began = 0, 0, self.clock.elapsed
        self._start_stage(self.options.stages[0], None)

    def run(self) -> None:
        stages = self.options.stages
        for stage in range(self.stage, len(stages)):
            if stage != self.stage:
                hidden = range(1, stages[self.stage])  # the output layer starts anew
                kept = {n: params for n, params in self._network().items() if n in hidden}
                self.stage, self.epoch, self.began = stage, 0, self.clock.elapsed
                self._start_stage(stages[stage], kept)
            while self.epoch < self.options.epochs:
                self._train_epoch(stages[stage])
            self.stages.append(
                {
                    "layers": stages[stage],
                    "epochs": self.options.epochs,
                    "seconds": self.clock.elapsed - self.began,
                    "best": scores(self.history.best_of_stage(stage)),
                }
            )

    def _train_epoch(self, depth: int) -> None:
        epoch = self.epoch + 1
        measured = epoch % self.options.eval_every == 0 or epoch == self.options.epochs
        with self.clock.section("iterate"):
            self.method.iterate(self.workers, measured)
            if measured:
                for worker in self.workers:
                    worker.finish()
        self.epoch = epoch
        if measured:
            with self.clock.section("evaluate"):
                self._evaluate(self.stage, depth, epoch)
        with self.clock.section("iterate"):
            self._update_penalties()
        place = f"epoch {epoch} of the stage of {depth} layers"
        self.recovery.after_epoch(place, self.snapshot)

    # Checkpoints.

    def snapshot(self) -> Snapshot:
        for worker in self.workers:
            worker.finish()
        units = {
            number: state
            for worker in self.workers
            for number, state in zip(self.owned[worker.index], worker.state(), strict=True)
        }
        return self.make_snapshot(
            self.options.stages[self.stage],
            self.stage,
            self.epoch,
            units,
            penalties=self.penalties._asdict(),
            stages=list(self.stages),
            spent=self.clock.elapsed - self.began,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        manifest = checkpoint.manifest
        self.stage, self.epoch = manifest["stage"], manifest["epoch"]
        self.stages, self.began = manifest["stages"], self.clock.elapsed - manifest["spent"]
        self._start_stage(self.options.stages[self.stage], None)
        self.restore_workers(checkpoint, self.workers, self.owned, "sent")
        if manifest["options"]["rho"] == self.options.as_json()["rho"]:  # else they are safer now
            self.penalties = PenaltyState(**manifest["penalties"])
        for worker in self.workers:
            worker.set_penalties(self.penalties.rho, self.penalties.nu)
        best = self.history.best
        if best is not None:
            owned = stage_layers(self.split, best.layers)
            self.best_network = {
                number: Dense(**jax.tree.map(jnp.asarray, dict(checkpoint.best(number))))
                for worker in self.workers
                for number in owned[worker.index]
            }
            self.best_is_full = True

    def safer(self) -> str | None:
        found = self.options.safer(self.penalties)
        if found is None:
            return None
        self.options, change = found
        return change

    def _start_stage(self, depth: int, kept: dict[int, Dense] | None) -> None:
        """Give every worker its layers of the stage, and link the workers that have any."""
        self.owned = stage_layers(self.split, depth)
        self.neighbors = chain(self.owned)
        self.penalties = self.method.penalties
        start_stage(
            self.workers,
            self.owned,
            self.options,
            self.facts,
            None if self.rows is None else self.rows[: self.facts.nodes],
            self.targets,
            kept,
        )

    def _update_penalties(self) -> None:
        """Let the worker of the output layer tell its loss, and all take the penalties from it.

        Backpropagation has none.
        """
        if isinstance(self.solver, Backprop):
            return
        losses = [worker.loss() for worker in self.workers]
        loss = self.transport.share(losses[-1], self.transport.size - 1)
        if not math.isfinite(loss):
            for worker in self.workers:
                worker.finish()  # nothing of this iteration may be on its way
            raise DivergedError(
                f"training diverged in the stage of {self.options.stages[self.stage]} layers, "
                f"epoch {self.epoch}: loss {loss}; try {self.method.remedy}"
            )
        penalties = self.schedule.update(self.penalties, loss)
        if (penalties.rho, penalties.nu) != (self.penalties.rho, self.penalties.nu):
            for worker in self.workers:
                worker.set_penalties(penalties.rho, penalties.nu)
        self.penalties = penalties

    def _network(self) -> dict[int, Dense]:
        """The layers of this process in the stage, by number."""
        return {
            number: params
            for worker in self.workers
            for number, params in zip(self.owned[worker.index], worker.network, strict=True)
        }

    # Evaluation and results.

    def _evaluate(self, stage: int, depth: int, epoch: int) -> None:
        """Pass all rows through the network, record the scores, keep the best network."""
        scores = None
        for worker in self.workers:
            logits = pass_dense(
                worker.network,
                self.solver.activation,
                len(self.facts.labels),
                self.rows,
                worker.index,
                self.neighbors[worker.index],
                self.transport,
            )
            if logits is not None:
                scores = self._score(logits)
        scores = self.transport.share(scores, self.transport.size - 1)
        sent = sum(self.transport.sent[variable] for variable in self.method.variables)
        infos = [info for worker in self.workers if (info := worker.info()) is not None]
        own = np.sum([[float(part) for part in info] for info in infos] or [[0.0] * 3], axis=0)
        lagrangian, primal, dual, sent = self.transport.total(np.array([*own, sent]))
        if isinstance(self.solver, Backprop):  # its workers know all of the objective but the risk
            lagrangian += self.facts.nodes * scores["train_loss"]
        evaluation = Evaluation(
            stage=stage,
            layers=depth,
            epoch=epoch,
            **scores,
            lagrangian=lagrangian,
            primal_residual=math.sqrt(primal),
            dual_residual=math.sqrt(dual),
            rho=self.penalties.rho,
            nu=self.penalties.nu,
            bytes_sent=int(sent),
            seconds=self.clock.elapsed,
            iterate_seconds=self.clock.iterating,
        )
        network = self._network()
        if self.history.add(evaluation):
            self.best_network, self.best_is_full = network, False
        self.check(evaluation, f"the stage of {depth} layers, epoch {epoch}", self.method.remedy)

    def _score(self, logits: Array) -> dict[str, float]:
        """Loss and accuracies, as fields of `Evaluation`."""
        train = self.facts.nodes
        loss = self.solver.risk(logits[:train], self.targets) / train
        accuracies = self.facts.accuracies(logits)
        return {"train_loss": float(loss)} | {
            f"{part}_accuracy": a for part, a in accuracies.items()
        }

    def network(self) -> dict[int, Dense]:
        """The best network's layers of this process, on one device; W₁ takes full inputs."""
        layers = dict(self.best_network)
        if self.basis is not None and not self.best_is_full and 1 in layers:
            layers[1] = layers[1]._replace(W=jnp.asarray(self.basis) @ layers[1].W)
        return jax.device_put(layers, self.transport.device(self.transport.local[0]))

    def best_arrays(self) -> dict[int, dict[str, Array]]:
        return {number: params._asdict() for number, params in self.network().items()}

    def summary_entries(self) -> dict[str, Any]:
        return {"stages": self.stages}
