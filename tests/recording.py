"""Transports that keep all that leaves a worker, for tests of what a run gives away."""

import pickle
from collections.abc import Sequence
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
        self.messages.append(Message(kind, self.local[0], None, pickle.dumps(value)))

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


def messages_of(transport: Recording) -> list[Message]:
    """What went from worker to worker: no control values."""
    return [each for each in transport.messages if each.target is not None]


def holders(messages: Sequence[Message], array: Any) -> set[str]:
    """The variables whose messages hold a row of an array, or the start of one, in any float type.

    Rows with no more than two different numbers are left out: zeros are in everything.
    """
    rows = np.atleast_2d(np.asarray(array))[:, :64]
    telling = [row for row in rows if len(np.unique(row)) > 2]
    assert telling
    pieces = [row.astype(f"float{n}").tobytes() for n in (16, 32, 64) for row in telling]
    return {each.variable for each in messages if any(piece in each.data for piece in pieces)}
