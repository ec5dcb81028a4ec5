"""Recovery: checkpoints, signals, and what a message says about how to go on."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np

from admm.comm import Transport
from admm.errors import AdmmError, InputError, StoppedError, WorkerLostError
from admm.run.checkpoint import Snapshot, save_checkpoint
from admm.run.clock import Clock
from admm.run.options import MethodOptions
from admm.run.resume import continuation

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# A launcher passes on a signal that the ranks have had already: within so many seconds it is one.
_ONE_REQUEST_SECONDS = 2.0


class Recovery:
    """Checkpoints every so often and on a signal, agreed on by all processes of a run.

    After every epoch in which they meet, the processes begin to tell each other whether they were
    asked to stop; what they said at the meeting before is then known to all, and costs no wait.

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
        self._options, self._run = options, options.out
        self._every, self._keep = options.checkpoint_every, options.keep
        self._transport = transport
        self._clock = clock
        self._units = units
        self._asked: Callable[[], np.ndarray] | None = None
        self._signal: signal.Signals | None = None
        self._where = "in the first epoch"
        self._place: str | None = None  # of the newest checkpoint
        self._unsaved = 0  # epochs since the newest checkpoint

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take a signal as a request to stop, and say of an error where it happened.

        What comes within two seconds is the same request; a later signal acts as it would have
        without. One that is ignored, as under nohup, stays so. Signals reach the main thread only.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            known = {number: signal.getsignal(number) for number in _SIGNALS}
            before = {n: act for n, act in known.items() if act not in (signal.SIG_IGN, None)}
        first: list[float] = []

        def note(number: int, frame: FrameType | None) -> None:
            first.append(time.monotonic())
            if first[-1] - first[0] < _ONE_REQUEST_SECONDS:
                self._signal = self._signal or signal.Signals(number)
                return
            restore()
            signal.raise_signal(number)

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
            if not first:  # else the request may come once more, while the message is written
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
        if self._place is None or self._run is None:
            return "there is no checkpoint yet"
        how = continuation(self._run, self._options)
        return f"the newest checkpoint is that of {self._place}: go on with {how}"

    def resumed(self, place: str) -> None:
        """Note that the run goes on from a checkpoint."""
        self._place = self._where = place
        self._unsaved = 0

    def after_epoch(
        self, place: str, snapshot: Callable[[], Snapshot], together: bool = True
    ) -> None:
        """Save what is due; stop where that was asked for.

        Args:
            place: What epoch this was, in words.
            snapshot: Makes one of the state now; all computation must be done for it.
            together: Whether all processes are at this epoch; if not, what is due is so when they
                meet.

        Raises:
            StoppedError: In every process, after a signal to any; the checkpoint is complete.
            DivergedError: In every process, if the state to save is not finite.
            OutputError: In every process, if the checkpoint cannot be written.
        """
        self._where = f"after {place}"
        self._unsaved += 1
        if not together:
            return
        stop = self._asked is not None and self._asked()[0] > 0
        self._asked = self._transport.begin_total([np.array([float(self._signal is not None)])])
        due = 0 < self._every <= self._unsaved
        if stop or due:
            self._save(place, snapshot)
        if stop:
            names = self._transport.gather(self._signal and self._signal.name)
            self.finish()
            raise StoppedError(f"stopped by {next(filter(None, names))}")

    def at_end(self, place: str, snapshot: Callable[[], Snapshot]) -> None:
        """Save the end of a run, from which it can go further, unless that is done.

        Args:
            place: As for `after_epoch`.
            snapshot: As for `after_epoch`.

        Raises:
            DivergedError: As `after_epoch` does.
            OutputError: As `after_epoch` does.
        """
        if self._unsaved:
            self._save(place, snapshot)
        self.finish()

    def _save(self, place: str, snapshot: Callable[[], Snapshot]) -> None:
        if self._run is None:
            return
        with self._clock.section("checkpoint"):
            try:
                save_checkpoint(self._run, snapshot(), self._keep, self._transport)
            except Exception:
                self.finish()
                raise
        self._place, self._unsaved = place, 0

    def finish(self) -> None:
        """Take the last answer to whether to stop; all processes call it, at the end."""
        if self._asked is not None:
            self._asked()
            self._asked = None
