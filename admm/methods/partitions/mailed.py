"""Stale halos that nobody waits for: asynchronous DIGEST."""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from admm.comm import Mailbox
from admm.methods.partitions.halos import Each, Stale
from layers import GraphLayer


def mail(number: int) -> str:
    """The variable of H_l in a mailbox."""
    return f"mail_{number}"


class Mailed(Stale):
    """The newest halo that has arrived, whatever its age.

    Every N epochs of its own a rank mails its boundary rows. It skips a neighbour that has not
    begun to receive the rows before. In each epoch it takes up what has come. The first
    epoch is as that of `Stale`: all ranks exchange their rows within its forward pass.

    Args:
        mailbox: Of this rank.
        given: See `Halo`.

    Attributes:
        skipped: Messages that were not sent.
    """

    def __init__(self, mailbox: Mailbox, *given: Any) -> None:
        self._mailbox = mailbox
        self.skipped = 0
        super().__init__(*given)

    def start(self) -> None:
        super().start()
        for number, way in self._up.items():
            for source, nbytes in way.sources.items():
                self._mailbox.expect(source, mail(number), nbytes)

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        if epoch == 1:
            return (yield from super().sums(epoch, number, network, h))
        yield from self._pause(h)
        if self._is_due(epoch):
            self._mail(number, h)
            self._take_up(number, self._up[number].renew(h, self.rows[number]))
        self._collect(number)
        return self._c[number]

    def back(
        self, epoch: int, number: int, dh: Each, dc: Each, h: Each
    ) -> Generator[None, None, Each]:
        yield from self._pause(dh)
        return dh

    def _pause(self, arrays: Each) -> Generator[None]:
        """Let the rank serve others: what it computes for them would queue behind an epoch."""
        self._mailbox.transport.until(arrays)
        yield

    def _mail(self, number: int, h: Each) -> None:
        way, mailbox = self._up[number], self._mailbox
        for target in way.targets:
            if mailbox.is_free(target, mail(number)):
                mailbox.send(np.asarray(way.pack(target, h)), target, mail(number))
            else:
                self.skipped += 1

    def _collect(self, number: int) -> None:
        """Take up what has come."""
        way, halo = self._up[number], self.rows[number]
        for source in way.sources:
            for message in self._mailbox.take(source, mail(number)):
                halo = way.unpack(source, message, halo)
        if halo is not self.rows[number]:
            self._take_up(number, halo)

    def settle(self) -> None:
        for number in self._up:
            self._collect(number)
