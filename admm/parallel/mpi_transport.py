"""The transport over MPI: one worker on every rank.

Messages are NumPy buffers through `Isend` and `Irecv`. Two rules keep them intact: a send buffer
lives until its request is complete, and every message is received into a fresh buffer, since JAX
may alias a NumPy array for as long as it likes (jax issue 37830).
"""

import pickle
import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from admm.errors import AdmmError
from admm.parallel import mpi
from admm.parallel.transport import Message, Transport

T = TypeVar("T")

_TAGS = {"p": 1, "q": 2, "evaluation": 3, "activation": 4, "gradient": 5}

# A wait polls without pause for this long, then between short sleeps: where ranks share a core,
# it would otherwise take the core from the very rank it waits for.
_SPIN_SECONDS = 200e-6
_SLEEP_SECONDS = 50e-6


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
        self._sending: list[tuple[Any, np.ndarray]] = []

    def device(self, worker: int) -> jax.Device:
        return jax.local_devices()[0]

    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        buffer = np.asarray(message)  # waits until the message is computed
        self._sending = [entry for entry in self._sending if not entry[0].Test()]
        self._sending.append((self.comm.Isend(buffer, target, _TAGS[variable]), buffer))

    def expect(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Message]:
        buffer = np.empty(nbytes, np.uint8)
        request = self.comm.Irecv(buffer, source, _TAGS[variable])

        def wait() -> Message:
            self._wait(request)
            return jax.device_put(buffer, self.device(target))

        return wait

    def flush(self) -> None:
        for request, _ in self._sending:
            self._wait(request)
        self._sending = []

    def share(self, value: T | None, worker: int) -> T:
        owner = self.comm.rank == worker
        packed = np.frombuffer(pickle.dumps(value) if owner else b"", np.uint8)
        size = np.array([packed.size])
        self._wait(self.comm.Ibcast(size, worker))
        buffer = packed if owner else np.empty(size[0], np.uint8)
        self._wait(self.comm.Ibcast(buffer, worker))
        return value if owner else pickle.loads(buffer.tobytes())  # type: ignore[return-value]

    def total(self, values: np.ndarray) -> np.ndarray:
        result = np.empty_like(values)
        self._wait(self.comm.Iallreduce(values, result))
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

    def _wait(self, request: Any) -> None:
        start = time.perf_counter()
        while not request.Test():
            if time.perf_counter() - start > _SPIN_SECONDS:
                time.sleep(_SLEEP_SECONDS)
        self.waited += time.perf_counter() - start
