"""The exchange of boundary rows between parts: who needs what of whom, and the ways there."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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
        copies: Those of all copies of the rows of a part.
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
    copies: int
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

    def send(self, x: Array) -> None:
        self._arrived.append(self.decode(self.encode(x)))

    def encode(self, x: Array) -> Array:
        return self._codec.encode(x, self.last)

    def decode(self, message: Array) -> Array:
        self.last = self._codec.decode(message, self.last)
        return self.last

    def expect(self) -> None:
        pass

    def receive(self) -> Array:
        return self._arrived.popleft()


class Exchange:
    """One layer's rows in one direction, between all parts of a worker and their neighbours.

    Messages between two workers keep the order of their pairs, so that one variable serves all.
    Where the codec changes nothing, rows for parts of the same worker are taken as they are.

    Args:
        transport: Carries what leaves the worker.
        worker: Its number.
        plan: Who needs what.
        rows: Positions of what each own part sends each other part, among its own rows or, on the
            way back, those of its halo.
        codec: Codes each pair's rows, with a memory of its own.
        variable: For the byte counts.
        width: Columns.
        dtype: Of the rows.
        back: Whether rows go from copies to owners.

    Attributes:
        variable: As given.
        expected: Whether messages are announced and not yet received.
    """

    def __init__(
        self,
        transport: Transport,
        worker: int,
        plan: Plan,
        rows: Mapping[Pair, np.ndarray],
        codec: Codec,
        variable: str,
        width: int,
        dtype: str,
        back: bool = False,
    ) -> None:
        self.expected, self.variable = False, variable
        self._transport, self._plan = transport, plan
        self._codec, self._own = codec, plan.owned[worker]
        self._width, self._dtype = width, dtype
        put = partial(jax.device_put, device=transport.device(worker))
        self._sent: dict[Pair, tuple[Channel | _Loop, Array]] = {}
        self._received: dict[Pair, tuple[Channel | _Loop, int]] = {}
        size, stacked = (plan.copies, plan.halo) if back else (plan.halo, plan.own)
        local = {part: np.full(size, len(self._own) * stacked) for part in self._own}
        filled = dict.fromkeys(self._own, 0)
        for (a, b), count in plan.pairs(back):
            source, target = plan.worker[a], plan.worker[b]
            if worker not in (source, target):
                continue
            if source == target and codec == Float(dtype):
                at = filled[b]
                local[b][at : at + count] = (a - self._own.start) * stacked + rows[a, b]
                filled[b] += count
                continue
            start = put(np.zeros((count, width), dtype))
            if source == target:
                way: Channel | _Loop = _Loop(codec, start)
            else:
                way = Channel(transport, codec, variable, source, target, start)
            if source == worker:
                self._sent[a, b] = way, put(rows[a, b])
            if target == worker:
                self._received[a, b] = way, filled[b]
                filled[b] += count
        self._local = put([each.astype(np.int32) for each in local.values()])
        self._takes_local = any((each < len(self._own) * stacked).any() for each in local.values())
        self._stacked: Array | None = None

    def send(self, rows: Sequence[Array]) -> None:
        """Send every neighbour its rows of every own part, and announce those of the neighbours."""
        self._stacked = jnp.stack(rows) if self._takes_local else None
        for (a, _), (way, positions) in self._sent.items():
            way.send(_take(rows[a - self._own.start], positions))
        for way, _ in self._received.values():
            way.expect()
        self.expected = True

    def receive(self) -> list[Array]:
        """What has been announced: for every own part the rows of its neighbours, in their order.

        Spare rows at the end are 0.
        """
        self.expected = False
        found = [
            jnp.zeros((len(positions), self._width), self._dtype)
            if self._stacked is None
            else _gathered(self._stacked, positions)
            for positions in self._local
        ]
        for (_, b), (way, start) in self._received.items():
            part = b - self._own.start
            found[part] = _placed(found[part], way.receive(), start)
        self._stacked = None
        return found

    # Rows that travel by other means: to each worker in one message, and only now and then.

    @cached_property
    def targets(self) -> list[int]:
        """Other workers that need rows."""
        ways = self._sent.items()
        return sorted({self._plan.worker[b] for (_, b), (way, _) in ways if type(way) is Channel})

    @cached_property
    def sources(self) -> dict[int, int]:
        """Other workers that rows are needed of, and the bytes of their messages."""
        found: dict[int, int] = {}
        for (a, _), (way, _) in self._received.items():
            if isinstance(way, Channel):
                nbytes = self._codec.nbytes(way.last.shape)
                found[self._plan.worker[a]] = found.get(self._plan.worker[a], 0) + nbytes
        return found

    def pack(self, target: int, rows: Sequence[Array]) -> Array:
        """The message for another worker with rows of own parts, counted as sent."""
        messages = []
        for (a, b), (way, positions) in self._sent.items():
            if self._plan.worker[b] == target:
                messages.append(way.encode(_take(rows[a - self._own.start], positions)))
                size = way.decode(messages[-1]).size
                self._transport.count(self.variable, messages[-1].nbytes, size)
        return jnp.concatenate(messages)

    def unpack(self, source: int, message: np.ndarray, halo: Sequence[Array]) -> list[Array]:
        """The halo of every own part, with the rows of another worker's next message."""
        found, at = [jnp.copy(each) for each in halo], 0
        for (a, b), (way, start) in self._received.items():
            if self._plan.worker[a] == source:
                part, size = b - self._own.start, self._codec.nbytes(way.last.shape)
                rows = way.decode(jax.device_put(message[at : at + size], way.last.device))
                found[part] = _placed(found[part], rows, start)
                at += size
        return found

    def renew(self, rows: Sequence[Array], halo: Sequence[Array]) -> list[Array]:
        """The halo of every own part, with the rows of now of other own parts."""
        stacked = jnp.stack(rows)
        each_part = zip(halo, self._local, strict=True)
        found = [_renewed(each, stacked, positions) for each, positions in each_part]
        for (a, b), (way, positions) in self._sent.items():
            if isinstance(way, _Loop):
                part, (_, start) = b - self._own.start, self._received[a, b]
                new = way.decode(way.encode(_take(rows[a - self._own.start], positions)))
                found[part] = _placed(found[part], new, start)
        return found

    def state(self) -> dict[int, dict[str, Array]]:
        """The memories of the codec, by own part."""
        found: dict[int, dict[str, Array]] = {part: {} for part in self._own}
        for end, ways in (("sent", self._sent), ("received", self._received)):
            for (a, b), (way, _) in ways.items() if self._codec.remembers else ():
                part, other = (a, b) if end == "sent" else (b, a)
                found[part][f"{end}[{other}]"] = way.last
        return found

    def restore(self, states: Mapping[int, Mapping[str, Any]]) -> None:
        """Go on with the memories of `state`."""
        for end, ways in (("sent", self._sent), ("received", self._received)):
            for (a, b), (way, _) in ways.items() if self._codec.remembers else ():
                part, other = (a, b) if end == "sent" else (b, a)
                way.last = jax.device_put(states[part][f"{end}[{other}]"], way.last.device)


@jax.jit
def _take(x: Array, positions: Array) -> Array:
    return x[positions]


@jax.jit
def _gathered(stacked: Array, positions: Array) -> Array:
    rows = stacked.reshape(-1, stacked.shape[-1])
    return rows.at[positions].get(mode="fill", fill_value=0)


@jax.jit
def _renewed(halo: Array, stacked: Array, positions: Array) -> Array:
    """Rows of the halo, but those at positions of some."""
    is_new = positions < stacked.shape[0] * stacked.shape[1]
    return jnp.where(is_new[:, None], _gathered(stacked, positions), halo)


@partial(jax.jit, donate_argnames="rows")
def _placed(rows: Array, some: Array, start: int | Array) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(rows, some, start, axis=0)
