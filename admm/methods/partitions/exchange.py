"""The exchange of boundary rows between parts: who needs what of whom, and the ways there."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm import Channel, Transport
from quant import Codec, Float

Pair = tuple[int, int]
"""Part that sends, and part that receives."""


@dataclass(frozen=True)
class Plan:
    """Who owns which parts, and how many rows they need of each other: all processes know it.

    Attributes:
        owned: Parts of every worker, consecutive.
        owner: (nodes,)  part of every node.
        counts: (parts, parts)  rows of part a that are in the halo of part b.
        own: Rows that arrays of own nodes have in every part, the largest part's.
        halo: Those of halos.
        inner: Stored entries of S_in, the most of all parts; of S_out likewise.
        outer: See `inner`.
        induced: Of S among own nodes and halo, where a predictor reads it.
        inputs: Values of S X that are kept of a part, the most of all.
        how: How the nodes were dealt out to the parts.
        cut: Fraction of the edges that join parts.
    """

    owned: Sequence[range]
    owner: np.ndarray
    counts: np.ndarray
    own: int
    halo: int
    inner: int
    outer: int
    induced: int
    inputs: int
    how: str
    cut: float

    @property
    def parts(self) -> int:
        return len(self.counts)

    @cached_property
    def worker(self) -> list[int]:
        """The worker of every part."""
        return [worker for worker, own in enumerate(self.owned) for _ in own]

    def pairs(self, back: bool = False) -> Iterator[tuple[Pair, int]]:
        """Pairs of parts and the rows of a message: from owners to copies, or back."""
        for a, b in np.argwhere(self.counts.T if back else self.counts).tolist():
            yield (a, b), int(self.counts[b, a] if back else self.counts[a, b])

    def crossing(self, back: bool = False) -> Iterator[tuple[Pair, int]]:
        """Those between parts of different workers."""
        for (a, b), rows in self.pairs(back):
            if self.worker[a] != self.worker[b]:
                yield (a, b), rows


class _Loop:
    """A way from one part to another of the same worker: coded alike, and never sent."""

    def __init__(self, codec: Codec, start: Array) -> None:
        self._codec, self.last, self._arrived = codec, start, deque[Array]()
        self._is_exact = codec == Float(str(start.dtype))

    def send(self, x: Array) -> None:
        if not self._is_exact:
            x = self._codec.decode(self._codec.encode(x, self.last), self.last)
        self.last = x
        self._arrived.append(x)

    def expect(self) -> None:
        pass

    def receive(self) -> Array:
        return self._arrived.popleft()


class Exchange:
    """One layer's rows in one direction, between all parts of a worker and their neighbours.

    Messages between two workers keep the order of their pairs, so that one variable serves all.

    Args:
        transport: Carries what leaves the worker.
        worker: Its number.
        plan: Who needs what.
        codec: Codes each pair's rows, with a memory of its own.
        variable: For the byte counts.
        width: Columns.
        dtype: Of the rows.
        back: Whether rows go from copies to owners.

    Attributes:
        variable: As given.
        blank: Zeros for all rows of a part's halo, or of a part.
        expected: Whether messages are announced and not yet received.
    """

    def __init__(
        self,
        transport: Transport,
        worker: int,
        plan: Plan,
        codec: Codec,
        variable: str,
        width: int,
        dtype: str,
        back: bool = False,
    ) -> None:
        device = transport.device(worker)
        self._codec, self.variable = codec, variable
        self._sent: dict[Pair, Channel | _Loop] = {}
        self._received: dict[Pair, Channel | _Loop] = {}
        for (a, b), rows in plan.pairs(back):
            source, target = plan.worker[a], plan.worker[b]
            if worker not in (source, target):
                continue
            start = jnp.zeros((rows, width), dtype, device=device)
            if source == target:
                way: Channel | _Loop = _Loop(codec, start)
            else:
                way = Channel(transport, codec, variable, source, target, start)
            if source == worker:
                self._sent[a, b] = way
            if target == worker:
                self._received[a, b] = way
        size = plan.own if back else plan.halo
        self.blank = jnp.zeros((size, width), dtype, device=device)
        self._own = plan.owned[worker]
        self.expected = False

    def send(self, rows: Callable[[int, int], Array]) -> None:
        """Send every neighbour its rows, and announce those of the neighbours.

        Args:
            rows: Those of an own part for another part.
        """
        for (a, b), way in self._sent.items():
            way.send(rows(a, b))
        for way in self._received.values():
            way.expect()
        self.expected = True

    def receive(self) -> list[list[Array]]:
        """What has been announced: of every own part the rows of its neighbours, in their order."""
        self.expected = False
        found: dict[int, list[Array]] = {part: [] for part in self._own}
        for (_, b), way in self._received.items():
            found[b].append(way.receive())
        return list(found.values())

    def state(self) -> dict[int, dict[str, Array]]:
        """The memories of the codec, by own part."""
        found: dict[int, dict[str, Array]] = {part: {} for part in self._own}
        for end, ways in (("sent", self._sent), ("received", self._received)):
            for (a, b), way in ways.items() if self._codec.remembers else ():
                part, other = (a, b) if end == "sent" else (b, a)
                found[part][f"{end}[{other}]"] = way.last
        return found

    def restore(self, states: Mapping[int, Mapping[str, Any]]) -> None:
        """Go on with the memories of `state`."""
        for end, ways in (("sent", self._sent), ("received", self._received)):
            for (a, b), way in ways.items() if self._codec.remembers else ():
                part, other = (a, b) if end == "sent" else (b, a)
                way.last = jax.device_put(states[part][f"{end}[{other}]"], way.last.device)
