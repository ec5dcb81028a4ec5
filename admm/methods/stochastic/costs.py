"""What training with stochastic ADMM costs, from shapes: nothing is computed."""

from collections import Counter
from math import prod
from typing import Any

import jax
import numpy as np

from admm.comm import chain, chunk_sizes, tree_bytes
from admm.comm.chain import IN_FLIGHT
from admm.methods.stochastic.share import StochasticShare, dropout_of
from admm.methods.stochastic.training import codecs_of
from admm.methods.stochastic.worker import VARIABLES, slots_of
from admm.run.costs import EVALUATION, Message, StageCosts, WorkerCosts, evaluations
from admm.solvers.flops import dense_flops, stochastic_flops
from admm.solvers.stochastic import WARM_UP, groups_ahead, slots_at_once
from layers import Dense


class Costs:
    """What the one stage of a run costs.

    Args:
        share: Data without their inputs, network, and who owns what.
    """

    def __init__(self, share: StochasticShare) -> None:
        self._share, self._options, self._task = share, share.options, share.facts.task
        self._neighbors = chain(share.owned)
        self._is_mlp = share.options.network == "mlp"
        self._itemsize = np.dtype(share.options.dtype).itemsize
        self._epochs = [share.epoch(number + 1) for number in range(share.options.epochs)]

    def stage(self) -> StageCosts:
        """See `MethodOptions.costs`."""
        options, share = self._options, self._share
        every = range(1, options.depth + 1)
        parameters = tree_bytes(self._saved(every)) // self._itemsize
        workers = tuple(self._worker(n) for n in range(len(share.owned)))
        passes = evaluations(options.epochs, options.eval_every)
        return StageCosts(parameters, options.epochs, passes, workers)

    def _layers(self, worker: int) -> range:
        own, cuts = self._share.owned[worker], self._share.cuts
        return range(cuts[own.start].start, cuts[own.stop - 1].stop)

    def _worker(self, worker: int) -> WorkerCosts:
        own, rows = self._layers(worker), len(self._task.targets)
        forward = [
            dense_flops(rows * positions, sides)
            for positions, *sides in (self._share.products[number - 1] for number in own)
        ]
        checkpoint = [*map(self._state, own), self._saved(own)]
        return WorkerCosts(
            f"layers {self._share.units(worker)}",
            sum(map(self._flops, own)) / len(self._epochs),
            sum(forward),
            tuple(self._messages(worker)),
            tree_bytes(checkpoint),
        )

    def _flops(self, number: int) -> float:
        """Of all epochs: the products of every row, and every W-step."""
        positions, n_in, n_out = self._share.products[number - 1]
        rows = sum(epoch.batches * epoch.size for epoch in self._epochs)
        steps = sum(len(epoch.groups) for epoch in self._epochs)
        factors = min(steps, WARM_UP) + max(steps - WARM_UP, 0) / self._options.factor_every
        m = n_in + 1
        solutions = factors * 7 * m**3 / 3 + steps * 2 * m**2 * n_out  # Cholesky's, the inverse, D
        products = stochastic_flops(rows * positions, n_in, n_out, number == 1, factors / steps)
        return products + solutions

    def _messages(self, worker: int) -> list[Message]:
        """Sizes of micro-batches differ from epoch to epoch: they are those of the stage."""
        own, (below, above) = self._layers(worker), self._neighbors[worker]
        shapes, codecs, found = self._share.shapes, codecs_of(self._options), []
        sizes: Counter[int] = Counter()
        for epoch in self._epochs:
            sizes[epoch.size] += epoch.batches
        ends = ((above, shapes[own.stop - 1]), (below, shapes[own.start - 1]))
        for variable, codec, (target, shape) in zip(VARIABLES, codecs, ends, strict=True):
            if target is not None:
                for size, count in sizes.items():
                    nbytes = codec.nbytes((size, *shape))
                    found.append(Message(variable, target, nbytes, count, "stage"))
        if above is not None:
            row = prod(shapes[own.stop - 1]) * self._itemsize
            chunks = chunk_sizes(len(self._task.targets), self._share.chunk)
            for size, count in Counter(chunks).items():
                found.append(Message(EVALUATION, above, size * row, count, "evaluation"))
        return found

    # Arrays.

    def _array(self, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, self._options.dtype)

    def _dense(self, n_in: int, n_out: int) -> Dense:
        return Dense(self._array(n_in, n_out), self._array(n_out))

    def _saved(self, own: range) -> list[Dense]:
        """Layers as they are saved, the first of an MLP with all inputs."""
        share, found = self._share, []
        for number in own:
            _, n_in, n_out = share.products[number - 1]
            n_in = share.facts.features if number == 1 and self._is_mlp else n_in
            found.append(self._dense(n_in, n_out))
        return found

    def _state(self, number: int) -> list[Any]:
        """What a checkpoint has of a layer in training."""
        _, n_in, n_out = self._share.products[number - 1]
        square = self._array(n_in + 1, n_in + 1)
        counter = jax.ShapeDtypeStruct((), "int32")
        return [self._dense(n_in, n_out), square, square, self._array(), counter]

    def peak_memory(self) -> list[int]:
        """See `MethodOptions.peak_memory`."""
        found = [self._memory(worker) for worker in range(len(self._share.owned))]
        facts, rows = self._share.facts, len(self._task.targets)
        # The inputs as they are read, and again for JAX.
        read = 2 * rows * facts.features * self._itemsize
        found[0] = max(found[0] + rows * facts.columns * self._itemsize, read)
        return found

    def _memory(self, worker: int) -> int:
        """States, networks of before and the best, what waits, and a W-step's kernel."""
        share, total = self._share, len(self._share.cuts)
        own = self._layers(worker)
        held: list[Any] = [*map(self._state, own), 2 * self._saved(own)]
        facts = share.facts
        if worker == 0 and facts.columns < facts.features:  # the basis, and rows that lose inputs
            dropped = facts.task.training_rows if dropout_of(self._options, facts) else 0
            held.append(self._array(2 * facts.columns + dropped, facts.features))
        kernels = []
        for part in share.owned[worker]:
            for number in share.cuts[part]:
                positions, n_in, n_out = share.products[number - 1]
                rows = max(
                    (2 * (total - 1 - part) + 1 + slots_of(groups_ahead(e.groups, part), e.size))
                    * e.size
                    for e in self._epochs
                )
                kept = prod(share.shapes[number - 1]) + positions * n_out
                held.append(self._array(rows, kept))
                kernels.append((n_in + 1) * (5 * (n_in + 1) + 4 * n_out))
                if not self._is_mlp:  # patches and δ, with the copies that XLA makes
                    at_once = max(slots_at_once(e.size) * e.size for e in self._epochs)
                    kernels[-1] += at_once * positions * (3 * n_in + 2 * n_out)
        chunk = min(len(self._task.targets), IN_FLIGHT * share.chunk)
        held.append(self._array(chunk, max(map(prod, share.shapes[own.start : own.stop]))))
        return tree_bytes(held) + max(kernels) * self._itemsize
