"""The transport over MPI: one worker on every rank.

Messages are NumPy buffers through `Isend` and `Irecv`. Two rules keep them intact: a send buffer
lives until its request is complete, and every message is received into a fresh buffer, since JAX
may alias a NumPy array for as long as it likes (jax issue 37830).

Nobody waits for ever: a rank that has waited for `timeout` seconds asks all others whether they are
there. Ranks that wait answer; one that is frozen, or computes without end, does not, and is the one
that the error names.
"""

import math
import pickle
import time
import traceback
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

from admm.comm import launch
from admm.comm.transport import DATA, Arrived, Message, Transport, in_order
from admm.errors import AdmmError, WorkerLostError, spelled

T = TypeVar("T")

# A wait polls between pauses that grow with it: where the computation that it waits for, or the
# rank that it waits for, shares the core, polling takes time from it.
_SPIN_SECONDS = 100e-6
_LONGEST_PAUSE = 1e-3

# Seconds that a rank has to answer, and between looks for questions.
_PATIENCE = 1.0
_LOOK_EVERY = 0.02
_QUESTION, _ANSWER = 1, 2

_CHECKSUM_BYTES = 4


class MPITransport(Transport):
    """One worker on this rank of a communicator.

    Args:
        comm: An mpi4py communicator; the rank is the worker's number. Messages travel in duplicates
            of it, which `close` gives back.
        timeout: Seconds to wait for another rank; `math.inf` waits for ever.
        checksum: Whether every message carries its CRC-32, which its receiver checks. The four
            bytes do not count as payload.

    Every method that waits raises `WorkerLostError` after the timeout; `share`, `total`, `gather`,
    `agreed` and `at_root` do not know whom they wait for, but the error does, once it has asked
    around.
    """

    def __init__(self, comm: Any, timeout: float = 600.0, checksum: bool = False) -> None:
        super().__init__()
        self.comm = comm.Dup()
        self._questions = comm.Dup()
        self._alive: set[int] = set()  # who has answered
        self._asked: dict[int, float] = {}  # when other ranks last asked
        self._said: list[Any] = []  # requests of questions and answers
        self._timeout = timeout
        self._checksum = checksum
        self.library = launch.library()
        self.size = comm.size
        self.local = (comm.rank,)
        self._outbox: deque[tuple[Message, int, int]] = deque()  # not yet computed
        self._sending: list[tuple[Any, np.ndarray]] = []

    def device(self, worker: int) -> jax.Device:
        return jax.local_devices()[0]

    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        self._outbox.append((message, target, self.tags[variable]))
        self.progress()

    def progress(self) -> None:
        while self._outbox and _is_ready(self._outbox[0][0]):
            message, target, tag = self._outbox.popleft()
            buffer = self.sealed(np.asarray(message))
            self._sending.append((self.comm.Isend(buffer, target, tag), buffer))
        self._sending = [entry for entry in self._sending if not entry[0].Test()]

    def _await(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Arrived]:
        request, buffer = self.incoming(nbytes, source, variable)

        def wait() -> Arrived:
            self.wait(request.Test, source=source)
            return self.unsealed(buffer, source, variable)

        return wait

    def incoming(self, nbytes: int, source: int, variable: str) -> tuple[Any, np.ndarray]:
        """A request for a message, and the fresh buffer that it arrives in, sealed."""
        buffer = np.empty(nbytes + (_CHECKSUM_BYTES if self._checksum else 0), np.uint8)
        return self.comm.Irecv(buffer, source, self.tags[variable]), buffer

    def sealed(self, message: np.ndarray) -> np.ndarray:
        """A message as it travels, with its checksum where there is to be one."""
        return np.append(message, _checksum(message)) if self._checksum else message

    def unsealed(self, buffer: np.ndarray, source: int, variable: str) -> np.ndarray:
        """The message that has arrived in a buffer.

        Raises:
            WorkerLostError: If it is damaged.
        """
        if not self._checksum:
            return buffer
        message, checksum = np.split(buffer, [-_CHECKSUM_BYTES])
        if (checksum != _checksum(message)).any():
            raise WorkerLostError(
                f"a message of {variable} from rank {source} to rank {self.comm.rank} arrived "
                f"damaged ({message.nbytes:,} bytes, wrong checksum); check memory and network of "
                "both",
                (source, self.comm.rank),
            )
        return message

    def until(self, arrays: Sequence[jax.Array]) -> None:
        self.wait(lambda: all(map(_is_ready, arrays)), computing=True)

    def flush(self) -> None:
        self.wait(lambda: not self._outbox and not self._sending)

    def share(self, value: T | None, worker: int) -> T:
        owner = self.comm.rank == worker
        packed = np.frombuffer(pickle.dumps(value) if owner else b"", np.uint8)
        self.control_bytes += packed.nbytes
        size = np.array([packed.size])
        self.wait(self.comm.Ibcast(size, worker).Test)
        buffer = packed if owner else np.empty(size[0], np.uint8)
        self.wait(self.comm.Ibcast(buffer, worker).Test)
        return value if owner else pickle.loads(buffer.tobytes())  # type: ignore[return-value]

    def begin_sum(
        self, values: Sequence[np.ndarray], counts: Sequence[int]
    ) -> Callable[[], np.ndarray]:
        (own,) = values
        self.control_bytes += own.nbytes
        every = np.empty((sum(counts), *own.shape[1:]), own.dtype)
        elements = [count * math.prod(own.shape[1:]) for count in counts]
        request = self.comm.Iallgatherv(np.ascontiguousarray(own), (every, elements))

        def wait() -> np.ndarray:
            self.wait(request.Test)
            return in_order(list(every))

        return wait

    def gather(self, value: T) -> list[T]:
        packed = np.frombuffer(pickle.dumps(value), np.uint8)
        self.control_bytes += packed.nbytes
        sizes = np.empty(self.size, int)
        self.wait(self.comm.Iallgather(np.array([packed.size]), sizes).Test)
        every = np.empty(sizes.sum(), np.uint8)
        self.wait(self.comm.Iallgatherv(packed, (every, sizes)).Test)
        return [pickle.loads(part.tobytes()) for part in np.split(every, sizes.cumsum()[:-1])]

    def at_root(self, function: Callable[[], T]) -> T:
        outcome, failure = self.share(self._attempt(function) if self.is_root else None, 0)
        if failure is not None:
            raise failure
        return outcome  # type: ignore[return-value]

    def deal(self, make: Callable[[int], T]) -> list[T]:
        tag = self.tags[DATA]
        if self.is_root:
            value, failure = self._attempt(partial(make, 0))
            for worker in range(1, self.size):
                made = self._attempt(partial(make, worker))
                packed = np.frombuffer(pickle.dumps(made), np.uint8)
                self.control_bytes += packed.nbytes
                size = np.array([packed.size])
                for buffer in (size, packed):
                    self.wait(self.comm.Isend(buffer, worker, tag).Test)
        else:
            size = np.empty(1, int)
            self.wait(self.comm.Irecv(size, 0, tag).Test, source=0)
            buffer = np.empty(size[0], np.uint8)
            self.wait(self.comm.Irecv(buffer, 0, tag).Test, source=0)
            value, failure = pickle.loads(buffer.tobytes())
        for each in self.gather(failure):  # one may have failed after others were served
            if each is not None:
                raise each
        return [value]  # type: ignore[list-item]

    def agreed(self, function: Callable[[], T]) -> T:
        outcome, failure = self._attempt(function)
        for each in self.gather(failure):
            if each is not None:
                raise each
        return outcome  # type: ignore[return-value]

    def _attempt(self, function: Callable[[], T]) -> tuple[T | None, Exception | None]:
        """What a function returns, or why it does not, as other processes can read it."""
        try:
            return function(), None
        except (AdmmError, MemoryError) as error:  # `memory_told` knows the second one
            return None, error
        except (Exception, SystemExit) as error:  # the others would wait for ever
            failure = AdmmError(f"rank {self.comm.rank} failed: {type(error).__name__}: {error}")
            failure.add_note("".join(traceback.format_exception(error)).rstrip())
            return None, failure

    def close(self) -> None:
        self.flush()
        self.comm.Free()
        self._questions.Free()

    def wait(
        self,
        done: Callable[[], bool],
        computing: bool = False,
        source: int | None = None,
        rounds: int = 1,
    ) -> None:
        """Move messages until `done`.

        Args:
            done: Asked again and again.
            computing: Whether what is waited for is this process's own computation.
            source: Rank that is waited for, if it is a single one.
            rounds: So many timeouts may pass while all ranks answer: more than one where another
                may be busy for longer with what this one does not see.

        Raises:
            WorkerLostError: After the timeout, or timeouts.
        """
        start = idle_since = looked = time.perf_counter()
        while True:
            finished = done()
            self.progress()  # afterwards: what is waited for may be a message to post
            if finished:
                break
            now = time.perf_counter()
            if computing or (self.computing is not None and not _is_ready(self.computing)):
                idle_since = now
            if now - looked > _LOOK_EVERY:
                self._answer()
                looked = now
            if now - idle_since > self._timeout:
                rounds -= 1
                lost = self._lost(source)
                if lost.workers or rounds == 0:
                    raise lost
                idle_since = time.perf_counter()
            pause = min((now - start) / 8, _LONGEST_PAUSE)
            time.sleep(pause if now - start > _SPIN_SECONDS else 0)
        if not computing:
            self.waited += time.perf_counter() - idle_since

    # Who is still there?

    def _lost(self, source: int | None) -> WorkerLostError:
        """The error that names the ranks which do not answer."""
        others = set(range(self.size)) - {self.comm.rank}
        self._alive.clear()
        self._answer()
        now = time.monotonic()
        # Who asked longer ago than a timeout was content with the answers.
        self._asked = {rank: t for rank, t in self._asked.items() if now - t < self._timeout}
        late = any(now - asked > _PATIENCE for asked in self._asked.values())
        for rank in others:
            self._say(_QUESTION, rank)
        end = time.monotonic() + _PATIENCE
        while self._alive != others and time.monotonic() < end:
            self._answer()
            time.sleep(_LONGEST_PAUSE)
        silent = tuple(sorted(others - self._alive))
        if silent:
            who = " and ".join(f"rank {rank}" for rank in silent)
            message = f"{who} silent for {self._timeout:g} s"
        else:
            who = "the other ranks" if source is None else f"rank {source}"
            message = f"no message from {who} for {self._timeout:g} s, though all ranks answer"
        # Whoever asked first tells, the lowest of those who asked at the same time.
        spokesman = not late and all(self.comm.rank < rank for rank in self._asked)
        message += f"; a {spelled('timeout')} above its longest computation lets a slow one finish"
        return WorkerLostError(message, silent, spokesman)

    def _answer(self) -> None:
        """Answer questions, and note answers."""
        status = launch.status()
        while self._questions.Iprobe(status=status):
            self._questions.Recv(np.empty(0, np.uint8), status.source, status.tag)
            if status.tag == _QUESTION:
                self._asked[status.source] = time.monotonic()
                self._say(_ANSWER, status.source)
            else:
                self._alive.add(status.source)

    def _say(self, what: int, rank: int) -> None:
        self._said = [request for request in self._said if not request.Test()]
        self._said.append(self._questions.Isend(np.empty(0, np.uint8), rank, what))


def _checksum(message: np.ndarray) -> np.ndarray:
    return np.frombuffer(zlib.crc32(message.data).to_bytes(_CHECKSUM_BYTES, "little"), np.uint8)


def _is_ready(array: jax.Array) -> bool:
    return array.is_ready()  # type: ignore[attr-defined]  # every concrete array has it
