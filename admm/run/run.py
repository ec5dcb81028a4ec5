"""The driver of every run: stages, epochs, evaluations, checkpoints, retreats, results.

It knows a method by `MethodOptions` and `Training` alone, and drives one worker, several in a
process, and one on every MPI rank alike; only the transport differs.
"""

import contextlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, final

import equinox as eqx
import jax
import numpy as np

from admm.comm import Trace, Transport, local_transport, named_leaves
from admm.console import Console, Text
from admm.errors import DivergedError, InputError, StoppedError, spelled
from admm.files import write_atomically, writing
from admm.memory import memory_told
from admm.run.agreement import check_one_job
from admm.run.callbacks import Callback, Callbacks, callbacks_of, start_and_close
from admm.run.checkpoint import Checkpoint, Snapshot, clear_run, newest_checkpoint
from admm.run.clock import Clock
from admm.run.costs import flops_of
from admm.run.devices import shared_devices
from admm.run.energy import Meter
from admm.run.folder import held_folder
from admm.run.history import Evaluation, History, is_finite, to_json
from admm.run.method import Arrays, Network, Training
from admm.run.options import MethodOptions, check_not_in_memory, in_memory
from admm.run.recovery import Recovery
from admm.run.resume import continue_counts, counts, open_checkpoint, where_data_may_be
from admm.run.saved import save_model
from admm.run.status import write_plan
from admm.run.summary import Result, summarize

# How often a run that diverges goes back before it gives up, and what the bounded value may grow
# to, in multiples of that of the stage's first evaluation: penalties that rise raise it too.
_RETREATS = 3
_EXPLOSION = 1e3


def train(
    options: MethodOptions,
    transport: Transport | None = None,
    *,
    data: Any = None,
    callback: Callbacks | None = None,
    progress: Text | None = None,
) -> Result:
    """Train with a method.

    Args:
        options: What to train, on what, and how: `options(solver, …)` makes them.
        transport: Carries the messages, with the timeout and the checksums that it was made with;
            by default `options.workers` workers live here.
        data: The data themselves, a `Graph`, `Images`, `Samples` or `Federation`, in place of a
            name; the root's process needs them, of a federation every process.
        callback: Called with every evaluation, in all processes together, or a list of such
            functions; the run ends where one returns true in any. Where it has `start`, that is
            called with the options before training; where it has `close`, that is called when the
            run ends, however it does.
        progress: Where the root prints its table, as long as that takes it; None prints nothing.

    Raises:
        InputError: If data or options cannot be used, a launcher started several processes and
            there is no transport, they were not started as one job, or do not share the folder of
            the run, or another run is using it.
        DivergedError: If training leaves the finite numbers, and going back to the last checkpoint
            with safer settings does not help; `summary.json` says `diverged`.
        StoppedError: After SIGTERM or SIGINT; `summary.json` says `interrupted`.
        OutputError: If results cannot be written.
        AdmmError: If there is not enough memory.
        WorkerLostError: If another rank is silent for too long, or its messages are damaged.

    Example:
        >>> from admm import options
        >>> result = train(options(layers=2, hidden=16, epochs=5, workers=2))
        >>> result.summary["workers"]["units_per_rank"]
        ['layers 1–1', 'layers 2–2']
    """
    if not isinstance(options, MethodOptions):
        raise InputError(f"train takes what options(solver, …) makes, got {options!r}")
    transport = local_transport(options.workers) if transport is None else transport
    check_transport(transport)
    callbacks = callbacks_of(callback)
    check_one_job(options, transport)
    console = Console(progress)
    transport.at_root(console.check)
    with (
        Clock(transport) as clock,
        held_folder(options.out, transport),
        start_and_close(callbacks, options),
    ):
        return Run(options, transport, clock, data, callbacks, console).train()


def check_transport(transport: object) -> None:
    """Whether it is one.

    Raises:
        InputError: If not.
    """
    if not isinstance(transport, Transport):
        raise InputError(
            f"{spelled('transport')} must be a Transport of admm.comm, got {transport!r}"
        )


def check_dtype(dtype: str) -> None:
    """Whether JAX is in the mode that a type needs.

    Raises:
        InputError: If not.
    """
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError("float64 needs JAX's 64-bit mode: set JAX_ENABLE_X64=1")


@final
class Run:
    """A run, from a start or a checkpoint to a result, whatever happens.

    Args:
        options: Of the method.
        transport: Of the run.
        clock: Of this process.
        data: See `train`.
        callbacks: See `train`.
        console: Of the root.
    """

    def __init__(
        self,
        options: MethodOptions,
        transport: Transport,
        clock: Clock,
        data: Any,
        callbacks: Sequence[Callback],
        console: Console,
    ) -> None:
        check_dtype(options.dtype)
        name = None if data is None else in_memory(getattr(data, "name", type(data).__name__))
        name = transport.share(name, 0)  # the root's data count
        self._options = options if name is None else replace(options, dataset=name)
        self._transport, self._clock, self._console = transport, clock, console
        self._history = History(
            options.select,
            options.epochs,
            options.eval_every,
            len(options.stages),
            console,
        )
        self._callbacks = callbacks
        self._own_callbacks: Sequence[Callback] = ()
        self._has_callback = any(transport.gather(bool(callbacks or options.callbacks)))
        self._training: Training | None = None
        self._best: Callable[[], Network] = dict
        self._best_depth = 0
        self._stage, self._epoch, self._began = 0, 0, 0.0
        self._stages: list[dict[str, Any]] = []
        self._retreats: list[dict[str, str]] = []
        self._stopped = False
        self._meter = Meter()
        self._recovery = Recovery(self._options, transport, clock, self._units)
        if name is None:
            check_not_in_memory(options.dataset)
        with where_data_may_be(options.resume), memory_told("loading the data", options):
            self._share = self._options.load(transport, data)
        self._sharing = shared_devices(transport)
        transport.at_root(self._check_trace)

    def _check_trace(self) -> None:
        trace = self._options.trace
        if trace is not None:
            with writing(trace):
                if trace.is_dir() or not trace.resolve().parent.is_dir():
                    raise InputError(f"cannot write a trace to {trace}: a folder, or in no folder")

    def train(self) -> Result:
        """From the start, or from where a run was interrupted, to the end.

        Raises:
            StoppedError: After a signal.
            DivergedError: If training leaves the finite numbers, and going back did not help.
        """
        with (
            self._recovery.watch(),  # which says how to go on
            contextlib.closing(self._history),
            memory_told("training", self._options),
        ):
            self._introduce()
            self._go_to(None if self._options.resume is None else self._open_checkpoint())
            self._start_trace()
            try:
                while not self._is_trained():
                    pass
            except StoppedError:
                self._end("interrupted")
                raise
            summary = self._end("done")
        return Result(summary, self._history.evaluations, self._best(), self._now.joiner())

    def _is_trained(self) -> bool:
        """Whether the run got to its end; if it diverges, it has gone back."""
        try:
            self._train_stages()
            self._recovery.at_end(self._place, self._snapshot)
        except DivergedError as error:
            self._retreat(error)
            return False
        return True

    def _train_stages(self) -> None:
        while True:
            while self._epoch < self._options.epochs and not self._stopped:
                self._train_epoch()
            self._stages.append(
                {
                    "depth": self._now.depth,
                    "epochs": self._epoch,
                    "seconds": self._clock.elapsed - self._began,
                    "best": self._history.best_of_stage(self._stage),
                }
            )
            if self._stopped or self._stage + 1 == len(self._options.stages):
                return
            self._start_stage(self._stage + 1, self._now.network())

    def _start_stage(self, stage: int, kept: Network | None) -> None:
        self._stage, self._epoch, self._began = stage, 0, self._clock.elapsed
        self._training = self._options.begin(self._share, self._transport, stage, kept)

    def _train_epoch(self) -> None:
        options, epoch = self._options, self._epoch + 1
        measured = epoch % options.eval_every == 0 or epoch == options.epochs
        with self._clock.section("iterate"):
            self._now.epoch(epoch, measured)
        self._epoch = epoch
        self._meter.read()
        if measured:
            with self._clock.section("evaluate"):
                self._evaluate()
        with self._clock.section("iterate"):
            try:
                self._now.adapt()
            except DivergedError as error:
                raise self._diverged(str(error)) from error
        together = measured or self._now.lockstep
        self._recovery.after_epoch(self._place, self._snapshot, together)

    def _evaluate(self) -> None:
        """Measure, keep the best network, and see whether all is well."""
        sent = sum(self._transport.sent[name] for name in self._now.variables)
        evaluation = {
            "stage": self._stage,
            "epoch": self._epoch,
            **{n: v if isinstance(v, int) else float(v) for n, v in self._now.measure().items()},
            "bytes_sent": int(self._transport.total([np.array([float(sent)])])[0]),
            "seconds": self._clock.elapsed,
            "iterate_seconds": self._clock.iterating,
        }
        network = self._now.network()  # before the score is kept: an interrupt does not part them
        if self._history.add(evaluation):
            export = self._now.export
            self._best, self._best_depth = cache(lambda: export(network)), self._now.depth
        bounded = self._options.bounded
        explodes = False
        if bounded is not None:
            first = self._history.of_stage(self._stage)[0][bounded]
            explodes = not evaluation[bounded] <= _EXPLOSION * max(abs(first), 1.0)
        if explodes or not is_finite(evaluation):
            shown = ("train_loss", bounded)
            raise self._diverged(
                ", ".join(f"{n} {evaluation[n]}" for n in shown if n in evaluation)
            )
        if self._has_callback:
            stop = self._transport.agreed(lambda: self._is_told_to_stop(evaluation))
            self._stopped = bool(self._transport.total([np.array([float(stop)])])[0])

    def _is_told_to_stop(self, evaluation: Evaluation) -> bool:
        every = (*self._callbacks, *self._own_callbacks)
        stops = [bool(each(dict(evaluation))) for each in every]  # all see it
        return any(stops)

    # Checkpoints.

    def _snapshot(self) -> Snapshot:
        """The state between two epochs, as far as this process has it."""
        about = {
            "stage": self._stage,
            "epoch": self._epoch,
            "options": self._options.as_json(),
            "dataset": self._share.dataset,
            "history": self._history.nbytes,
            "retreats": list(self._retreats),
            "stages": list(self._stages),
            "spent": self._clock.elapsed - self._began,
        }
        units = self._now.state()
        about["counts"] = counts(self._transport, self._clock)
        name = f"{self._stage:04d}-{self._epoch:06d}"
        about |= self._now.settings()
        return Snapshot(name, units, self._best_arrays(), about, self._about_best())

    def _open_checkpoint(self) -> Checkpoint:
        checkpoint = self._transport.at_root(self._reopen)
        continue_counts(checkpoint.manifest["counts"], self._transport, self._clock)
        self._retreats = checkpoint.manifest["retreats"]
        return checkpoint

    def _reopen(self) -> Checkpoint:
        """The checkpoint to go on from; nothing is touched before it has been taken up."""
        run = self._options.resume
        assert run is not None  # only then there is one to open
        checkpoint = open_checkpoint(run, self._options.as_json(), self._share.dataset)
        self._history.open(run, new=False)
        self._history.read(checkpoint.manifest["history"])
        return checkpoint

    def _go_to(self, checkpoint: Checkpoint | None, safer: bool = False) -> None:
        """Take the state of a checkpoint, or that of the start, maybe with safer options."""
        self._best, self._stages, self._stopped = dict, [], False
        if checkpoint is None:
            self._start_stage(0, None)
        else:
            self._restore(checkpoint, safer)
        left = self._transport.at_root(lambda: self._rewind(checkpoint))
        if not self._transport.is_root:
            self._history.replay(left)
        self._own_callbacks = self._options.callbacks
        for evaluation in self._history.evaluations:  # as if the run had never stopped
            stops = [each(dict(evaluation)) for each in self._own_callbacks]
            self._stopped = any(stops)

    def _rewind(self, checkpoint: Checkpoint | None) -> list[Evaluation]:
        """Take the files back: the run is no longer done, its network is the checkpoint's."""
        if checkpoint is None:
            if self._options.out is not None:
                clear_run(self._options.out)
                write_plan(self._options, self._options.out)
                self._history.open(self._options.out, new=True)
            return self._history.rewind(0)
        run = checkpoint.folder.parent.parent
        summary = run / "summary.json"
        with writing(summary):
            summary.unlink(missing_ok=True)
        write_plan(self._options, run)
        checkpoint.name_best()
        return self._history.rewind(checkpoint.manifest["history"])

    def _restore(self, checkpoint: Checkpoint, safer: bool) -> None:
        manifest = checkpoint.manifest
        self._start_stage(manifest["stage"], None)
        self._epoch = manifest["epoch"]
        self._stages = manifest["stages"][: self._stage]  # the end of a run has its last one too
        self._began = self._clock.elapsed - manifest["spent"]
        training = self._now
        self._transport.at_root(lambda: training.check_settings(manifest))
        found = self._transport.gather(checkpoint.compared(training.state(), training.optional))
        checkpoint.check_units([unit for each in found for unit in each])
        training.restore(checkpoint.unit, None if safer else manifest)
        if manifest["model"] is not None:
            self._best_depth = manifest["model"]["depth"]
            best = training.saved_network(self._best_depth, checkpoint.best)
            self._best = lambda: best
        self._recovery.resumed(checkpoint.place)

    # Endings.

    def _retreat(self, error: DivergedError) -> None:
        """Go back to where all was well, with safer settings; give up after some tries.

        Raises:
            DivergedError: The error, if there is nothing left to try.
        """
        self._recovery.finish()
        run, found = self._options.out, None
        if run is not None and len(self._retreats) < _RETREATS:
            found = self._options.safer(self._now)
        if found is None:
            self._end("diverged")
            raise error
        self._options, change = found
        self._retreats.append({"error": str(error), "then": change})
        checkpoint = None
        if self._recovery.has_saved:
            assert run is not None  # only there are checkpoints
            checkpoint = self._transport.at_root(lambda: newest_checkpoint(run))
        self._go_to(checkpoint, safer=True)
        place = "the start" if checkpoint is None else checkpoint.place
        self._say(f"{error}\nback to {place}, with {change}\n")

    def _end(self, status: str) -> dict[str, Any]:
        """Write network, summary and trace."""
        self._transport.flush()
        about, run = self._about_best(), self._options.out
        if run is not None and about is not None:
            save_model(run, self._best_arrays(), about, self._transport)
        summary = summarize(
            self._history,
            self._clock,
            self._transport,
            self._now.variables,
            [self._units(worker) for worker in range(self._transport.size)],
            self._meter,
            costs=self._costs(),
            options=self._options.as_json(),
            dataset=self._share.dataset,
            stages=self._stages,
            retreats=self._retreats,
            **self._now.report(),
            sharing=self._sharing,
            stopped=self._stopped,
            status=status,
        )
        self._history.close()
        if run is not None:
            content = to_json(summary, indent=1).encode()
            self._transport.at_root(lambda: write_atomically(run / "summary.json", content))
        self._save_trace()
        return summary

    def _costs(self) -> dict[str, Any] | None:
        """What the epochs and evaluations behind the run come to by their shapes."""
        planned = self._options.costs(self._share)
        if planned is None:
            return None
        done = [stage["epochs"] for stage in self._stages]
        done = [*done, self._epoch][: self._stage + 1]
        stages = [
            costs._replace(epochs=epochs, evaluations=len(self._history.of_stage(number)))
            for number, (costs, epochs) in enumerate(zip(planned, done, strict=False))
        ]
        best = self._history.best
        parameters = None if best is None else planned[best["stage"]].parameters
        itemsize = np.dtype(self._options.dtype).itemsize
        return {
            "flops": flops_of(stages),
            "parameters": parameters,
            "model_bytes": None if parameters is None else parameters * itemsize,
        }

    # Small things.

    @property
    def _now(self) -> Training:
        """The stage in training."""
        assert self._training is not None  # `_go_to` starts one
        return self._training

    def _units(self, worker: int) -> str:
        return "nothing yet" if self._training is None else self._training.units(worker)

    @property
    def _place(self) -> str:
        stages = self._options.stages
        where = f" of the stage of {stages[self._stage]}" if len(stages) > 1 else ""
        return f"epoch {self._epoch}{where}"

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"training diverged in {self._place}: {what}; try {self._options.remedy}"
        )

    def _best_arrays(self) -> dict[int, Arrays]:
        """The best network's layers or modules of this process: their arrays by name."""
        return {
            number: named_leaves(eqx.filter(each, eqx.is_inexact_array))
            for number, each in self._best().items()
        }

    def _about_best(self) -> dict[str, Any] | None:
        """What `model.json` says of the best network, if there is one yet."""
        best = self._history.best
        if best is None:
            return None
        return {
            "depth": self._best_depth,
            "epoch": best["epoch"],
            "options": self._options.as_json(),
            "dataset": self._share.dataset,
        }

    def _start_trace(self) -> None:
        if self._options.trace is not None:
            first = self._transport.local[0]
            owned = ", ".join(map(self._units, self._transport.local))
            self._transport.trace = Trace(first, f"process of worker {first}: {owned}")

    def _save_trace(self) -> None:
        """Write the spans of all processes, if there are any."""
        path, trace = self._options.trace, self._transport.trace
        if path is not None and trace is not None:
            events = [each for part in self._transport.gather(trace.events) for each in part]
            content = json.dumps({"traceEvents": events}).encode()
            self._transport.at_root(lambda: write_atomically(path, content))

    def _introduce(self) -> None:
        self._say(self._share.introduction)
        if self._sharing is None:
            return
        if not self._console and len(self._transport.local) == self._transport.size:
            warnings.warn(self._sharing, stacklevel=4)
        self._say(f"{self._sharing}\n")

    def _say(self, text: str) -> None:
        """Print at the root."""
        if self._transport.is_root:
            self._console.write(text)
