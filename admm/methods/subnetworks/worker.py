"""Workers of gsADMM and gsAM: owners of consecutive subnetworks, who pass mini-batches along.

An epoch is a sequence of ticks. In tick t of n subnetworks, numbered from 0,

- subnetwork l < n − 1 evaluates f on batch t − l, first of all, and its output goes up;
- the last one visits batch t − (n − 1), and its α(q − f) (α(p − f) of gsAM) goes down;
- subnetwork l < n − 1 visits batch t − (2(n − 1) − l), whose target the tick before has brought,
  and what it has to say of its own input goes down.

All subnetworks work in every tick, nothing that is sent is needed in the same tick, and the ticks
are the same however the subnetworks are dealt out: so are the iterates. What goes down is the
difference from f as it arrived, for the receiver to start from f as it was sent: a code that makes
f coarse for the subnetwork above pulls the one below nowhere.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from admm.comm import (
    Batch,
    BatchChannel,
    Cut,
    Neighbors,
    Queue,
    Transport,
    fill_leaves,
    named_leaves,
)
from admm.comm.batch_channel import Zeros
from admm.solvers.settings import Splitting
from admm.solvers.tssm import TSSM, Coupling, Kept, Residuals, Trained
from layers import Subnetwork, takes_key
from quant import Codec


def variables(method: Splitting) -> tuple[str, str]:
    """What travels up and down across a cut."""
    return ("f", "q") if method == "gsadmm" else ("f", "p")


def batches_in_flight(number: int, total: int) -> int:
    """Mini-batches that a subnetwork has evaluated and not visited yet, the present one included.

    Example:
        >>> [batches_in_flight(number, 3) for number in range(3)]
        [5, 3, 1]
    """
    return 2 * (total - 1 - number) + 1


class Sums(NamedTuple):
    """Of one subnetwork and the cut below it, over the samples of an epoch."""

    objective: Any  # Σ R, or Σ α/2‖q − f‖² of a lower subnetwork
    residuals: Residuals


class SubnetworkWorker:
    """Consecutive subnetworks on one device.

    Memory: parameters, the optimiser's state and gradients of the own subnetworks; for each cut
    below one of them what `TSSM.init_kept` makes, (samples, *features) each; for every mini-batch
    between its evaluation and its visit, f above and f, p, q and u below. A delta codec adds
    (samples, *features) at both ends of a cut.

    Args:
        index: Number of the worker, from 0.
        solver: The algorithm.
        transport: Ways to the neighbours.
        codec: How f, p and q travel.
        shares: Whether an equal solver and subnetwork of before may have compiled the functions:
            not where these are one's own, and may read what has changed meanwhile.
    """

    def __init__(
        self,
        index: int,
        solver: TSSM,
        transport: Transport,
        codec: Codec,
        shares: bool = False,
    ) -> None:
        self.index = index
        self.device = transport.device(index)
        self._solver = solver
        self._transport = transport
        self._codec = codec
        self._compiled: Callable[[TSSM, Subnetwork], _Compiled] = _shared if shares else _compiled
        self._parts: list[_Part] = []
        transport.declare(*variables(solver.method))

    def start(
        self,
        subnetworks: Sequence[Subnetwork],
        own: range,
        cuts: Sequence[range],
        shapes: Sequence[tuple[int, ...]],
        neighbors: Neighbors,
        samples: int,
        inputs: Array | None,
        targets: Array | None,
        dtype: str = "float32",
    ) -> None:
        """Take subnetworks to train.

        Args:
            subnetworks: The own ones, each a function of a mini-batch.
            own: Their numbers, from 0.
            cuts: Modules of every subnetwork of the network.
            shapes: Of one sample before, between and after the modules of the network.
            neighbors: Workers below and above.
            samples: M.
            inputs: X of all samples; only the worker of the first subnetwork needs it.
            targets: What the loss compares the outputs with; only that of the last one needs it.
            dtype: Type of inputs and parameters, which a subnetwork need not have.
        """
        edges = [*[cuts[number].start for number in own], cuts[own[-1]].stop]
        zeros = [self._zeros(shapes[edge], dtype) for edge in edges]
        ends = [
            self._cut(neighbors.below, self.index, zeros[0], samples),
            *[Cut(Queue(), Queue()) for _ in subnetworks[1:]],
            self._cut(self.index, neighbors.above, zeros[-1], samples),
        ]
        self._parts = []
        for index, (number, subnetwork) in enumerate(zip(own, subnetworks, strict=True)):
            params, static = eqx.partition(subnetwork, eqx.is_inexact_array)
            place = _Place(number, len(cuts))
            data = _Data(
                self._solver.init(jax.device_put(params, self.device)),
                self._solver.init_kept(partial(zeros[index], samples)) if number > 0 else None,
                jax.device_put(inputs, self.device) if number == 0 else None,
                jax.device_put(targets, self.device) if place.is_top else None,
            )
            ways = (ends[index], ends[index + 1])
            sums = self._zeros((), dtype)(1 + len(Residuals._fields))
            compiled = self._compiled(self._solver, static)
            self._parts.append(
                _Part(self._solver, static, compiled, data, sums, place, ways, self._transport)
            )

    def _zeros(self, shape: tuple[int, ...], dtype: str) -> Zeros:
        return lambda rows: jnp.zeros((rows, *shape), dtype, device=self.device)

    def _cut(self, lower: int | None, upper: int | None, zeros: Zeros, samples: int) -> Cut | None:
        if lower is None or upper is None:
            return None
        memory = zeros(samples) if self._codec.remembers else None
        up, down = variables(self._solver.method)
        return Cut(
            BatchChannel(self._transport, self._codec, (up, lower, upper), zeros, memory),
            BatchChannel(self._transport, self._codec, (down, upper, lower), zeros, None),
        )

    # An epoch.

    def iteration(
        self, batches: Sequence[Batch], first: bool, key: PRNGKeyArray | None = None
    ) -> Iterator[None]:
        """An epoch, tick by tick; it may go on after the generator has ended, see `finish`.

        Args:
            batches: Sample numbers of every mini-batch, the same on all workers.
            first: Whether no sample has been visited before.
            key: Of the epoch, for modules that take one.
        """
        for tick in range(max([part.begin(batches, first, key) for part in self._parts])):
            for part in self._parts:
                part.evaluate(tick)
            for part in self._parts:
                part.visit(tick)
            yield

    def finish(self) -> None:
        """Wait until the epoch is done."""
        self._transport.flush()
        self._transport.until(jax.tree.leaves([part.data.trained for part in self._parts]))

    @property
    def nbytes(self) -> int:
        """Size of all arrays held between epochs: data, parameters, and what is kept of samples."""
        arrays = [(part.data, part.ways) for part in self._parts]
        return sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))

    def sums(self) -> list[Sums]:
        """What the epoch came to, of every own subnetwork."""
        every = [part.sums.tolist() for part in self._parts]
        return [Sums(objective, Residuals(*rest)) for objective, *rest in every]

    def apply(self, x: Array) -> Array:
        """Pass rows through the own subnetworks, in inference."""
        for part in self._parts:
            x = part.infer(part.data.trained.params, x)
        return x

    # Checkpoints, between epochs.

    def state(self) -> list[dict[str, Array]]:
        """All that the next epoch needs of the own subnetworks, by name; `finish` comes before."""
        return [named_leaves(part.state) for part in self._parts]

    def restore(self, numbers: Sequence[int], read: Callable[[int], Mapping[str, Array]]) -> None:
        """Go on from a state; `start` comes before.

        Args:
            numbers: Those of the own subnetworks.
            read: The state of a subnetwork, own or above: what both sides of a cut know.
        """
        for number, part in zip(numbers, self._parts, strict=True):
            part.restore(jax.device_put(dict(read(number)), self.device))
        self._parts[-1].restore_above(
            lambda: jax.device_put(dict(read(numbers[-1] + 1)), self.device)
        )

    @property
    def subnetworks(self) -> list[Subnetwork]:
        """The own subnetworks as they are now."""
        return [eqx.combine(part.data.trained.params, part.static) for part in self._parts]


# Subnetworks.


class _Place(NamedTuple):
    """Where a subnetwork is."""

    number: int  # from 0
    total: int  # n

    @property
    def is_top(self) -> bool:
        """Whether it is the last one, which has the loss."""
        return self.number == self.total - 1

    @property
    def lag(self) -> int:
        """The tick in which it visits the first batch."""
        return 2 * (self.total - 1) - self.number


class _Data(NamedTuple):
    """The arrays of a subnetwork."""

    trained: Trained
    kept: Kept | None  # of the cut below, all samples
    inputs: Array | None  # of all samples, if it is the first
    targets: Array | None  # of all samples, if it is the last


class _State(NamedTuple):
    """What a checkpoint has of a subnetwork."""

    trained: Trained
    kept: Kept | None
    memory: Array | None  # of the codec for f, at the cut below
    sums: Array  # of the last epoch


class _Flight(NamedTuple):
    """A mini-batch between a subnetwork's evaluation of f and its visit.

    The last subnetwork evaluates nothing and sends nothing before its visit.
    """

    f_below: Array | None  # f of the subnetwork below, as it arrived
    state: Coupling | None  # of the cut below
    f: Array | None  # as it was sent


class _Compiled(NamedTuple):
    """The functions of a subnetwork."""

    infer: Callable[..., Array]
    evaluate: Callable[..., Any]
    visit: Callable[..., Any]


class _Part:
    """One subnetwork on its worker."""

    def __init__(
        self,
        solver: TSSM,
        static: Subnetwork,
        compiled: _Compiled,
        data: _Data,
        sums: Array,
        place: _Place,
        cuts: tuple[Cut | None, Cut | None],
        transport: Transport,
    ) -> None:
        self.static = static
        self.data = data
        self.sums = sums
        self.infer, self._evaluate, self._visit = compiled
        self._place = place
        self._refresh = solver.refresh
        self._below, self._above = cuts
        self._transport = transport
        self._takes_key = any(map(takes_key, static.modules))
        self._flights: deque[_Flight] = deque()

    @property
    def ways(self) -> list[Array | None]:
        """What the codecs remember."""
        cuts = [cut for cut in (self._below, self._above) if cut is not None]
        ends = [way for cut in cuts for way in (cut.up, cut.down)]
        return [way.memory for way in ends]

    @property
    def state(self) -> _State:
        """What the next epoch needs, the data left out."""
        memory = None if self._below is None else self._below.up.memory
        return _State(self.data.trained, self.data.kept, memory, self.sums)

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Go on from a state; where it has no memory of the codec, that stays as it is."""
        own = named_leaves(self.state)
        state = fill_leaves(self.state, {name: arrays.get(name, own[name]) for name in own})
        self.data = self.data._replace(trained=state.trained, kept=state.kept)
        self.sums = state.sums
        if self._below is not None:
            self._below.up.memory = state.memory

    def restore_above(self, read: Callable[[], Mapping[str, Array]]) -> None:
        """Take from the state of the subnetwork above what the codec between them remembers."""
        if self._above is not None and self._above.up.memory is not None:
            self._above.up.memory = read().get("memory", self._above.up.memory)

    def begin(self, batches: Sequence[Batch], first: bool, key: PRNGKeyArray | None) -> int:
        """Begin an epoch; returns how many ticks it takes here."""
        self._key = key if self._takes_key else None
        # Without anything kept of p and q, the first visit is like any other.
        self._batches, self._first = batches, first and not self._refresh
        self.sums = jnp.zeros_like(self.sums)
        if self._below is not None:
            self._below.up.begin(batches)
        if self._above is not None:
            self._above.down.begin(batches)
        return len(batches) + self._place.lag

    def evaluate(self, tick: int) -> None:
        """Send f of a batch up, unless this is the last subnetwork."""
        number = tick - self._place.number
        if self._above is None or number not in range(len(self._batches)):
            return
        batch, (trained, kept, inputs, _) = self._batches[number], self.data
        f_below = None if self._below is None else self._below.up.receive(batch)
        state, f = self._run(
            "evaluate",
            self._evaluate,
            *(trained.params, inputs, kept, batch, f_below, self._key),
            first=self._first,
        )
        self._flights.append(_Flight(f_below, state, f))
        self._above.up.send(f, batch)

    def visit(self, tick: int) -> None:
        """Train on a batch, and tell the subnetwork below what to fit."""
        number = tick - self._place.lag
        if number not in range(len(self._batches)):
            return
        batch = self._batches[number]
        if self._above is None:
            f_below = None if self._below is None else self._below.up.receive(batch)
            flight, wanted = _Flight(f_below, None, None), None
        else:
            flight, wanted = self._flights.popleft(), self._above.down.receive(batch)
        trained, kept, inputs, targets = self.data
        trained, kept, self.sums, below = self._run(
            "visit",
            self._visit,
            *(trained, kept, self.sums, flight, wanted, inputs, targets, batch, self._key),
            first=self._first,
        )
        self.data = _Data(trained, kept, inputs, targets)
        self._transport.computing = self.sums
        if self._below is not None:
            self._below.down.send(below, batch)

    def _run(self, what: str, function: Callable, *arguments: Any, **static: Any) -> Any:
        name = f"{what} {self._place.number + 1} of {self._place.total}"
        return self._transport.traced("compute", name, partial(function, **static), *arguments)


def _compiled(solver: TSSM, static: Subnetwork) -> _Compiled:
    """Functions that compile at their first call."""
    return _Compiled(
        jax.jit(partial(solver.forward, eqx.nn.inference_mode(static))),
        jax.jit(partial(_evaluate, solver, static), static_argnames="first"),
        jax.jit(partial(_visit, solver, static), donate_argnums=(0, 1, 2), static_argnames="first"),
    )


_shared = lru_cache(_compiled)


def _start(
    solver: TSSM, kept: Kept | None, batch: Array, f_below: Array | None, first: bool
) -> Coupling | None:
    """The cut below at the beginning of a visit, if there is one."""
    if kept is None or f_below is None:
        return None
    return solver.start(jax.tree.map(lambda rows: rows[batch], kept), f_below, first)


def _evaluate(
    solver: TSSM,
    static: PyTree,
    params: PyTree,
    inputs: Array | None,
    kept: Kept | None,
    batch: Array,
    f_below: Array | None,
    key: PRNGKeyArray | None,
    first: bool,
) -> tuple[Coupling | None, Array]:
    """The cut below at the beginning of a visit, and f."""
    state = _start(solver, kept, batch, f_below, first)
    x = _input(inputs, batch, state)
    return state, solver.forward(static, params, x, _keys(key, batch))


def _visit(
    solver: TSSM,
    static: PyTree,
    trained: Trained,
    kept: Kept | None,
    sums: Array,
    flight: _Flight,
    wanted: Array | None,
    inputs: Array | None,
    targets: Array | None,
    batch: Array,
    key: PRNGKeyArray | None,
    first: bool,
) -> tuple[Trained, Kept | None, Array, Array | None]:
    """All updates of a visit; last comes `wanted` of the subnetwork below."""
    f_below, state, f = flight
    if targets is not None:
        state = _start(solver, kept, batch, f_below, first)
        fit = partial(solver.fit_top, targets=targets[batch])
    else:
        assert f is not None  # the last subnetwork alone sends nothing up,
        assert wanted is not None  # and hears nothing from above
        fit = partial(solver.fit, sent=f, wanted=wanted)
    fit = partial(fit, keys=_keys(key, batch))
    for inner in range(solver.inner):
        trained, gradient, value = fit(static, trained, _input(inputs, batch, state))
        if inner == 0:
            sums = sums.at[0].add(value)
        if state is not None and f_below is not None:
            state, alpha = solver.couple(state, f_below, gradient)
    if state is None or kept is None or f_below is None:
        return trained, None, sums, None
    sums = sums.at[1:].add(jnp.stack(solver.residuals(state, f_below, alpha)))
    kept = Kept(
        *[
            None if rows is None else rows.at[batch].set(new)
            for rows, new in zip(kept, state, strict=True)
        ]
    )
    return trained, kept, sums, solver.wanted(state, f_below, alpha)


def _keys(key: PRNGKeyArray | None, batch: Array) -> Array | None:
    """A key for each sample, the same when f is sent up and at the visit."""
    return None if key is None else jax.vmap(partial(jax.random.fold_in, key))(batch)


def _input(inputs: Array | None, batch: Array, state: Coupling | None) -> Array:
    """What a subnetwork reads: the data, or p of the cut below."""
    if inputs is not None:
        return inputs[batch]
    assert state is not None  # only the first subnetwork has no cut below
    return state.p
