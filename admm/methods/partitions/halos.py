"""Where the rows of the halo come from: one class a way, each with all parts of a worker.

In the forward pass of layer l ≥ 1, `sums` makes C_l = S_out H̄_l for every part; in the backward
pass `back` adds to ∂H_l what other parts say of it. Both are parts of
`PartitionWorker.iteration`, which yields wherever another worker must have sent.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.comm import fill_leaves, named_leaves
from admm.methods.partitions.exchange import Exchange
from admm.methods.partitions.options import HaloName, Order, PartitionOptions
from admm.solvers.graph_network import Boundary, GraphNetwork, Part, Pull, bound, new_boundary
from layers import GraphLayer, SparseMatrix, aggregate, matmul

Each = list[Array]
"""An array for every part of the worker."""
Gradients = list[dict[int, GraphLayer]]
"""Gradients of layers, by number, for every part."""


class Links(NamedTuple):
    """How each part adds up what comes back."""

    sums: list[SparseMatrix]  # (own, rows that come back)  adds up the copies of a row
    copied: list[Array]  # (own,)  whether a row has copies


class Halo:
    """No halo: the operator has no columns for it.

    Args:
        options: Of the run.
        solver: The functions of one part.
        parts: Their arrays.
        links: Who needs what of them.
        make: Makes the exchange of a width, to copies or back.
        widths: Columns n_1…n_{L−1} of H_l.
    """

    def __init__(
        self,
        options: PartitionOptions,
        solver: GraphNetwork,
        parts: Sequence[Part],
        links: Links,
        make: Callable[[int, bool], Exchange],
        widths: Sequence[int],
    ) -> None:
        self._options, self._solver = options, solver
        self._parts, self._links = parts, links
        self._make, self._widths = make, widths
        # H̄_l as training last had it, by layer.
        self.rows: dict[int, Each] = {}
        # What the next epoch needs: of every part a tree, by name and layer, zeros at first.
        self._kept: dict[str, dict[int, list[Any]]] = {}
        # Exchanges of H_l, to copies and back.
        self._up: dict[int, Exchange] = {}
        self._down: dict[int, Exchange] = {}
        self.start()

    def start(self) -> None:
        """Make the exchanges, and what is kept."""

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        """C_l of every part."""
        yield from ()
        return [jnp.zeros_like(each) for each in h]

    def back(
        self, epoch: int, number: int, dh: Each, dc: Each, h: Each
    ) -> Generator[None, None, Each]:
        """∂H_l of every part."""
        yield from ()
        return dh

    def gradients(self) -> Gradients:
        """Of layers, beside those of own rows."""
        return [{} for _ in self._parts]

    def settle(self) -> None:
        """Receive what has been announced."""

    @property
    def exchanges(self) -> dict[str, Exchange]:
        """Those in use, by name."""
        ups = {f"up[{number}]": way for number, way in self._up.items()}
        return ups | {f"down[{number}]": way for number, way in self._down.items()}

    @property
    def pulled(self) -> dict[int, Each]:
        """Rows as their owners sent them last, by layer, where `rows` are predictions."""
        return {}

    def state(self) -> list[dict[str, Any]]:
        """Of every part, what the next epoch needs."""
        self.settle()
        return [named_leaves(self._kept_of(index)) for index in range(len(self._parts))]

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Go on from `state`."""
        found = [fill_leaves(self._kept_of(index), state) for index, state in enumerate(states)]
        for name, layers in self._kept.items():
            for number in layers:
                layers[number] = [each[name][number] for each in found]

    def _kept_of(self, index: int) -> dict[str, dict[int, Any]]:
        return {
            name: {number: each[index] for number, each in layers.items()}
            for name, layers in self._kept.items()
        }

    # For subclasses.

    def _is_due(self, epoch: int) -> bool:
        _, interval = self._options.schedule
        return sends(epoch, "fresh", interval)

    def _ways(self, back: bool = False, widths: Sequence[int] | None = None) -> dict[int, Exchange]:
        made = enumerate(self._widths if widths is None else widths, start=1)
        return {number: self._make(width, back) for number, width in made}

    def _blank(
        self, ways: Mapping[int, Exchange], nodes: Literal["own", "halo"] = "halo"
    ) -> dict[int, Each]:
        """Zeros in the place of what these bring to the nodes of every part."""
        rows, dtype = [len(getattr(part, nodes).ids) for part in self._parts], self._options.dtype
        return {n: [jnp.zeros((r, self._widths[n - 1]), dtype) for r in rows] for n in ways}

    def _came_back(self, way: Exchange) -> Each:
        """Sums of the gradients of all copies."""
        return [_times(*each) for each in zip(self._links.sums, way.receive(), strict=True)]

    def _spread(self, epoch: int, number: int, halo: Each) -> tuple[Each, list[Pull]]:
        """C_l with the dropout of now, and the way back to H̄_l."""
        found = [
            self._solver.spread(part, part.halo.ids, rows, epoch, number)
            for part, rows in zip(self._parts, halo, strict=True)
        ]
        return [c for c, _ in found], [pull for _, pull in found]

    def _plain(self, halo: Each) -> Each:
        """C_l without dropout."""
        return [_times(part.outer, rows) for part, rows in zip(self._parts, halo, strict=True)]

    def _pull(self, pulls: Sequence[Pull], gradients: Each) -> list[tuple[Any, ...]]:
        return [self._solver.pull(*each) for each in zip(pulls, gradients, strict=True)]


class Exact(Halo):
    """The halo of now, and its gradients back, in every epoch: full-graph training."""

    def start(self) -> None:
        self._up, self._down = self._ways(), self._ways(back=True)
        self._pulls: dict[int, list[Pull]] = {}

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        self._up[number].send(h)
        yield
        self.rows[number] = self._up[number].receive()
        c, self._pulls[number] = self._spread(epoch, number, self.rows[number])
        return c

    def back(
        self, epoch: int, number: int, dh: Each, dc: Each, h: Each
    ) -> Generator[None, None, Each]:
        dhalo = [each for (each,) in self._pull(self._pulls.pop(number), dc)]
        self._down[number].send(dhalo)
        yield
        return _plus(dh, self._came_back(self._down[number]))


class Pipe(Exact):
    """The halo of the epoch before, and the gradients of the epoch before: PipeGCN.

    Both are zero in the first epoch.

    Source: Wan et al., arXiv 2203.10428, without smoothing.
    """

    def start(self) -> None:
        super().start()
        self.rows, self._came = self._blank(self._up), self._blank(self._down, "own")
        self._kept = {"rows": self.rows, "came": self._came}

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        self._settle(number)
        c, self._pulls[number] = self._spread(epoch, number, self.rows[number])
        self._up[number].send(h)
        yield
        return c

    def back(
        self, epoch: int, number: int, dh: Each, dc: Each, h: Each
    ) -> Generator[None, None, Each]:
        dhalo = [each for (each,) in self._pull(self._pulls.pop(number), dc)]
        found = _plus(dh, self._came[number])
        self._down[number].send(dhalo)
        yield
        return found

    def _settle(self, number: int) -> None:
        if self._up[number].expected:
            self.rows[number] = self._up[number].receive()
        if self._down[number].expected:
            self._came[number] = self._came_back(self._down[number])

    def settle(self) -> None:
        for number in self._up:
            self._settle(number)


class Periodic(Halo):
    """Rows that travel every N epochs; what is made of them in between is for subclasses.

    A row is used at ages

        fresh  0…N−1   exchanged within the forward pass of the first epoch of a round
        end    1…N     sent in the last epoch of a round, for the next
        kvs    N…2N−1  what was sent at a synchronisation is taken up at the next

    but for the first round, and the second of `kvs`, whose rows are those of the first epoch.
    """

    def start(self) -> None:
        self._up = self._ways()
        self.rows, self._next = self._blank(self._up), {}
        order, _ = self._options.schedule
        if order != "fresh":  # what arrives in one round is for the next
            self._next = self._blank(self._up)
        self._kept = {"rows": self.rows, "next": self._next}

    def _new_rows(self, epoch: int, number: int, h: Each) -> Generator[None, None, Each | None]:
        """What is taken up in this epoch, if anything is; what has to be sent is."""
        order, interval = self._options.schedule
        new = None
        if order != "fresh" and self._is_due(epoch):
            self._settle(number)
            if epoch - age(epoch, order, interval) > 1:
                new = self._next[number]
        if sends(epoch, order, interval):
            self._up[number].send(h)
            yield
        if epoch == 1 or (order == "fresh" and self._is_due(epoch)):
            new = self._up[number].receive()
        return new

    def _settle(self, number: int) -> None:
        if self._up[number].expected:
            self._next[number] = self._up[number].receive()

    def settle(self) -> None:
        for number in self._up:
            self._settle(number)


class Stale(Periodic):
    """The halo of some epochs ago, which no gradient goes through: DIGEST.

    Source: DIGEST, arXiv 2206.00057, reconstructed from its abstract.
    """

    def start(self) -> None:
        super().start()
        self._c: dict[int, Each] = {}

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        new = yield from self._new_rows(epoch, number, h)
        if new is not None:
            self._take_up(number, new)
        return self._c[number]

    def _take_up(self, number: int, halo: Each) -> None:
        self.rows[number], self._c[number] = halo, self._plain(halo)

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        super().restore(states)
        self._c = {number: self._plain(halo) for number, halo in self.rows.items()}


class Refresh(Halo):
    """The halo computed here, from what its owners' neighbours added up some epochs ago.

        once              P̄_0 = (S X)[halo]
        every N epochs    P̄_l = (S H_l)[halo], l = 1…L−2, from the owners
        in every epoch    H̄_1 = f(P̄_0 W_0 (+ X̄ V_0) + b_0),
                          H̄_{l+1} = f(P̄_l W_l (+ drop(H̄_l) V_l) + b_l)

    Weights are those of now, and gradients go through H̄_l to all of them. Where there are two
    layers, that is full-graph training without messages.
    """

    def start(self) -> None:
        self._up = self._ways(widths=self._widths[:-1])
        self._gathered = self._blank(self._up)  # P̄_l
        self._kept = {"gathered": self._gathered}
        self._gradients: Gradients = [{} for _ in self._parts]
        self._pulls: dict[int, list[Pull]] = {}
        self._makers: dict[int, list[Pull]] = {}
        self._carried: Each | None = None

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        layer = network[number - 1]
        if number == 1:
            self._gradients = [{} for _ in self._parts]
            made = [self._solver.first(layer, part.halo, is_last=False) for part in self._parts]
        else:
            below = zip(self._parts, self._gathered[number - 1], self.rows[number - 1], strict=True)
            made = [
                self._solver.mirrored(layer, part.halo, p, rows, epoch, number - 1)
                for part, p, rows in below
            ]
        self.rows[number] = [rows for rows, _ in made]
        self._makers[number] = [pull for _, pull in made]
        c, self._pulls[number] = self._spread(epoch, number, self.rows[number])
        if number in self._up and self._is_due(epoch):
            sums = zip(self._parts, h, self._plain(self.rows[number]), strict=True)
            self._up[number].send([_gathered(part.inner, *each) for part, *each in sums])
            yield
            self._gathered[number] = self._up[number].receive()
        return c

    def back(
        self, epoch: int, number: int, dh: Each, dc: Each, h: Each
    ) -> Generator[None, None, Each]:
        yield from ()
        drows = [each for (each,) in self._pull(self._pulls.pop(number), dc)]
        if self._carried is not None:
            drows = _plus(drows, self._carried)
        pulled = self._pull(self._makers.pop(number), drows)
        for found, (layer, *_) in zip(self._gradients, pulled, strict=True):
            found[number - 1] = layer
        self._carried = None if number == 1 else [each for _, each in pulled]
        return dh

    def gradients(self) -> Gradients:
        return self._gradients


class Constrained(Exact):
    """Copies p = H_l of boundary rows, constant between synchronisations: ADMM.

    The multiplier of a copy is the gradient of its part's loss at p. It comes back at every
    synchronisation, and the owner minimises, over its own weights,

        loss + Σ_l ⟨multiplier_l, H_l⟩ + ρ_l/2 ‖H_l − H_l as sent‖²,   ρ_l = γ ‖multiplier‖/‖H_l‖

    so that every fixed point is stationary for the whole graph. The first epochs are exact.
    Experimental: four layers are unstable.
    """

    def start(self) -> None:
        super().start()
        gamma, exact_epochs = self._options.gamma, self._options.exact_epochs
        # The options have seen to that.
        assert gamma is not None
        assert exact_epochs is not None
        self._gamma, self._exact_epochs = gamma, exact_epochs
        self._c: dict[int, Each] = {}
        self.rows = self._blank(self._up)
        self._boundaries = {
            number: [Boundary(each, each, each[:, :1]) for each in owns]
            for number, owns in self._blank(self._down, "own").items()
        }
        self._kept = {"rows": self.rows, "boundary": self._boundaries}

    def _is_due(self, epoch: int) -> bool:
        return super()._is_due(epoch - self._exact_epochs)

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        if epoch <= self._exact_epochs:
            return (yield from super().sums(epoch, number, network, h))
        if self._is_due(epoch):
            self._up[number].send(h)
            yield
            self.rows[number] = self._up[number].receive()
            self._c[number] = self._plain(self.rows[number])
        return self._c[number]

    def back(
        self, epoch: int, number: int, dh: Each, dc: Each, h: Each
    ) -> Generator[None, None, Each]:
        if epoch <= self._exact_epochs:
            return (yield from super().back(epoch, number, dh, dc, h))
        if self._is_due(epoch):
            back = [_times(part.outer.T, each) for part, each in zip(self._parts, dc, strict=True)]
            self._down[number].send(back)
            yield
            came = zip(self._came_back(self._down[number]), h, self._links.copied, strict=True)
            self._boundaries[number] = [new_boundary(*each, self._gamma) for each in came]
        given = zip(dh, h, self._boundaries[number], strict=True)
        return [bound(*each) for each in given]

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        super().restore(states)
        self._c = {number: self._plain(halo) for number, halo in self.rows.items()}


WAYS: dict[HaloName, type[Halo]] = {
    "drop": Halo,
    "exact": Exact,
    "pipe": Pipe,
    "stale": Stale,
    "refresh": Refresh,
    "admm": Constrained,
}


def sends(epoch: int, order: Order, interval: int) -> bool:
    """Whether boundary rows are sent in an epoch.

    Example:
        >>> [epoch for epoch in range(1, 12) if sends(epoch, "end", 5)]
        [1, 5, 10]
    """
    if order == "end":
        return epoch == 1 or epoch % interval == 0
    return (epoch - 1) % interval == 0


def age(epoch: int, order: Order, interval: int) -> int:
    """Epochs since the rows that an epoch uses were sent.

    Example:
        >>> [age(epoch, "end", 3) for epoch in range(1, 9)]
        [0, 1, 2, 1, 2, 3, 1, 2]
        >>> [age(epoch, "kvs", 3) for epoch in range(1, 9)]
        [0, 1, 2, 3, 4, 5, 3, 4]
    """
    start = (epoch - 1) // interval * interval  # epochs before this round
    sent = {"fresh": start + 1, "end": start, "kvs": start + 1 - interval}[order]
    return epoch - max(1, sent)


@jax.jit
def _gathered(inner: SparseMatrix, h: Array, c: Array) -> Array:
    return aggregate(inner, h, c)


@jax.jit
def _times(S: SparseMatrix, x: Array) -> Array:
    return matmul(S, x)


def _plus(a: Each, b: Each) -> Each:
    return [x + y for x, y in zip(a, b, strict=True)]
