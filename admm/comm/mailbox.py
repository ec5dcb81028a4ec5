"""Messages between ranks that wait for nobody: the sender skips, the receiver looks.

One-sided communication of MPI would do the same without requests, but passive targets make no
progress until they enter the library.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from admm.comm import launch
from admm.comm.mpi_transport import MPITransport

Way = tuple[int, str]
"""The rank at the other end, and the variable."""


class Mailbox:
    """A rank's letter box, between `open` and `close`, which all ranks call together.

    On every way, a variable from one rank to another, at most one message is in flight. A sender
    asks `is_free` and drops what it has while the message before is not with its receiver. The
    receiver takes what has come by then. Closing leaves no message behind.

    Args:
        transport: Of this rank: its communicator, tags, checksums and timeout.
    """

    def __init__(self, transport: MPITransport) -> None:
        self.transport = transport
        self._sizes: dict[Way, int] = {}
        self._awaited: dict[Way, tuple[Any, np.ndarray]] = {}
        self._sending: dict[Way, tuple[Any, np.ndarray]] = {}
        self._arrived: defaultdict[Way, list[np.ndarray]] = defaultdict(list)

    def expect(self, source: int, variable: str, nbytes: int) -> None:
        """Let messages of a size come from a rank, as of the next `open`."""
        self._sizes[source, variable] = nbytes

    def open(self) -> None:
        """Begin to receive."""
        for way in self._sizes:
            self._await(way)

    def is_free(self, target: int, variable: str) -> bool:
        """Whether the message before is with its receiver."""
        way = (target, variable)
        if way in self._sending and self._sending[way][0].Test():
            del self._sending[way]
        return way not in self._sending

    def send(self, message: np.ndarray, target: int, variable: str) -> None:
        """Send bytes on a way that is free."""
        if not self.is_free(target, variable):
            raise RuntimeError(f"a message of {variable} is on its way to rank {target} already")
        buffer = self.transport.sealed(message)
        # It is complete when its receiver has begun to receive it, not when MPI has it.
        request = self.transport.comm.Issend(buffer, target, self.transport.tags[variable])
        self._sending[target, variable] = request, buffer

    def take(self, source: int, variable: str) -> list[np.ndarray]:
        """Messages that have come and were not taken yet, the newest last.

        Raises:
            WorkerLostError: If one is damaged.
        """
        self._look()
        return self._arrived.pop((source, variable), [])

    def close(self) -> None:
        """Receive what is in flight, and end; what was not taken can be.

        Raises:
            WorkerLostError: If a rank does not come, or a message is damaged.
        """
        self.transport.wait(self._is_quiet)
        # This rank's messages are with their receivers by now; those of others may still come.
        barrier = self.transport.comm.Ibarrier()
        self.transport.wait(lambda: self._is_quiet() and barrier.Test())
        status = launch.status()
        for way, (request, _) in list(self._awaited.items()):
            request.Cancel()
            request.Wait(status)
            if not status.Is_cancelled():
                self._keep(way)
        self._awaited.clear()

    def _await(self, way: Way) -> None:
        source, variable = way
        self._awaited[way] = self.transport.incoming(self._sizes[way], source, variable)

    def _look(self) -> None:
        """Take in what has come on any way, so that the next message of each can come."""
        for way in list(self._awaited):
            while self._awaited[way][0].Test():
                self._keep(way)
                self._await(way)

    def _keep(self, way: Way) -> None:
        _, buffer = self._awaited[way]
        self._arrived[way].append(self.transport.unsealed(buffer, *way))

    def _is_quiet(self) -> bool:
        """Take in all that has come; whether nothing of this rank's is in flight."""
        self._look()
        return all(self.is_free(*way) for way in list(self._sending))
