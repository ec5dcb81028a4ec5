"""The transport over MPI: one worker on every rank.

Messages are NumPy buffers through `Isend` and `Irecv`. Two rules keep them intact: a send buffer
lives until its request is complete, and every message is received into a fresh buffer, since JAX
may alias a NumPy array for as long as it likes (jax issue 37830).
"""

import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from admm.errors import AdmmError
from admm.parallel import mpi
from admm.parallel.transport import Message, Transport

T = TypeVar("T")

_TAGS = {"p": 1, "q": 2, "evaluation": 3, "activation": 4, "gradient": 5, "f": 6}

# A wait polls between pauses that grow with it: where the computation that it waits for, or the
# rank that it waits for, shares the core, polling takes time from it.
_SPIN_SECONDS = 100e-6
_LONGEST_PAUSE = 1e-3


class MPITransport(Transport):
    """One worker on this rank of a communicator.

    Args:
        comm: An mpi4py communicator; the rank is the worker's number.
    """

    def __init__(self, comm: Any) -> None:
        super().__init__()
        self.comm = comm
        self.library = mpi.library()
        self.size = comm.size
        self.local = (comm.rank,)
        self._outbox: deque[tuple[Message, int, int]] = deque()  # not yet computed
        self._sending: list[tuple[Any, np.ndarray]] = []

    def device(self, worker: int) -> jax.Device:
        return jax.local_devices()[0]

    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        self._outbox.append((message, target, _TAGS[variable]))
        self.progress()

    def progress(self) -> None:
        while self._outbox and _is_ready(self._outbox[0][0]):
            message, target, tag = self._outbox.popleft()
            buffer = np.asarray(message)
            self._sending.append((self.comm.Isend(buffer, target, tag), buffer))
        self._sending = [entry for entry in self._sending if not entry[0].Test()]

    def expect(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Message]:
        buffer = np.empty(nbytes, np.uint8)
        request = self.comm.Irecv(buffer, source, _TAGS[variable])

        def wait() -> Message:
            self._wait(request.Test)
            return jax.device_put(buffer, self.device(target))

        return wait

    def until(self, arrays: Sequence[jax.Array]) -> None:
        self._wait(lambda: all(map(_is_ready, arrays)), computing=True)

    def flush(self) -> None:
        self._wait(lambda: not self._outbox and not self._sending)

    def share(self, value: T | None, worker: int) -> T:
        owner = self.comm.rank == worker
        packed = np.frombuffer(pickle.dumps(value) if owner else b"", np.uint8)
        size = np.array([packed.size])
        self._wait(self.comm.Ibcast(size, worker).Test)
        buffer = packed if owner else np.empty(size[0], np.uint8)
        self._wait(self.comm.Ibcast(buffer, worker).Test)
        return value if owner else pickle.loads(buffer.tobytes())  # type: ignore[return-value]

    def total(self, values: np.ndarray) -> np.ndarray:
        result = np.empty_like(values)
        self._wait(self.comm.Iallreduce(values, result).Test)
        return result

    def gather(self, value: T) -> list[T]:
        return [self.share(value, worker) for worker in range(self.size)]

    def at_root(self, function: Callable[[], T]) -> T:
        outcome: Any = None
        if self.is_root:
            try:
                outcome = function()
            except AdmmError as error:
                outcome = error
        outcome = self.share(outcome, 0)
        if isinstance(outcome, AdmmError):
            raise outcome
        return outcome

    def _wait(self, done: Callable[[], bool], computing: bool = False) -> None:
        """Move messages until `done`.

        Args:
            done: Asked again and again.
            computing: Whether what is waited for is this process's own computation.
        """
        start = idle_since = time.perf_counter()
        while True:
            finished = done()
            self.progress()  # afterwards: what is waited for may be a message to post
            if finished:
                break
            now = time.perf_counter()
            if computing or (self.computing is not None and not _is_ready(self.computing)):
                idle_since = now
            pause = min((now - start) / 8, _LONGEST_PAUSE)
            time.sleep(pause if now - start > _SPIN_SECONDS else 0)
        if not computing:
            self.waited += time.perf_counter() - idle_since


def _is_ready(array: jax.Array) -> bool:
    return array.is_ready()  # type: ignore[attr-defined]  # every concrete array has it
