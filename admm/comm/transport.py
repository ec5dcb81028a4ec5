"""Transports: how messages get from one worker to another.

A transport knows how many workers there are and which of them live in this process. Messages are
contiguous byte arrays of a size that both ends know; small control values go through `share` and
`total`. `LocalTransport` keeps all workers in one process, each on its own JAX device;
`admm.comm.mpi_transport` has one worker on every MPI rank.
"""

import functools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Array, UInt8

from admm.comm import launch
from admm.comm.trace import Category, Trace

DATA = "data"  # what `deal` sends

Message = UInt8[Array, " nbytes"]
Arrived = Message | UInt8[np.ndarray, " nbytes"]
"""A message as it came: on the device, or on the host."""

T = TypeVar("T")


class Transport(ABC):
    """What a worker needs of the outside.

    Attributes:
        size: Number of workers of the whole run.
        local: Numbers of the workers in this process, counted from 0.
        library: Name of the message library, or None.
        tags: Number of every variable that may travel, see `declare`.
        sent: Payload bytes handed over by this process, by variable.
        control_bytes: Bytes that this process has given to `share`, `total`, `gather`, `agreed`,
            `deal` and `at_root` for others, each counted once.
        sent_as_float32: What the same arrays take in float32.
        waited: Seconds this process has been blocked in messages with nothing to compute.
        computing: The newest array under computation here: until it is ready, a message that has
            not come yet keeps nobody waiting.
        trace: Where spans are recorded, if anywhere.
    """

    size: int
    local: Sequence[int]
    library: str | None = None

    def __init__(self) -> None:
        self.tags: dict[str, int] = {}
        self.sent: Counter[str] = Counter()
        self.control_bytes = 0
        self.sent_as_float32: Counter[str] = Counter()
        self.waited = 0.0
        self.computing: jax.Array | None = None
        self.trace: Trace | None = None
        self.declare("evaluation", DATA)

    def declare(self, *variables: str) -> None:
        """Let these variables travel; all processes declare the same ones in the same order."""
        for variable in variables:
            self.tags.setdefault(variable, len(self.tags))

    def _check_declared(self, variable: str) -> None:
        if variable not in self.tags:
            raise RuntimeError(
                f"variable {variable!r} may not travel: {', '.join(self.tags)} are declared; call "
                "transport.declare in every process before the first message"
            )

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
        self._check_declared(variable)
        self.count(variable, message.nbytes, elements)
        self._send(message, source, target, variable)

    def count(self, variable: str, nbytes: int, elements: int) -> None:
        """Count a message of an array of so many elements as sent."""
        self.sent[variable] += nbytes
        self.sent_as_float32[variable] += 4 * elements

    @abstractmethod
    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        """Start the transfer as soon as the message is computed; its bytes are counted already."""

    def expect(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Arrived]:
        """Announce that a message will come; calling the result waits for it."""
        self._check_declared(variable)
        return self._await(nbytes, source, target, variable)

    @abstractmethod
    def _await(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Arrived]:
        """Prepare for the message."""

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

    def total(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Element-wise sum over all workers, in every process.

        Args:
            values: One array for every local worker. They are added in the order of the workers, so
                that the sum is the same, bit for bit, wherever these live.
        """
        return self.begin_total(values)()

    def begin_total(self, values: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
        """Begin to sum up; calling the result, in the same order everywhere, waits for the sum."""
        return self.begin_sum([each[None] for each in values], [1] * self.size)

    @abstractmethod
    def begin_sum(
        self, values: Sequence[np.ndarray], counts: Sequence[int]
    ) -> Callable[[], np.ndarray]:
        """As `begin_total`, of several summands a worker, which are added one after the other.

        Args:
            values: Those of every local worker, (summands, …).
            counts: Summands of every worker.
        """

    @abstractmethod
    def gather(self, value: T) -> list[T]:
        """The values of all processes, in order, in every process."""

    @abstractmethod
    def at_root(self, function: Callable[[], T]) -> T:
        """Run `function` in the root's process only; all get its result.

        Raises:
            AdmmError: In every process, if it raises anything, but that a MemoryError stays one.
        """

    @abstractmethod
    def deal(self, make: Callable[[int], T]) -> list[T]:
        """Values that only the root can make, each in the process of its worker.

        Args:
            make: The value of a worker; the root's process calls it for one after the other.

        Raises:
            AdmmError: In every process, if it raises anything, as of `at_root`.
        """

    @abstractmethod
    def agreed(self, function: Callable[[], T]) -> T:
        """Run `function` in every process, and return what it does in this one.

        Raises:
            AdmmError: In every process, if it raises anything in any, as of `at_root`. The first
                process that fails counts.
        """

    def close(self) -> None:
        """Give back what the transport holds of the system; all processes call it, at the end."""

    def traced(
        self, category: Category, name: str, function: Callable[..., T], *arguments: Any
    ) -> T:
        """`function(*arguments)`; under a trace as a span that ends when the result is there."""
        if self.trace is None:
            return function(*arguments)
        with self.trace.span(category, name):
            result = jax.block_until_ready(function(*arguments))
        self.progress()
        return result


def in_order(values: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of arrays, added one after the other."""
    return functools.reduce(np.add, values)


class LocalTransport(Transport):
    """Every worker in this process, on the JAX devices in turn.

    Example:
        >>> transport = LocalTransport(2)
        >>> transport.declare("q")
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
        # As over MPI, the first message goes to who first expected one, whoever waits first.
        self._messages: dict[tuple, Message] = {}  # by way and number
        self._sends: Counter[tuple] = Counter()
        self._awaits: Counter[tuple] = Counter()

    def device(self, worker: int) -> jax.Device:
        return self._devices[worker % len(self._devices)]

    def _send(self, message: Message, source: int, target: int, variable: str) -> None:
        moved = jax.device_put(message, self.device(target))
        way = source, target, variable
        self._messages[way, self._sends[way]] = moved
        self._sends[way] += 1

    def _await(self, nbytes: int, source: int, target: int, variable: str) -> Callable[[], Arrived]:
        way = source, target, variable
        number = self._awaits[way]
        self._awaits[way] += 1
        return lambda: self._messages.pop((way, number))

    def progress(self) -> None:
        pass

    def until(self, arrays: Sequence[jax.Array]) -> None:
        jax.block_until_ready(arrays)

    def flush(self) -> None:
        pass  # a message is with its receiver as soon as it is sent

    def share(self, value: T | None, worker: int) -> T:
        return value  # type: ignore[return-value]

    def begin_sum(
        self, values: Sequence[np.ndarray], counts: Sequence[int]
    ) -> Callable[[], np.ndarray]:
        return lambda: in_order([each for own in values for each in own])

    def gather(self, value: T) -> list[T]:
        return [value]

    def at_root(self, function: Callable[[], T]) -> T:
        return function()

    def deal(self, make: Callable[[int], T]) -> list[T]:
        return [make(worker) for worker in self.local]

    def agreed(self, function: Callable[[], T]) -> T:
        return function()


def local_transport(workers: int) -> LocalTransport:
    """The transport of a process that trains by itself.

    Raises:
        InputError: If a launcher started it among several, each of which would be a whole run.
    """
    launch.check_alone()
    return LocalTransport(workers)
