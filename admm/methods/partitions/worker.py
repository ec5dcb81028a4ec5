"""Workers of full-graph training: owners of some parts of the graph, and of the whole network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse as sp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from admm.comm import Mailbox, Transport, fill_leaves, named_leaves
from admm.methods.partitions.exchange import Exchange, Pair, Plan
from admm.methods.partitions.halos import WAYS, Each, Halo, Links
from admm.methods.partitions.mailed import Mailed
from admm.methods.partitions.predicted import Predicted
from admm.methods.partitions.share import Inputs, Matrix, PartitionShare, Piece
from admm.run.options import codec_of
from admm.solvers.graph_network import GraphNetwork, Nodes, Part, apply_first, apply_layer
from layers import GraphLayer, SparseMatrix, sparse_matrix
from quant import Float, make_codec

UP, DOWN = VARIABLES = ("halo", "halo_gradient")
EVALUATION = "evaluation"


class PartitionWorker:
    """Some parts of the graph on one device, with a copy of the network and its optimiser.

    Args:
        index: Number of the worker, from 0.
        share: Its parts, among others of this process.
        transport: Ways to the other workers.
        network: What to start from, the same in all workers.
        optimizer: Steps on the gradient of the whole graph, the same in all workers.
        mailbox: Where rows of the halo travel without anybody waiting, if they do.

    Attributes:
        own: Its parts.
        parts: Their arrays.
        network: The layers.
        loss: Of the last epoch, the mean over all training nodes.
    """

    def __init__(
        self,
        index: int,
        share: PartitionShare,
        transport: Transport,
        network: Sequence[GraphLayer],
        optimizer: optax.GradientTransformation,
        mailbox: Mailbox | None = None,
    ) -> None:
        self.index = index
        options, plan = share.options, share.plan
        self._share, self._transport = share, transport
        self._device = transport.device(index)
        self.own = plan.owned[index]
        pieces = [share.pieces[n] for n in self.own]
        self._whole = [self._put(_part(share, piece)) for piece in pieces]
        self.parts = [
            self._put(_alone(share, *each)) for each in zip(pieces, self._whole, strict=True)
        ]
        halos = [len(share.pieces[n].part.halo) for n in self.own]
        self._halos = [self._put(jnp.arange(plan.halo) < rows) for rows in halos]
        self._solver = GraphNetwork(options.dropout, options.seed)
        self._optimizer = optimizer
        self.network = self._put(list(network))
        self._memory = self._put(optimizer.init(self.network))
        _, self._unravel = ravel_pytree(self.network)
        links = self._put(_links(share, self.own))
        codec = make_codec(codec_of(options))
        rows = [_sends(share, self.own, back) for back in (False, True)]
        make = partial(Exchange, transport, index, plan)
        hidden = share.widths[1:-1]
        assert options.halo is not None  # the options have seen to that
        way: Callable[..., Halo] = WAYS[options.halo]
        if mailbox is not None:
            way = partial(Mailed, mailbox)
        elif options.predictor != "none":
            way = Predicted
        self._halo = way(
            options,
            self._solver,
            self.parts,
            links,
            lambda n, back: make(rows[back], codec, VARIABLES[back], n, options.dtype, back),
            hidden,
        )
        # Evaluations are exact, whatever the codec.
        exact = Float(options.dtype)
        self._exact = [make(rows[0], exact, EVALUATION, n, options.dtype) for n in hidden]
        self.loss = float("nan")

    def _put(self, tree: Any) -> Any:
        return jax.device_put(tree, self._device)

    @property
    def variables(self) -> set[str]:
        """What it sends in training."""
        return {way.variable for way in self._halo.exchanges.values()}

    # An epoch.

    def iteration(self, epoch: int) -> Iterator[None]:
        """Loss and gradient of every own part; `step` needs those of all parts."""
        solver, parts, last = self._solver, self.parts, len(self.network) - 1
        hs: list[Each] = []
        pulls = []
        for number, layer in enumerate(self.network):
            if number == 0:
                found = [solver.first(layer, part.own, is_last=last == 0) for part in parts]
            else:
                cs = yield from self._halo.sums(epoch, number, self.network, hs[-1])
                found = [
                    solver.own(layer, *each, epoch, number, is_last=number == last)
                    for each in zip(parts, hs[-1], cs, strict=True)
                ]
            hs.append([h for h, _ in found])
            pulls.append([pull for _, pull in found])
        ends = [solver.loss(*each) for each in zip(parts, hs.pop(), strict=True)]
        gradients: list[dict[int, list[GraphLayer]]] = [{} for _ in parts]
        dh = [gradient for _, gradient in ends]
        for number in range(last, -1, -1):
            pulled = [solver.pull(*each) for each in zip(pulls.pop(), dh, strict=True)]
            for own, (layer, *_) in zip(gradients, pulled, strict=True):
                own[number] = [layer]
            if number:
                below, dc = ([each[n] for each in pulled] for n in (1, 2))
                dh = yield from self._halo.back(epoch, number, below, dc, hs.pop())
        for own, others in zip(gradients, self._halo.gradients(), strict=True):
            for number, layer in others.items():
                own[number].append(layer)
        self._summands = [
            _flat(loss, [own[n] for n in range(last + 1)])
            for (loss, _), own in zip(ends, gradients, strict=True)
        ]

    def summands(self) -> np.ndarray:
        """Loss and gradient of every own part, (parts, 1 + parameters), once they are computed."""
        self._transport.until(self._summands)
        return np.stack([np.asarray(each) for each in self._summands])

    def step(self, total: np.ndarray) -> None:
        """A step of the optimiser with the sum of all parts' losses and gradients."""
        self.loss, gradient = float(total[0]), self._put(total[1:])
        self.network, self._memory = _stepped(
            self._optimizer, self._unravel, self.network, self._memory, gradient
        )

    # Where one worker makes the steps for all.

    def summed(self) -> np.ndarray:
        """Loss and gradient of all own parts, (1 + parameters,), once they are computed."""
        return self.summands().sum(axis=0)

    def weights(self) -> np.ndarray:
        """Loss and network, in the layout of losses and gradients."""
        loss = jnp.asarray(self.loss, self._share.options.dtype)
        return np.asarray(_flat(loss, [[layer] for layer in self.network]))

    def take_over(self, weights: np.ndarray) -> None:
        """Go on with another worker's `weights`."""
        self.loss, self.network = float(weights[0]), self._unravel(self._put(weights[1:]))

    @property
    def skipped(self) -> int:
        """Messages of rows that were not sent, since the one before was still on its way."""
        assert isinstance(self._halo, Mailed)
        return self._halo.skipped

    # Between epochs.

    def evaluation(self) -> Iterator[None]:
        """Logits of own nodes, and how far the halo in training is from that of now.

        Afterwards `logits` has those of every own part, and `staleness` of each, for every H_l,
        three sums over its halo: ‖H̄_l − H_l‖², ‖H_l‖², and ‖H_l as pulled − H_l‖² where H̄_l is
        predicted.
        """
        last = len(self.network) - 1
        self.staleness = np.zeros((len(self.parts), last, 3))
        first, pulled = self.network[0], self._halo.pulled
        h = [apply_first(first, part.own, is_last=last == 0) for part in self._whole]
        for number, layer in enumerate(self.network[1:], start=1):
            way = self._exact[number - 1]
            way.send(h)
            yield
            halo = way.receive()
            for part, rows in enumerate(halo):
                valid, found = self._halos[part], self.staleness[part, number - 1]
                if number in self._halo.rows:
                    found[:2] = _distance(self._halo.rows[number][part], rows, valid)
                if number in pulled:
                    found[2] = _distance(pulled[number][part], rows, valid)[0]
            h = [
                apply_layer(layer, *each, is_last=number == last)
                for each in zip(self._whole, h, halo, strict=True)
            ]
        # Where a run goes back to a checkpoint, nothing of before may still be under way.
        self._halo.settle()
        self.logits = h

    def state(self) -> list[dict[str, Any]]:
        """Of every own part, what the next epoch needs."""
        found = self._halo.state()
        for name, way in self._halo.exchanges.items():
            for each, kept in zip(found, way.state().values(), strict=True):
                each |= {f"{name}.{key}": value for key, value in kept.items()}
        return found

    def common(self) -> dict[str, Any]:
        """What is the same in all workers: the network, and what its optimiser remembers."""
        return named_leaves((self.network, self._memory))

    def restore(self, states: Sequence[Mapping[str, Any]], common: Mapping[str, Any]) -> None:
        """Go on from `state` and `common`."""
        self.network, self._memory = self._put(fill_leaves((self.network, self._memory), common))
        self._halo.restore([self._put(dict(each)) for each in states])
        for name, way in self._halo.exchanges.items():
            prefix = f"{name}."
            kept = {
                part: {k.removeprefix(prefix): v for k, v in each.items() if k.startswith(prefix)}
                for part, each in zip(self.own, states, strict=True)
            }
            way.restore(kept)


def _part(share: PartitionShare, piece: Piece) -> Part:
    """A part as its solver takes it, filled up to the size of all."""
    plan, dtype = share.plan, share.options.dtype
    part = piece.part
    total = share.facts.training_rows
    weights = np.where(piece.training, 1 / total, 0).astype(dtype)
    return Part(
        sparse_matrix(_resized(part.inner, plan.own, plan.own), plan.inner),
        sparse_matrix(_resized(part.outer, plan.own, plan.halo), plan.outer),
        _nodes(part.own, piece.own, plan.own),
        _nodes(part.halo, piece.halo, plan.halo),
        jnp.asarray(_padded(piece.classes, plan.own)),
        jnp.asarray(_padded(weights, plan.own)),
        None if piece.induced is None else _induced(piece, plan),
    )


def _alone(share: PartitionShare, piece: Piece, part: Part) -> Part:
    """A part in training: without its cut edges, if they are dropped."""
    if piece.alone is None:
        return part
    (inner, inputs), plan = piece.alone, share.plan
    padded = sparse_matrix(_resized(inner, plan.own, plan.own), plan.inner)
    return part._replace(inner=padded, own=_nodes(piece.part.own, inputs, plan.own))


def _induced(piece: Piece, plan: Plan) -> SparseMatrix:
    """S among own nodes and halo, the latter after all rows of the former."""
    assert piece.induced is not None
    found, own = piece.induced.tocoo(), len(piece.part.own)
    indices = [np.where(each < own, each, each + plan.own - own) for each in found.coords]
    size = plan.own + plan.halo
    moved = sp.coo_array((found.data, indices), shape=(size, size))
    return sparse_matrix(moved.tocsr(), plan.induced)


def _nodes(ids: np.ndarray, inputs: Inputs | None, rows: int) -> Nodes:
    p, x = (None, None) if inputs is None else inputs
    return Nodes(jnp.asarray(_padded(ids, rows)), *[_input(each, rows) for each in (p, x)])


def _input(matrix: Matrix | None, rows: int) -> Any:
    if matrix is None:
        return None
    if isinstance(matrix, np.ndarray):
        return jnp.asarray(_padded(matrix, rows))
    return sparse_matrix(_resized(matrix, rows, matrix.shape[1]))


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    return np.pad(array, [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1))


def _resized(matrix: sp.csr_array, rows: int, columns: int) -> sp.csr_array:
    """With more rows and columns, which are empty."""
    indptr = np.pad(matrix.indptr, (0, rows - matrix.shape[0]), mode="edge")
    return sp.csr_array((matrix.data, matrix.indices, indptr), shape=(rows, columns))


def _links(share: PartitionShare, own: range) -> Links:
    plan, dtype = share.plan, share.options.dtype
    sums, copied = [], []
    for number in own:
        sends = share.pieces[number].part.sends
        rows = np.concatenate([np.zeros(0, np.int32), *[sends[n] for n in sorted(sends)]])
        added = (np.ones(len(rows), dtype), (rows, np.arange(len(rows))))
        matrix = sp.coo_array(added, shape=(plan.own, plan.copies)).tocsr()
        sums.append(sparse_matrix(matrix, plan.copies))
        copied.append(jnp.asarray(np.isin(np.arange(plan.own), rows)))
    return Links(sums, copied)


def _sends(share: PartitionShare, own: range, back: bool) -> dict[Pair, np.ndarray]:
    """Positions of what own parts send, see `Exchange`."""
    found: dict[Pair, np.ndarray] = {}
    for number in own:
        part = share.pieces[number].part
        halo = np.arange(len(part.halo), dtype=np.int32)
        rows = {n: halo[at] for n, at in part.receives.items()} if back else part.sends
        found |= {(number, other): positions for other, positions in rows.items()}
    return found


@jax.jit
def _flat(loss: Array, gradients: list[list[GraphLayer]]) -> Array:
    """Loss and gradient, of each layer the sum of those given."""
    summed = [jax.tree.map(lambda *each: sum(each[1:], each[0]), *layer) for layer in gradients]
    return jnp.concatenate([loss[None], ravel_pytree(summed)[0]])


@partial(jax.jit, static_argnames=("optimizer", "unravel"))
def _stepped(
    optimizer: optax.GradientTransformation,
    unravel: Callable[[Array], Any],
    network: list[GraphLayer],
    memory: Any,
    gradient: Array,
) -> tuple[list[GraphLayer], Any]:
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        updates, memory = optimizer.update(unravel(gradient), memory, network)
    return optax.apply_updates(network, updates), memory


@jax.jit
def _distance(known: Array, rows: Array, valid: Array) -> Array:
    known, rows = (jnp.where(valid[:, None], each, 0) for each in (known, rows))
    return jnp.stack([jnp.sum((known - rows) ** 2), jnp.sum(rows**2)])
