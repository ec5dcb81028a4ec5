"""Transports: how messages get from one worker to another.

A transport knows how many workers there are and which of them live in this process. Messages are
contiguous byte arrays of a size that both ends know; small control values go through `share` and
`total`. `LocalTransport` keeps all workers in one process, each on its own JAX device;
`admm.parallel.mpi` has one worker on every MPI rank.
"""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Array, UInt8

from admm.parallel.trace import Trace

Message = UInt8[Array, " nbytes"]
T = TypeVar("T")


class Transport(ABC):
    """What a worker needs of the outside.

    Attributes:
        size: Number of workers of the whole run.
        local: Numbers of the workers in this process, counted from 0.
        library: Name of the message library, or None.
        sent: Payload bytes handed over by this process, by variable.
        plain: What the same arrays take in float32.
        waited: Seconds this process has been blocked in messages with nothing to compute.
        computing: The newest array under computation here: until it is ready, a message that has
            not come yet keeps nobody waiting.
        trace: Where spans are recorded, if anywhere.
    """

    size: int
    local: Sequence[int]
    library: str | None = None

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.plain: Counter[str] = Counter()
        self.waited = 0.0
        self.computing: jax.Array | None = None
        self.trace: Trace | None = None

    @property
    def is_root(self) -> bool:
        """Whether worker 0, which reads data and writes files, lives here."""
        return 0 in self.local

    @abstractmethod
    def device(self, worker: int) -> jax.Device:
        """The device of a local worker."""

    def send(
        self, message: Message, source: int, target: int, variable: str, elements: int
    ) -> None:
        """Hand over the message of an array of so many elements, and return at once.

        The message may still be under computation; it leaves when that is done. Messages keep
        their order.
        """
        self.sent[variable] += message.nbytes
        self.plain[variable] += 4 * elements
        self._send(message, source, target, variable)

    @abstractmethod
    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        """Start the transfer as soon as the message is computed; its bytes are counted already."""

    @abstractmethod
    def expect(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Message]:
        """Announce that a message will come; calling the result waits for it."""

    @abstractmethod
    def progress(self) -> None:
        """Move messages on; to be called now and then where the host is long at something else."""

    @abstractmethod
    def until(self, arrays: Sequence[jax.Array]) -> None:
        """Wait until these arrays are computed, and move messages on meanwhile."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until every message sent has left this process; required before it ends.

        A large message is read from the sender's memory when its receiver gets to it.
        """

    @abstractmethod
    def share(self, value: T | None, worker: int) -> T:
        """The value that `worker` has, in every process."""

    def total(self, values: np.ndarray) -> np.ndarray:
        """Element-wise sum over processes, in every process."""
        return self.begin_total(values)()

    @abstractmethod
    def begin_total(self, values: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin to sum up; calling the result, in the same order everywhere, waits for the sum."""

    @abstractmethod
    def gather(self, value: T) -> list[T]:
        """The values of all processes, in order, in every process."""

    @abstractmethod
    def at_root(self, function: Callable[[], T]) -> T:
        """Run `function` in the root's process only; all get its result, or its AdmmError."""


class LocalTransport(Transport):
    """Every worker in this process, on the JAX devices in turn.

    Example:
        >>> transport = LocalTransport(2)
        >>> transport.send(jax.numpy.zeros(3, "uint8"), 0, 1, "q", elements=3)
        >>> transport.expect(3, 0, 1, "q")().shape
        (3,)
    """

    def __init__(self, workers: int = 1) -> None:
        super().__init__()
        if workers < 1:
            raise ValueError(f"a run needs at least one worker, got {workers}")
        self.size = workers
        self.local = range(workers)
        self._devices = jax.devices()
        self._queues: defaultdict[tuple, deque[Message]] = defaultdict(deque)

    def device(self, worker: int) -> jax.Device:
        return self._devices[worker % len(self._devices)]

    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        moved = jax.device_put(message, self.device(target))
        self._queues[source, target, variable].append(moved)

    def expect(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Message]:
        return self._queues[source, target, variable].popleft

    def progress(self) -> None:
        pass

    def until(self, arrays: Sequence[jax.Array]) -> None:
        jax.block_until_ready(arrays)

    def flush(self) -> None:
        pass  # a message is with its receiver as soon as it is sent

    def share(self, value: T | None, worker: int) -> T:
        return value  # type: ignore[return-value]

    def begin_total(self, values: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: values

    def gather(self, value: T) -> list[T]:
        return [value]

    def at_root(self, function: Callable[[], T]) -> T:
        return function()
