"""Recovery: checkpoints, signals, and what a message says about how to go on."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np

from admm.comm import Transport
from admm.errors import AdmmError, InputError, StoppedError, WorkerLostError
from admm.run.checkpoint import Snapshot, save_checkpoint
from admm.run.clock import Clock
from admm.run.options import MethodOptions

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Recovery:
    """Checkpoints every so often and on a signal, agreed on by all processes of a run.

    After every epoch the processes begin to tell each other whether they were asked to stop; what
    they said an epoch before is then known to all, and costs no wait.

    Args:
        options: Of the run: its folder, how often to save, and how much to keep.
        transport: Of the run.
        clock: Of this process.
        units: What the worker of a number owns, for messages.
    """

    def __init__(
        self,
        options: MethodOptions,
        transport: Transport,
        clock: Clock,
        units: Callable[[int], str],
    ) -> None:
        self._run = options.out
        self._every, self._keep = options.checkpoint_every, options.keep
        self._transport = transport
        self._clock = clock
        self._units = units
        self._asked: Callable[[], np.ndarray] | None = None
        self._signal: signal.Signals | None = None
        self._where = "in the first epoch"
        self._place: str | None = None  # of the newest checkpoint
        self._epochs = 0  # since the start, or since the checkpoint that was resumed

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as a request to stop, and say of an error where it happened.

        A second signal acts as it would have without. Signals reach the main thread only.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in _SIGNALS}

        def note(number: int, frame: FrameType | None) -> None:
            self._signal = signal.Signals(number)
            restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in before:
            signal.signal(number, note)
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            for note_ in self._notes(error):
                error.add_note(note_)
            raise
        finally:
            restore()

    def _notes(self, error: Exception) -> Iterator[str]:
        if isinstance(error, WorkerLostError):
            for worker in error.workers:
                yield f"rank {worker} has {self._units(worker)}"
        elif not isinstance(error, AdmmError) and self._transport.size > 1:
            worker = self._transport.local[0]
            yield f"on rank {worker}, which has {self._units(worker)}"
        yield self._where
        yield self.advice

    @property
    def has_saved(self) -> bool:
        """Whether there is a checkpoint of this run."""
        return self._place is not None

    @property
    def advice(self) -> str:
        """How to go on."""
        if self._place is None:
            return "there is no checkpoint yet"
        command = f"python -m admm train --resume {shlex.quote(str(self._run))}"
        return f"the newest checkpoint is that of {self._place}: go on with {command}"

    def resumed(self, place: str) -> None:
        """Note that the run goes on from a checkpoint."""
        self._place = self._where = place
        self._epochs = 0

    def after_epoch(self, place: str, snapshot: Callable[[], Snapshot]) -> None:
        """Save what is due; stop where that was asked for.

        Args:
            place: What epoch this was, in words.
            snapshot: Makes one of the state now; all computation must be done for it.

        Raises:
            StoppedError: In every process, after a signal to any; the checkpoint is complete.
            DivergedError: In every process, if the state to save is not finite.
            OutputError: In every process, if the checkpoint cannot be written.
        """
        self._where = f"after {place}"
        self._epochs += 1
        stop = self._asked is not None and self._asked()[0] > 0
        self._asked = self._transport.begin_total([np.array([float(self._signal is not None)])])
        due = self._every > 0 and self._epochs % self._every == 0
        if self._run is not None and (stop or due):
            with self._clock.section("checkpoint"):
                try:
                    save_checkpoint(self._run, snapshot(), self._keep, self._transport)
                except Exception:
                    self.finish()
                    raise
            self._place = place
        if stop:
            names = self._transport.gather(self._signal and self._signal.name)
            self.finish()
            raise StoppedError(f"stopped by {next(filter(None, names))}")

    def finish(self) -> None:
        """Take the last answer to whether to stop; all processes call it, at the end."""
        if self._asked is not None:
            self._asked()
            self._asked = None
