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
    stage_layers,
)
from admm.training.checks import check_dtype
from admm.training.clock import Clock
from admm.training.data import begin_run, training_inputs
from admm.training.history import Evaluation, Text
from admm.training.method import make_method
from admm.training.model import save_model
from admm.training.options import Options, options_json
from admm.training.stage import start_stage
from admm.training.summary import Result, scores, summarize
from admm.training.trace_file import save_trace
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
        DivergedError: If training leaves the finite numbers; `summary.json` says `diverged`.

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


class _Run:
    """One run: what stays the same over its stages, and its results so far."""

    def __init__(
        self, options: Options, transport: Transport, clock: Clock, progress: Text | None
    ) -> None:
        check_dtype(options.dtype)
        self.options, self.transport, self.clock = options, transport, clock
        self.facts, inputs, self.history = begin_run(
            lambda: training_inputs(options), options, transport, progress
        )
        self.basis = None if inputs is None else inputs.basis
        self.rows = None if inputs is None else jax.device_put(inputs.rows, transport.device(0))
        one_hot = np.eye(self.facts.classes)[self.facts.labels]
        self.targets = jnp.asarray(one_hot[: self.facts.nodes], options.dtype)
        shape = widths(self.facts.columns, options.hidden, self.facts.classes, options.layers)
        self.split = split_layers(layer_costs(shape), transport.size)
        self.method = make_method(options, transport)
        self.solver, self.workers = self.method.solver, self.method.workers
        if options.trace is not None:
            first, last = transport.local[0], transport.local[-1]
            layers = f"layers {self.split[first][0]}–{self.split[last][1]}"
            transport.trace = Trace(first, f"process of worker {first}: {layers}")
        if transport.is_root and progress is not None:
            progress.write(self._introduction())
            progress.flush()
        self.schedule = PenaltySchedule()
        self.best_network: dict[int, Dense] = {}

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

    def train(self) -> Result:
        """All stages, one after the other; an interrupt keeps what one process has."""
        self.stages: list[dict[str, Any]] = []
        try:
            self._train_stages()
        except KeyboardInterrupt:
            if len(self.transport.local) == self.transport.size and self.best_network:
                self._save_best(self.history.evaluations[-1].stage)
                self._summarize("interrupted")
            raise
        self.transport.flush()
        summary = self._summarize("done")
        save_trace(self.options.trace, self.transport)
        return Result(summary, self.history.evaluations, self._best_layers())

    def _train_stages(self) -> None:
        kept: dict[int, Dense] | None = None
        for stage, depth in enumerate(self.options.stages):
            started = self.clock.elapsed
            self._start_stage(depth, kept)
            for epoch in range(1, self.options.epochs + 1):
                measured = epoch % self.options.eval_every == 0 or epoch == self.options.epochs
                with self.clock.section("iterate"):
                    self.method.iterate(self.workers, measured)
                    if measured:
                        for worker in self.workers:
                            worker.finish()
                if measured:
                    with self.clock.section("evaluate"):
                        self._evaluate(stage, depth, epoch)
                with self.clock.section("iterate"):
                    self._update_penalties()
            self._save_best(stage)
            kept = {number: params for number, params in self._network().items() if number < depth}
            self.stages.append(
                {
                    "layers": depth,
                    "epochs": self.options.epochs,
                    "seconds": self.clock.elapsed - started,
                    "best": scores(self.history.best_of_stage(stage)),
                }
            )

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
            self.best_network = network
        if not evaluation.finite:
            self._save_best(stage)
            self._summarize("diverged")
            raise DivergedError(
                f"training diverged in the stage of {depth} layers, epoch {epoch}: loss "
                f"{evaluation.train_loss}, Lagrangian {lagrangian}; try {self.method.remedy}"
            )

    def _score(self, logits: Array) -> dict[str, float]:
        """Loss and accuracies, as fields of `Evaluation`."""
        train = self.facts.nodes
        loss = self.solver.risk(logits[:train], self.targets) / train
        accuracies = self.facts.accuracies(logits)
        return {"train_loss": float(loss)} | {
            f"{part}_accuracy": a for part, a in accuracies.items()
        }

    def _best_layers(self) -> dict[int, Dense]:
        """The best network's layers of this process, on one device; W₁ takes full inputs."""
        layers = dict(self.best_network)
        if self.basis is not None and 1 in layers:
            layers[1] = layers[1]._replace(W=jnp.asarray(self.basis) @ layers[1].W)
        return jax.device_put(layers, self.transport.device(self.transport.local[0]))

    def _save_best(self, stage: int) -> None:
        """Write the best network, if the stage that ends has found it."""
        best = self.history.best
        if self.options.out is None or best is None or best.stage != stage:
            return
        about = {
            "depth": best.layers,
            "epoch": best.epoch,
            "options": options_json(self.options),
            "dataset": self.facts.summary,
        }
        layers = {number: params._asdict() for number, params in self._best_layers().items()}
        save_model(self.options.out, layers, about, self.transport)

    def _summarize(self, status: str) -> dict[str, Any]:
        """The contents of `summary.json`; the root writes it."""
        return summarize(
            self.history,
            self.clock,
            self.transport,
            self.method.variables,
            status,
            options=options_json(self.options),
            dataset=self.facts.summary,
            split=self.split,
            stages=self.stages,
        )
