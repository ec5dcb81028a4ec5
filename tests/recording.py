"""Transports that keep all that leaves a worker, for tests of what a run gives away."""

import pickle
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from admm.comm import LocalTransport, MPITransport, Transport


class Message(NamedTuple):
    """What one worker gave to others; a control value has no target and is for all."""

    variable: str
    source: int
    target: int | None
    data: bytes


class Recording(Transport):
    """Keeps every message and control value that the workers of this process hand over.

    In front of the class of a transport; `messages` has them in their order.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.messages: list[Message] = []
        super().__init__(*args, **kwargs)

    def _keep(self, kind: str, value: Any) -> None:
        source = self.local[0] if len(self.local) == 1 else -1
        self.messages.append(Message(kind, source, None, pickle.dumps(value)))

    def _send(self, message, source, target, variable):
        self.messages.append(Message(variable, source, target, np.asarray(message).tobytes()))
        super()._send(message, source, target, variable)

    def share(self, value, worker):
        if worker in self.local:
            self._keep("share", value)
        return super().share(value, worker)

    def begin_sum(self, values, counts):
        self._keep("sum", values)
        return super().begin_sum(values, counts)

    def gather(self, value):
        self._keep("gather", value)
        return super().gather(value)

    def deal(self, make):
        def kept(worker):
            value = make(worker)
            self._keep("deal", value)
            return value

        return super().deal(kept)

    def at_root(self, function):
        value = super().at_root(function)
        if self.is_root:
            self._keep("at_root", value)
        return value


class RecordingLocalTransport(Recording, LocalTransport):
    pass


class RecordingMPITransport(Recording, MPITransport):
    pass


def found_in(messages: Iterable[Message], array: Any, least: int = 12) -> list[Message]:
    """The messages that hold a piece of an array, as it is or in another type of float.

    Args:
        messages: Those of a run.
        array: Rows of it are looked for, and pieces of longer rows.
        least: Bytes that are no chance: shorter pieces are not looked for.
    """
    pieces = set()
    for dtype in ("float16", "float32", "float64"):
        for row in np.atleast_2d(np.asarray(array)).astype(dtype):
            for start in range(0, row.size, 64):
                piece = row[start : start + 64]
                # Zeros and the like are in everything.
                if piece.nbytes >= least and len(np.unique(piece)) > 2:
                    pieces.add(piece.tobytes())
    return [message for message in messages if any(piece in message.data for piece in pieces)]
