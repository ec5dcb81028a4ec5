"""What training a GA-MLP costs, from the shapes of its layers: nothing is computed."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np

from admm.comm import Neighbors, chain, chunk_sizes, tree_bytes
from admm.comm.chain import CHUNK, IN_FLIGHT
from admm.methods.layerwise.backprop import solver_of as backprop_of
from admm.methods.layerwise.data import LayerShare
from admm.methods.layerwise.options import BackpropOptions, PDADMMGOptions
from admm.methods.layerwise.pdadmm_g import codecs_of, solver_of
from admm.methods.layerwise.pipeline import lead_of, micro_batch_count, micro_batch_sizes
from admm.run.costs import EVALUATION, Message, StageCosts, WorkerCosts, evaluations
from admm.solvers import backprop_flops, dense_flops, pdadmm_g_flops, stage_layers
from layers import Dense, widths
from quant import Codec, Float

# Rows that a kernel of pdADMM-G takes at a time, and arrays of them that it has beside its results.
_BLOCK_ROWS, _BLOCKS = 512, 4

# Bytes of dense columns while they are propagated, and how many such blocks there are at once.
_HOP_BYTES, _HOP_BLOCKS = 64 * 2**20, 3

# Arrays of the size of the Gram matrix, in float64, while its eigenvectors are computed.
_GRAMS = 5


class LayerStage(ABC):
    """A stage; subclasses know how its layers train.

    Args:
        share: Facts, split and options.
        stage: From 0.
    """

    def __init__(self, share: LayerShare, stage: int) -> None:
        self.options, self.share, self.facts = share.options, share, share.facts
        self.depth = share.options.depths[stage]
        self.nodes, self.rows = self.facts.training_rows, len(self.facts.labels)
        self.shape = widths(self.facts.columns, self.options.hidden, self.facts.classes, self.depth)
        self.owned = stage_layers(share.split, self.depth)
        self.neighbors = chain(self.owned)
        self.itemsize = np.dtype(self.options.dtype).itemsize

    @abstractmethod
    def layer_flops(self, number: int) -> float:
        """Of an epoch."""

    @abstractmethod
    def messages(self, worker: int) -> Sequence[Message]:
        """Of training."""

    @abstractmethod
    def state(self, worker: int) -> Any:
        """What a checkpoint has of a worker."""

    @abstractmethod
    def memory(self, worker: int) -> int:
        """Bytes of arrays that a worker with layers has at once in training."""

    def costs(self) -> StageCosts:
        """See `MethodOptions.costs`; the checkpoint has a best network of this stage."""
        options = self.options
        found = []
        for worker, own in enumerate(self.owned):
            span = self.shape[own[0] - 1 : own[-1] + 1] if own else ()
            flops = sum(map(self.layer_flops, own))
            found.append(
                WorkerCosts(
                    _units(own),
                    flops,
                    dense_flops(self.rows, span),
                    (*self.messages(worker), *self._of_evaluations(worker)),
                    tree_bytes([self.state(worker), self.network(own, self.facts.features)]),
                )
            )
        every = range(1, self.depth + 1)
        parameters = tree_bytes(self.network(every, self.facts.features)) // self.itemsize
        passes = evaluations(options.epochs, options.eval_every)
        return StageCosts(parameters, options.epochs, passes, tuple(found))

    def _of_evaluations(self, worker: int) -> list[Message]:
        above = self.neighbors[worker].above
        if above is None:
            return []
        row = self.shape[self.owned[worker][-1]] * self.itemsize
        sizes = Counter(chunk_sizes(self.rows))
        return [Message(EVALUATION, above, n * row, k, "evaluation") for n, k in sizes.items()]

    def evaluation_memory(self, worker: int) -> int:
        """Bytes of the chunks of an evaluation on their way, at the widest place.

        They come on top: arrays of micro-batches are too small to be given back before.
        """
        own = self.owned[worker]
        rows = min(self.rows, IN_FLIGHT * CHUNK)
        return rows * max(self.shape[own[0] : own[-1] + 1]) * self.itemsize

    def network(self, own: Sequence[int], features: int) -> tuple[Dense, ...]:
        """Shapes of layers, layer 1 with so many inputs."""
        shape = (features, *self.shape[1:])
        return tuple(Dense(self.array(shape[n - 1], shape[n]), self.array(shape[n])) for n in own)

    def array(self, *shape: int) -> Any:
        """The shape of an array."""
        return jax.ShapeDtypeStruct(shape, self.options.dtype)

    def targets(self, own: Sequence[int]) -> Any:
        return self.array(self.nodes, self.facts.classes) if self.depth in own else None


class PDADMMGStage(LayerStage):
    """Of pdADMM-G."""

    options: PDADMMGOptions

    @cached_property
    def _solver(self) -> Any:
        return solver_of(self.options)

    def layer_flops(self, number: int) -> float:
        sizes = self.shape[number - 1], self.shape[number]
        return pdadmm_g_flops(self._solver, self.nodes, *sizes, first=number == 1)

    def messages(self, worker: int) -> list[Message]:
        codecs, (below, above), own = codecs_of(self.options), *self._place(worker)
        found = []
        if below is not None:
            shape = (self.nodes, self.shape[own[0] - 1])
            found.append(Message("p", below, codecs.p.nbytes(shape), 1, "epoch"))
        if above is not None:
            shape = (self.nodes, self.shape[own[-1]])
            exact: Codec = Float(self.options.dtype)
            found.append(Message("q", above, exact.nbytes(shape), 1, "stage"))
            found.append(Message("q", above, codecs.q.nbytes(shape), 1, "epoch"))
        return found

    def _place(self, worker: int) -> tuple[Neighbors, list[int]]:
        return self.neighbors[worker], self.owned[worker]

    def _block(self, worker: int) -> Any:
        own = self.owned[worker]
        network = self.network(own, self.shape[0])
        start = partial(self._solver.init_block, first=self.neighbors[worker].below is None)
        inputs = self.array(self.nodes, self.shape[own[0] - 1])
        return jax.eval_shape(start, network, inputs, self.targets(own))

    def state(self, worker: int) -> Any:
        (below, _), own = self._place(worker)
        if not own:
            return ()
        bottom, *others = self._block(worker).layers
        if below is None:
            bottom = bottom._replace(p=None)
        sent = bottom.p if below is not None and codecs_of(self.options).p.remembers else None
        return [bottom, *others, sent]

    def memory(self, worker: int) -> int:
        """The state, q of before, new weights and the best ones, what the ends of channels hold.

        Beside them a kernel has an array of its outputs, and blocks of rows.
        """
        own, block = self.owned[worker], self._block(worker)
        ends = [(self.nodes, self.shape[own[0] - 1]), (self.nodes, self.shape[own[-1]])]
        linked = [
            e for e, other in zip(ends, self.neighbors[worker], strict=True) if other is not None
        ]
        codecs = codecs_of(self.options)
        channels = sum(
            tree_bytes(self.array(*end)) + 2 * (codecs.p.nbytes(end) + codecs.q.nbytes(end))
            for end in linked
        )
        held = [block, [layer.q for layer in block.layers], 2 * self.network(own, self.shape[0])]
        blocks = _BLOCKS * min(self.nodes, _BLOCK_ROWS)
        kernel = max(
            self.nodes * self.shape[n] + blocks * max(self.shape[n - 1 : n + 1]) for n in own
        )
        return tree_bytes(held) + channels + self.itemsize * kernel


class BackpropStage(LayerStage):
    """Of backpropagation as a pipeline."""

    options: BackpropOptions

    @cached_property
    def _solver(self) -> Any:
        return backprop_of(self.options)

    @cached_property
    def _sizes(self) -> list[int]:
        return micro_batch_sizes(self.nodes, micro_batch_count(len(self.owned)))

    def layer_flops(self, number: int) -> float:
        return backprop_flops(
            self.nodes, self.shape[number - 1], self.shape[number], first=number == 1
        )

    def messages(self, worker: int) -> list[Message]:
        own, (below, above) = self.owned[worker], self.neighbors[worker]
        return [
            Message(variable, target, size * self.shape[edge] * self.itemsize, count, "epoch")
            for variable, target, edge in (
                ("gradient", below, own[0] - 1 if own else 0),
                ("activation", above, own[-1] if own else 0),
            )
            if target is not None
            for size, count in Counter(self._sizes).items()
        ]

    def state(self, worker: int) -> Any:
        network = self.network(self.owned[worker], self.shape[0])
        return jax.eval_shape(self._solver.init_segment, network)

    def memory(self, worker: int) -> int:
        """Parameters and what the optimiser remembers, before and after; gradients; the best.

        Beside them the records of the micro-batches in flight, their messages and two more on their
        way, and two arrays of a kernel.
        """
        own, (below, above) = self.owned[worker], self.neighbors[worker]
        network, size = self.network(own, self.shape[0]), max(self._sizes)
        forward = partial(self._solver.forward, top=above is None)
        x = self.array(size, self.shape[own[0] - 1])
        records = tree_bytes(jax.eval_shape(forward, network, x))
        records -= 0 if below is not None else tree_bytes(x)  # rows of X, counted once
        flying = min(len(self._sizes), lead_of(worker, len(self.owned)) + 1)
        inputs = self.array(self.nodes, self.shape[0]) if below is None else None
        ends = [(below, own[0] - 1), (above, own[-1])]
        rows = min(self.nodes, (flying + 2) * size)
        messages = [self.array(rows, self.shape[n]) for other, n in ends if other is not None]
        held = [2 * [self.state(worker)], 2 * network, inputs, self.targets(own), messages]
        kernel = 2 * size * max(self.shape[own[0] - 1 : own[-1] + 1])
        return tree_bytes(held) + flying * records + self.itemsize * kernel


def layer_stages(share: LayerShare) -> list[LayerStage]:
    """The stages of a run."""
    kind = PDADMMGStage if isinstance(share.options, PDADMMGOptions) else BackpropStage
    return [kind(share, stage) for stage in range(len(share.options.depths))]


def peak_memory(share: LayerShare) -> list[int]:
    """See `MethodOptions.peak_memory`: the largest of all stages, and of loading at the root."""
    found = [0] * len(share.split)
    for stage in layer_stages(share):
        for worker, own in enumerate(stage.owned):
            if own:
                found[worker] = max(
                    found[worker], stage.memory(worker) + stage.evaluation_memory(worker)
                )
    rows, itemsize = len(share.facts.labels), np.dtype(share.options.dtype).itemsize
    found[0] += rows * share.facts.columns * itemsize
    found[0] = max(found[0] + _basis_bytes(share), _loading(share))
    return found


def _basis_bytes(share: LayerShare) -> int:
    facts, itemsize = share.facts, np.dtype(share.options.dtype).itemsize
    return 0 if facts.columns == facts.features else facts.features * facts.columns * itemsize


def _loading(share: LayerShare) -> int:
    """The hop inputs, beside blocks of columns, or a basis and what it is made of."""
    facts, itemsize = share.facts, np.dtype(share.options.dtype).itemsize
    rows, width = len(facts.labels), facts.features // share.options.hops
    inputs = rows * facts.features * itemsize
    blocks = _HOP_BLOCKS * min(_HOP_BYTES, int(facts.dataset["nodes"]) * width * itemsize)
    basis = _basis_bytes(share)
    if not basis:
        return inputs + max(blocks, inputs)
    gram = 8 * _GRAMS * facts.training_rows**2
    return inputs + max(blocks, gram + basis, basis + 2 * rows * facts.columns * itemsize)


def _units(own: Sequence[int]) -> str:
    return f"layers {own[0]}–{own[-1]}" if own else "no layer"
