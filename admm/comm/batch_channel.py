"""How variables of mini-batches cross a cut between two subnetworks."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Int32

from admm.comm.trace import Category
from admm.comm.transport import Arrived, Message, Transport
from quant import Codec

Batch = Int32[np.ndarray, " _"]
"""Numbers of the samples of a mini-batch; sizes of batches differ."""

Zeros = Callable[[int], Array]  # rows of zeros

Way = TypeVar("Way", bound="Queue")

# Messages that are announced ahead of the one that is waited for.
_AHEAD = 2


class Queue:
    """One variable's way across a cut within a worker."""

    memory: Array | None = None

    def __init__(self) -> None:
        self._arrived: deque[Array] = deque()

    def begin(self, batches: Sequence[Batch]) -> None:
        """Begin an epoch in which rows of these batches will arrive."""

    def send(self, rows: Array, batch: Batch) -> None:
        """Pass the rows of a batch on."""
        self._arrived.append(rows)

    def receive(self, batch: Batch) -> Array:
        """The rows of the next batch, which this is."""
        return self._arrived.popleft()


class BatchChannel(Queue):
    """One end of a variable's way to another worker.

    Args:
        transport: Carries the messages.
        codec: Codes them.
        way: Variable, for the tags and the byte counts; worker that sends; worker that receives.
        zeros: Makes rows.
        memory: The rows decoded last of every sample, if a codec that remembers is to code the
            change since then. Without, what it codes is the change from 0.
    """

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        way: tuple[str, int, int],
        zeros: Zeros,
        memory: Array | None,
    ) -> None:
        super().__init__()
        self._transport = transport
        self._codec = codec
        self._variable, self._source, self._target = way
        self._zeros: dict[int, Array] = {}
        self._make_zeros = zeros
        self.memory = memory
        self._announced: deque[Callable[[], Arrived]] = deque()
        self._sizes: Iterator[int] = iter(())

    def begin(self, batches: Sequence[Batch]) -> None:
        self._sizes = map(len, batches)
        for _ in range(_AHEAD):
            self._announce()

    def _announce(self) -> None:
        size = next(self._sizes, None)
        if size is not None:
            self._announced.append(
                self._transport.expect(
                    self._nbytes(size), self._source, self._target, self._variable
                )
            )

    def _nbytes(self, size: int) -> int:
        return self._codec.nbytes(self._blank(size).shape)

    def send(self, rows: Array, batch: Batch) -> None:
        previous = self._previous(batch)
        message = self._traced("encode", self._codec.encode, rows, previous)
        self.send_coded(message, batch)
        if self.memory is not None:
            self._remember(batch, self._traced("decode", self._codec.decode, message, previous))

    def send_coded(self, message: Message, batch: Batch) -> None:
        """Send rows that are coded already, where the channel has no memory."""
        elements = self._blank(len(batch)).size
        self._transport.send(message, self._source, self._target, self._variable, elements)

    def receive_coded(self) -> Arrived:
        """The next message, as it has arrived."""
        message = self._traced("wait", self._announced.popleft())
        self._announce()
        return message

    def empty(self, size: int) -> Arrived:
        """A message of so many rows that nobody has sent."""
        return np.zeros(self._nbytes(size), np.uint8)

    def receive(self, batch: Batch) -> Array:
        message = self.receive_coded()
        rows = self._traced("decode", self._codec.decode, message, self._previous(batch))
        self._remember(batch, rows)
        return rows

    def _previous(self, batch: Batch) -> Array:
        return self._blank(len(batch)) if self.memory is None else _take(self.memory, batch)

    def _remember(self, batch: Batch, rows: Array) -> None:
        if self.memory is not None:
            self.memory = _put(self.memory, batch, rows)

    def _blank(self, size: int) -> Array:
        if size not in self._zeros:
            self._zeros[size] = self._make_zeros(size)
        return self._zeros[size]

    def _traced(self, category: Category, function: Callable[..., Any], *arguments: Any) -> Any:
        name = f"{category} {self._variable}"
        return self._transport.traced(category, name, function, *arguments)


@dataclass(frozen=True)
class Cut(Generic[Way]):
    """The ways across one cut."""

    up: Way
    down: Way


@jax.jit
def _take(memory: Array, batch: Array) -> Array:
    return memory[batch]


@partial(jax.jit, donate_argnames="memory")
def _put(memory: Array, batch: Array, rows: Array) -> Array:
    return memory.at[batch].set(rows)
