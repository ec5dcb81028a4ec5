"""What all runs have in common: from a start or a checkpoint to a result, whatever happens."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admm.errors import DivergedError, StoppedError
from admm.parallel import Transport
from admm.training.checkpoint import Checkpoint, Snapshot, clear_run, newest_checkpoint
from admm.training.clock import Clock
from admm.training.data import Labelled
from admm.training.files import writing
from admm.training.history import Evaluation, History, Text
from admm.training.model import save_model
from admm.training.recovery import Recovery
from admm.training.resume import (
    check_shapes,
    continue_counts,
    counts,
    open_checkpoint,
    rewind,
)
from admm.training.summary import Result, summarize
from admm.training.trace_file import save_trace

# How often a run that diverges goes back before it gives up, and what the Lagrangian may grow to,
# in multiples of that of the stage's first evaluation: penalties that rise raise it too.
_RETREATS = 3
_EXPLOSION = 1e3


@dataclass
class Around:
    """What a run has to do with."""

    transport: Transport
    clock: Clock
    progress: Text | None
    facts: Labelled
    history: History


class Loop(ABC):
    """A run, as far as it does not depend on the algorithm.

    Args:
        options: Of the run.
        around: What it has to do with.
        split: First and last layer or module of every worker, from 1.
        kind: What those are called.

    Attributes:
        variables: What workers send each other in training.
        retreats: What was changed when training diverged.
    """

    variables: tuple[str, ...]

    def __init__(
        self, options: Any, around: Around, split: Sequence[tuple[int, int]], kind: str
    ) -> None:
        self.options = options
        self.transport, self.clock = around.transport, around.clock
        self.facts, self.history, self.progress = around.facts, around.history, around.progress
        self.split = split
        self.retreats: list[dict[str, str]] = []
        self.recovery = Recovery(
            options.out,
            options.checkpoint_every,
            options.keep,
            self.transport,
            self.clock,
            lambda worker: f"{kind} {split[worker][0]}–{split[worker][1]}",
        )

    # What an algorithm fills in.

    @abstractmethod
    def begin(self) -> None:
        """Take the state of the start of a run; all settings are in `options`."""

    @abstractmethod
    def restore(self, checkpoint: Checkpoint) -> None:
        """Take the state of a checkpoint, once the history is that of the checkpoint."""

    @abstractmethod
    def run(self) -> None:
        """Train from the state to the end."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """The state, between two epochs."""

    @abstractmethod
    def safer(self) -> str | None:
        """Change `options` such that training that has diverged may not; returns how, if at all."""

    @abstractmethod
    def best_arrays(self) -> Mapping[int, Mapping[str, Any]]:
        """The best network's layers or modules of this process: their arrays by name."""

    @abstractmethod
    def network(self) -> dict[int, Any]:
        """The same, as `Result` has them."""

    @abstractmethod
    def summary_entries(self) -> dict[str, Any]:
        """Entries of `summary.json`; all processes call it."""

    # The run.

    def train(self) -> Result:
        """From the start, or from where a run was interrupted, to the end.

        Raises:
            StoppedError: After a signal.
            DivergedError: If training leaves the finite numbers, and going back did not help.
        """
        with self.recovery.watch(), contextlib.closing(self.history):
            resume, run = self.options.resume, self.options.out
            if run is not None and resume is None:
                self.transport.at_root(lambda: clear_run(run))
            self._go_to(None if resume is None else self._open(resume))
            try:
                while not self._trained():
                    pass
            except StoppedError:
                self._end("interrupted")
                raise
            summary = self._end("done")
        save_trace(self.options.trace, self.transport)
        return Result(summary, self.history.evaluations, self.network())

    def _end(self, status: str) -> dict[str, Any]:
        """Write network and summary."""
        self.transport.flush()
        about = self.about_best()
        if self.options.out is not None and about is not None:
            save_model(self.options.out, self.best_arrays(), about, self.transport)
        return summarize(
            self.history,
            self.clock,
            self.transport,
            self.variables,
            status,
            options=self.options.as_json(),
            dataset=self.facts.summary,
            split=self.split,
            retreats=self.retreats,
            **self.summary_entries(),
        )

    def _trained(self) -> bool:
        """Whether the run got to its end; if it diverges, it has gone back."""
        try:
            self.run()
            self.recovery.finish()
        except DivergedError as error:
            self._retreat(error)
            return False
        return True

    def _open(self, run: Path) -> Checkpoint:
        checkpoint = self.transport.at_root(lambda: self._reopen(run))
        continue_counts(checkpoint.manifest["counts"], self.transport, self.clock)
        self.retreats = checkpoint.manifest["retreats"]
        return checkpoint

    def _reopen(self, run: Path) -> Checkpoint:
        """The checkpoint to go on from: the run is no longer done, its network is that one's."""
        checkpoint = open_checkpoint(run, self.options.as_json(), self.facts.summary)
        with writing(run):
            (run / "summary.json").unlink(missing_ok=True)
        checkpoint.name_best()
        return checkpoint

    def _go_to(self, checkpoint: Checkpoint | None) -> None:
        """Take the state of a checkpoint, or that of the start."""
        rewind(checkpoint, self.history, self.transport)
        self.begin()
        if checkpoint is not None:
            self.restore(checkpoint)
            self.recovery.resumed(checkpoint.place)

    def _retreat(self, error: DivergedError) -> None:
        """Go back to where all was well, with safer settings; give up after some tries.

        Raises:
            DivergedError: The error, if there is nothing left to try.
        """
        self.recovery.finish()
        run = self.options.out
        change = None
        if run is not None and len(self.retreats) < _RETREATS:
            change = self.safer()
        if change is None:
            self._end("diverged")
            raise error
        self.retreats.append({"error": str(error), "then": change})
        checkpoint = None
        if self.recovery.has_saved:
            checkpoint = self.transport.at_root(lambda: newest_checkpoint(run))
        self._go_to(checkpoint)
        if self.transport.is_root and self.progress is not None:
            place = "the start" if checkpoint is None else checkpoint.place
            self.progress.write(f"{error}\nback to {place}, with {change}\n")
            self.progress.flush()

    # For those who fill in.

    def about_best(self) -> dict[str, Any] | None:
        """What `model.json` says of the best network, if there is one yet."""
        best = self.history.best
        if best is None:
            return None
        return {
            "depth": best.layers,
            "epoch": best.epoch,
            "options": self.options.as_json(),
            "dataset": self.facts.summary,
        }

    def make_snapshot(
        self, depth: int, stage: int, epoch: int, units: Mapping[int, Any], **about: Any
    ) -> Snapshot:
        """The state of the units of this process, with what all runs have beside it."""
        names = (*self.variables, "evaluation")
        every = {
            "stage": stage,
            "epoch": epoch,
            "options": self.options.as_json(),
            "dataset": self.facts.summary,
            "history": self.history.nbytes,
            "counts": counts(self.transport, self.clock, names),
            "retreats": list(self.retreats),
            **about,
        }
        name = f"{depth:04d}-{epoch:06d}"
        return Snapshot(name, units, self.best_arrays(), every, self.about_best())

    def restore_workers(
        self,
        checkpoint: Checkpoint,
        workers: Sequence[Any],
        owned: Sequence[Sequence[int]],
        optional: str,
    ) -> None:
        """Give all workers of this process the state of their units.

        Raises:
            InputError: If it has other shapes; an `optional` array may be missing.
        """
        for worker in workers:
            for number, state in zip(owned[worker.index], worker.state(), strict=True):
                check_shapes(checkpoint, number, state, optional)
            worker.restore(owned[worker.index], checkpoint.unit)

    def check(self, evaluation: Evaluation, where: str, remedy: str) -> None:
        """Whether training is still among the finite numbers, and the Lagrangian in bounds.

        Raises:
            DivergedError: In every process, if not.
        """
        first = next(e for e in self.history.evaluations if e.stage == evaluation.stage)
        bound = _EXPLOSION * max(first.lagrangian, 1.0)
        if not (evaluation.finite and evaluation.lagrangian <= bound):
            raise DivergedError(
                f"training diverged in {where}: loss {evaluation.train_loss}, Lagrangian "
                f"{evaluation.lagrangian}; try {remedy}"
            )
