"""Workers of stochastic ADMM: owners of consecutive subnetworks, who pass micro-batches along.

An epoch is a sequence of ticks. In tick t of S subnetworks, numbered from 0,

- subnetwork j passes batch t − j up, first of all;
- then it passes batch t − (2(S − 1) − j) down, whose multiplier the tick before has brought;
- then all subnetworks take a W-step, if that batch of subnetwork 0 was the last of a group: each
  of the batches that have come down to it since the last one.

A W-step takes as long as many a tick. In one tick for all, no worker waits for another's. All
subnetworks work in every tick, nothing that is sent is needed in the same tick, and the ticks
are the same however the subnetworks are dealt out: so are the iterates. What goes up is on its way
while batches go down, and the other way round.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from admm.comm import Arrived, BatchChannel, Cut, Neighbors, Transport, fill_leaves, named_leaves
from admm.solvers.stochastic import (
    Place,
    Record,
    StochasticADMM,
    Window,
    groups_ahead,
    slots_at_once,
)
from layers import Affine, activate, affine, sides
from quant import Codec

VARIABLES = ("q", "g")  # up and down


class Codecs(NamedTuple):
    """How messages travel."""

    up: Codec
    down: Codec


class Schedule(NamedTuple):
    """The micro-batches and W-steps of an epoch, the same on all workers."""

    order: np.ndarray  # (batches, rows)  numbers of the rows
    groups: Sequence[range]  # batches of every W-step of subnetwork 0
    rates: Sequence[float]  # η of every W-step
    decay: float  # ω
    key: PRNGKeyArray  # of the dropout


class StochasticWorker:
    """Consecutive subnetworks on one device, each of consecutive layers.

    Memory of a layer of subnetwork j of S, B being the rows of a micro-batch (of a convolution,
    images, not patches): W, b and two matrices of (n_in + 1)²; (2(S − 1 − j) + 1)·B rows of p and
    of s, which wait for their multipliers; and of p and δ as many rows as the largest group has, j
    micro-batches more in the first W-step of an epoch, and up to max(B, 64) more.

    Args:
        index: Number of the worker, from 0.
        solver: The algorithm.
        transport: Ways to the neighbours.
        codecs: How q and g travel.

    Attributes:
        loss: R as the last epoch saw it, summed over rows, where the last subnetwork is.
        bound: W-steps of the last epoch that κ bound.
    """

    def __init__(
        self, index: int, solver: StochasticADMM, transport: Transport, codecs: Codecs
    ) -> None:
        self.index = index
        self.device = transport.device(index)
        self._solver = solver
        self._transport = transport
        self._codecs = codecs
        self._compiled: set[tuple[tuple[int, ...], ...]] = set()
        transport.declare(*VARIABLES)

    def start(
        self,
        network: Sequence[Sequence[Affine]],
        own: range,
        total: int,
        neighbors: Neighbors,
        inputs: Array | None,
        targets: Array | None,
        basis: Array | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Take subnetworks to train.

        Args:
            network: Layers of each own subnetwork.
            own: Numbers of these, from 0.
            total: S.
            neighbors: Workers below and above.
            inputs: X, the training rows first; only the worker of the first subnetwork needs it.
            targets: What the loss compares the outputs with; only that of the last one needs it.
            basis: What the inputs are multiplied by when some of them have been dropped, for the
                first layer to read.
            shape: Of one row that the first own layer reads, by default as many numbers as its W
                takes.
        """
        started = [[self._solver.init(params) for params in part] for part in network]
        self._parts = jax.device_put(started, self.device)
        self._span = _Span(own.start, own.stop, total)
        is_first, is_last = own.start == 0, own.stop == total
        given = (inputs, basis) if is_first else (None, None), targets if is_last else None
        self._inputs, self._targets = jax.device_put(given, self.device)
        self._dtype = jax.tree.leaves(network)[0].dtype
        shape = shape or sides(network[0][0])[:1]
        self._records, self._outputs = self._shapes(shape)
        self._below = self._cut(neighbors.below, self.index, shape)
        self._above = self._cut(self.index, neighbors.above, self._outputs[-1])
        self._places = [self._span.places(n, own) for n, own in enumerate(self._records)]
        others = {neighbors.below, neighbors.above} - {None}
        self._is_split = not others <= set(self._transport.local)
        self.loss, self.bound = self._zeros(), self._zeros()

    def _shapes(self, shape: tuple[int, ...]) -> tuple[list[list[Record]], list[tuple[int, ...]]]:
        """What own layers keep of a micro-batch of one row, and what subnetworks make of the row.

        Args:
            shape: Of one row that the first one reads.
        """
        records, outputs = [], []
        for index, part in enumerate(self.network):
            last = self._span.is_top and index == len(self._parts) - 1
            row = jax.ShapeDtypeStruct((1, *shape), self._dtype)
            kept, output = jax.eval_shape(partial(self._solver.up, last=last), part, row)
            shape = output.shape[1:]
            records.append(kept)
            outputs.append(shape)
        return records, outputs

    def _zeros(self, *shape: int) -> Array:
        return jnp.zeros(shape, self._dtype, device=self.device)

    def _cut(
        self, lower: int | None, upper: int | None, shape: tuple[int, ...]
    ) -> Cut[BatchChannel] | None:
        if lower is None or upper is None:
            return None
        ends = zip(self._codecs, VARIABLES, ((lower, upper), (upper, lower)), strict=True)
        return Cut(
            *[
                BatchChannel(
                    self._transport,
                    codec,
                    (variable, *way),
                    lambda rows: self._zeros(rows, *shape),
                    None,
                )
                for codec, variable, way in ends
            ]
        )

    # An epoch.

    def iteration(self, schedule: Schedule) -> Iterator[None]:
        """An epoch, tick by tick; it may go on after the generator has ended, see `finish`."""
        span, batches = self._span, list(schedule.order)
        every = [groups_ahead(schedule.groups, part) for part in range(span.first, span.stop)]
        steps = {group[-1] + span.round_trip: n for n, group in enumerate(schedule.groups)}
        self._begin(schedule, every)
        self._compile(schedule)
        for channel in (self._below and self._below.up, self._above and self._above.down):
            if channel:
                channel.begin(batches)
        for tick in range(len(batches) + span.round_trip):
            if tick in span.up(len(batches)):
                self._pass_up(tick, batches)
            if tick in span.down(len(batches)):
                self._pass_down(tick, batches)
            if tick in steps:
                step = steps[tick]
                for index, own in enumerate(every):
                    if own[step]:
                        count = len(own[step])
                        self._step(index, count, schedule.rates[step], schedule.decay)
            yield
        del self._epoch

    def _begin(self, schedule: Schedule, every: Sequence[Sequence[range]]) -> None:
        size = schedule.order.shape[1]
        waiting, windows = [], []

        def rows(slots: int, record: Record) -> tuple[Array, Array]:
            p, s = (self._zeros(slots, size, *each.shape[1:]) for each in record)
            return p, s

        for index, (records, groups) in enumerate(zip(self._records, every, strict=True)):
            slots = slots_of(groups, size)
            waiting.append([Record(*rows(self._span.waiting(index), each)) for each in records])
            windows.append([Window(*rows(slots, each), self._zeros(slots)) for each in records])
        positions = [np.concatenate([np.arange(len(own)) for own in groups]) for groups in every]
        given = np.asarray(schedule.order, np.int32), np.asarray(positions, np.int32), schedule.key
        self._epoch = _Epoch(*jax.device_put(given, self.device))
        self._waiting, self._windows = waiting, windows
        # Of the first and the last one, messages of other workers where there are such.
        self._q: list[Arrived] = [
            self._zeros(size, *records[0].p.shape[1:]) for records in self._records
        ]
        self._g: list[Arrived] = [self._zeros(size, *shape) for shape in self._outputs]
        self.loss, self.bound = self._zeros(), self._zeros()

    def _compile(self, schedule: Schedule) -> None:
        """Run all programs of new shapes once, on no batch and copies.

        So ranks compile at the same time, and none for the first time behind a message.
        """
        shapes = (schedule.order.shape, *(part[0].p.shape for part in self._windows))
        if not self._is_split or shapes in self._compiled:
            return
        self._compiled.add(shapes)
        size = schedule.order.shape[1]
        if self._below is not None:
            self._q[0] = self._below.up.empty(size)
        if self._above is not None:
            self._g[-1] = self._above.down.empty(size)
        self._pass_up(-1, [])
        self._pass_down(-1, [])
        for part, windows, places in zip(self._parts, self._windows, self._places, strict=True):
            for layer, window, place in zip(part, windows, places, strict=True):
                copy = jax.tree.map(jnp.copy, layer)
                _step(self._solver, copy, window, 1, schedule.rates[0], schedule.decay, place)

    def _pass_up(self, tick: int, batches: Sequence[np.ndarray]) -> None:
        span = self._span
        number = tick - span.first
        if self._below is not None and number in range(len(batches)):
            self._q[0] = self._below.up.receive_coded()
        self._waiting, outputs = self._run(
            "up",
            _up,
            *(self._solver, span, self._codecs.up, self.network, self._waiting, self._q),
            *(self._inputs, self._epoch, tick),
        )
        self._q[1:] = outputs[:-1]
        number = tick - (span.stop - 1)
        if self._above is not None and number in range(len(batches)):
            self._above.up.send_coded(outputs[-1], batches[number])

    def _pass_down(self, tick: int, batches: Sequence[np.ndarray]) -> None:
        span = self._span
        number = tick - span.lag(-1)
        if self._above is not None and number in range(len(batches)):
            self._g[-1] = self._above.down.receive_coded()
        self._windows, outputs, self.loss = self._run(
            "down",
            _down,
            *(self._solver, span, self._codecs.down),
            *(self.network, self._waiting, self._windows, self._g),
            *(self._targets, self._epoch, tick, self.loss),
        )
        self._transport.computing = self.loss
        self._g[:-1] = outputs[1:]
        number = tick - span.lag(0)
        if self._below is not None and number in range(len(batches)):
            self._below.down.send_coded(outputs[0], batches[number])

    def _step(self, index: int, count: int, rate: float, decay: float) -> None:
        part, places = self._parts[index], self._places[index]
        for number, window in enumerate(self._windows[index]):
            part[number], bound = self._run(
                f"step {self._span.first + index + 1}",
                _step,
                *(self._solver, part[number], window, count, rate, decay, places[number]),
            )
            self.bound += bound

    def _run(self, name: str, function: Callable, *arguments: Any) -> Any:
        return self._transport.traced("compute", name, function, *arguments)

    def finish(self) -> None:
        """Wait until the epoch is done."""
        self._transport.flush()
        self._transport.until(jax.tree.leaves(self._parts))

    # Between epochs.

    @property
    def network(self) -> list[list[Affine]]:
        """Layers of each own subnetwork as they are now; the next W-step overwrites them."""
        return [[layer.params for layer in part] for part in self._parts]

    def apply(self, x: Array) -> Array:
        """Pass rows through the own layers."""
        every = [params for part in self.network for params in part]
        for number, params in enumerate(every, start=1):
            x = _apply(params, x, last=self._span.is_top and number == len(every))
        return x

    def state(self) -> list[dict[str, Array]]:
        """All that the next epoch needs of the own subnetworks, by name; `finish` comes before."""
        return [named_leaves(part) for part in self._parts]

    def restore(self, numbers: Sequence[int], read: Callable[[int], Mapping[str, Array]]) -> None:
        """Go on from a state; `start` comes before."""
        self._parts = [
            fill_leaves(part, jax.device_put(dict(read(number)), self.device))
            for number, part in zip(numbers, self._parts, strict=True)
        ]


def slots_of(groups: Sequence[range], size: int) -> int:
    """Micro-batches that a window has room for; the last slot is for batches that are none.

    Example:
        >>> slots_of([range(18), range(18, 36)], size=10)
        24
    """
    slots = max(map(len, groups)) + 1
    return slots + -slots % slots_at_once(size)


class _Epoch(NamedTuple):
    order: Array  # (batches, rows)
    positions: Array  # (subnetworks, batches)  of a batch in its group
    key: Array


class _Span(NamedTuple):
    """The subnetworks of a worker."""

    first: int
    stop: int
    total: int

    @property
    def is_bottom(self) -> bool:
        return self.first == 0

    @property
    def is_top(self) -> bool:
        return self.stop == self.total

    @property
    def round_trip(self) -> int:
        """Ticks of a batch from its way up through the first subnetwork to its way down."""
        return 2 * (self.total - 1)

    def lag(self, index: int) -> int:
        """The tick in which the first batch comes down to an own subnetwork."""
        return self.round_trip - range(self.first, self.stop)[index]

    def waiting(self, index: int) -> int:
        """Batches between their ways up and down, the present one included."""
        return 2 * (self.total - 1 - self.first - index) + 1

    def up(self, batches: int) -> range:
        """The ticks in which batches go up here."""
        return range(self.first, batches + self.stop - 1)

    def down(self, batches: int) -> range:
        """The ticks in which batches come down here."""
        return range(self.lag(-1), batches + self.lag(0))

    def places(self, index: int, records: Sequence[Record]) -> list[Place]:
        """Those of the layers of an own subnetwork, from what they keep of a micro-batch."""
        number, last = self.first + index, len(records) - 1
        return [
            Place(
                reads_data=(number == 0 and n == 0) or len(record.p.shape) > 2,
                is_last=number == self.total - 1 and n == last,
            )
            for n, record in enumerate(records)
        ]


@partial(jax.jit, static_argnames="last")
def _apply(layer: Affine, x: Array, last: bool) -> Array:
    s = affine(layer, x)
    return s if last else activate(layer, s)


_step = jax.jit(StochasticADMM.step, static_argnames=("self", "place"), donate_argnames="layer")


@partial(jax.jit, static_argnames=("solver", "span", "codec"), donate_argnames="waiting")
def _up(
    solver: StochasticADMM,
    span: _Span,
    codec: Codec,
    network: list[list[Affine]],
    waiting: list[list[Record]],
    q: list[Array],
    inputs: tuple[Array | None, Array | None],
    epoch: _Epoch,
    tick: Array,
) -> tuple[list[list[Record]], list[Array]]:
    """What waits in each own subnetwork, and its output; of no batch too, which nobody reads.

    What comes from other workers and what goes to them are messages.
    """
    kept, outputs = [], []
    if not span.is_bottom:
        q = [_decode(codec, q[0], jnp.zeros_like(waiting[0][0].p[0])), *q[1:]]
    for index, (part, rings) in enumerate(zip(network, waiting, strict=True)):
        batch, x = tick - (span.first + index), q[index]
        if span.first + index == 0:
            number, (rows, basis) = jnp.clip(batch, 0, len(epoch.order) - 1), inputs
            assert rows is not None  # the worker of the first subnetwork has them
            x = solver.drop(rows[epoch.order[number]], jax.random.fold_in(epoch.key, number))
            x = x if basis is None else x @ basis
        records, output = solver.up(part, x, last=span.is_top and index == len(network) - 1)
        slot = batch % span.waiting(index)
        kept.append(
            [
                Record(*[ring.at[slot].set(rows) for ring, rows in zip(ring, record, strict=True)])
                for ring, record in zip(rings, records, strict=True)
            ]
        )
        outputs.append(output)
    if not span.is_top:
        outputs[-1] = _encode(codec, outputs[-1])
    return kept, outputs


@partial(jax.jit, static_argnames=("solver", "span", "codec"), donate_argnames="windows")
def _down(
    solver: StochasticADMM,
    span: _Span,
    codec: Codec,
    network: list[list[Affine]],
    waiting: list[list[Record]],
    windows: list[list[Window]],
    g: list[Array],
    targets: Array | None,
    epoch: _Epoch,
    tick: Array,
    loss: Array,
) -> tuple[list[list[Window]], list[Array | None], Array]:
    """The windows, the multiplier for below each own subnetwork, and the sum of the loss.

    What comes from other workers and what goes to them are messages.
    """
    kept: list[list[Window]] = []
    outputs: list[Any] = []
    if not span.is_top:
        output = activate(network[-1][-1], waiting[-1][-1].s[0])
        g = [*g[:-1], _decode(codec, g[-1], jnp.zeros_like(output))]
    for index, (part, rings) in enumerate(zip(network, waiting, strict=True)):
        batch = tick - span.lag(index)
        number = jnp.clip(batch, 0, len(epoch.order) - 1)
        slot = batch % span.waiting(index)
        records = [Record(*[ring[slot] for ring in both]) for both in rings]
        s = records[-1].s
        if targets is not None and index == len(network) - 1:
            delta, value = solver.at_top(s, targets[epoch.order[number]])
            loss += jnp.where(batch == number, value, 0)
        else:
            delta = solver.pull(s, g[index], partial(activate, part[-1]))
        deltas, below = solver.down(part, records, delta)
        position = epoch.positions[index, number]
        slot = jnp.where(batch == number, position, len(windows[index][0].p) - 1)
        kept.append(
            [
                Window(
                    window.p.at[slot].set(record.p),
                    window.delta.at[slot].set(delta),
                    window.squares.at[slot].set(jnp.sum(record.s**2)),
                )
                for window, record, delta in zip(windows[index], records, deltas, strict=True)
            ]
        )
        outputs.append(below if span.first + index > 0 else None)
    if not span.is_bottom:
        outputs[0] = _encode(codec, outputs[0])
    return kept, outputs, loss


def _encode(codec: Codec, rows: Array) -> Array:
    return codec.encode(rows, jnp.zeros_like(rows))


def _decode(codec: Codec, message: Array, blank: Array) -> Array:
    """What the sender's own decoder makes of a message, whatever reads it."""
    return jax.lax.optimization_barrier(codec.decode(message, blank))
