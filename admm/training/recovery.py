"""What a run does so that nothing is lost: checkpoints, signals, words about a failure."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

from admm.errors import AdmmError, InputError, StoppedError, WorkerLostError
from admm.parallel import Transport
from admm.training.checkpoint import Snapshot, Writer
from admm.training.clock import Clock

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Recovery:
    """Checkpoints every so often and on a signal, agreed on by all processes of a run.

    After every epoch the processes begin to tell each other whether they were asked to stop and
    whether they still write; what they said an epoch before is then known to all, and costs no
    wait.

    Args:
        run: Folder of the run; None writes no checkpoints.
        every: Epochs that may be lost; 0 writes them on a signal only.
        keep: How many to keep.
        transport: Of the run.
        clock: Of this process.
        units: What worker of which number owns, for messages.
    """

    def __init__(
        self,
        run: Path | None,
        every: int,
        keep: int,
        transport: Transport,
        clock: Clock,
        units: Callable[[int], str],
    ) -> None:
        self._run = run
        self._every = every
        self._writer = None if run is None else Writer(run, keep, transport)
        self._transport = transport
        self._clock = clock
        self._units = units
        self._flags: Callable[[], np.ndarray] | None = None
        self._signal: signal.Signals | None = None
        self._where = "in the first epoch"
        self._place: str | None = None  # of the newest checkpoint
        # Epochs since the start of the process: all, at the last two marks, and between those.
        self._epochs = self._begun = self._saved = self._lag = 0

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
        self._begun = self._saved = self._epochs

    def after_epoch(self, place: str, snapshot: Callable[[], Snapshot]) -> None:
        """Save what is due; stop where that was asked for.

        No more than `every` epochs are ever lost: a checkpoint begins as many epochs early as the
        slowest so far took to be complete, and if that is not enough training waits for it.

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
        stop, writing = (0.0, 0.0) if self._flags is None else self._flags()
        own = [self._signal is not None, self._writer is not None and self._writer.writing]
        self._flags = self._transport.begin_total(np.array(own, float))
        if self._writer is not None:
            with self._clock.section("checkpoint"):
                if not writing:
                    self._commit()
                if stop or self._is_due():
                    self._commit()
                    self._writer.begin(snapshot())
                    self._begun, self._begun_place = self._epochs, place
                if stop or (self._every and self._epochs - self._saved >= self._every):
                    self._commit()
        if stop:
            names = self._transport.gather(self._signal and self._signal.name)
            raise StoppedError(f"stopped by {next(filter(None, names))}")

    def _is_due(self) -> bool:
        pause = max(1, self._every - self._lag)
        return self._every > 0 and self._epochs - self._begun >= pause

    def _commit(self) -> None:
        """Complete the checkpoint under way, if any; errors are those of all processes."""
        if self._writer is None or not self._writer.open:
            return
        try:
            self._writer.commit()
        except Exception:
            self._drain()
            raise
        self._saved, self._place = self._begun, self._begun_place
        self._lag = max(self._lag, self._epochs - self._begun)

    def _drain(self) -> None:
        if self._flags is not None:
            self._flags()
            self._flags = None

    def finish(self) -> None:
        """Bring what is under way to its end; all processes call it, after training or an error.

        Raises:
            DivergedError: As `after_epoch`.
            OutputError: As `after_epoch`.
        """
        self._drain()
        with self._clock.section("checkpoint"):
            self._commit()
