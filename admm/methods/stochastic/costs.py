"""What training with stochastic ADMM costs, from shapes: nothing is computed."""

from collections import Counter
from typing import Any

import jax
import numpy as np

from admm.comm import chain, chunk_sizes, tree_bytes
from admm.comm.chain import CHUNK, IN_FLIGHT
from admm.methods.stochastic.share import StochasticShare, dropout_of
from admm.methods.stochastic.training import codecs_of
from admm.methods.stochastic.worker import VARIABLES, slots_of
from admm.run.costs import EVALUATION, Message, StageCosts, WorkerCosts, evaluations
from admm.solvers.flops import dense_flops, stochastic_flops
from admm.solvers.stochastic import WARM_UP, groups_ahead
from layers import Dense


class Costs:
    """What the one stage of a run costs.

    Args:
        share: Data without their inputs, network, and who owns what.
    """

    def __init__(self, share: StochasticShare) -> None:
        self._share, self._options, self._task = share, share.options, share.facts.task
        self._neighbors = chain(share.owned)
        self._itemsize = np.dtype(share.options.dtype).itemsize
        self._epochs = [share.epoch(number + 1) for number in range(share.options.epochs)]

    def stage(self) -> StageCosts:
        """See `MethodOptions.costs`."""
        options, share = self._options, self._share
        every = range(1, options.layers + 1)
        parameters = tree_bytes(self._saved(every)) // self._itemsize
        workers = tuple(self._worker(n) for n in range(len(share.owned)))
        passes = evaluations(options.epochs, options.eval_every)
        return StageCosts(parameters, options.epochs, passes, workers)

    def _layers(self, worker: int) -> range:
        own, cuts = self._share.owned[worker], self._share.cuts
        return range(cuts[own.start].start, cuts[own.stop - 1].stop)

    def _worker(self, worker: int) -> WorkerCosts:
        own = self._layers(worker)
        span = self._share.shape[own.start - 1 : own.stop]
        checkpoint = [*map(self._state, own), self._saved(own)]
        return WorkerCosts(
            f"layers {self._share.units(worker)}",
            sum(map(self._flops, own)) / len(self._epochs),
            dense_flops(len(self._task.targets), span),
            tuple(self._messages(worker)),
            tree_bytes(checkpoint),
        )

    def _flops(self, number: int) -> float:
        """Of all epochs: the products of every row, and every W-step."""
        n_in, n_out = self._share.shape[number - 1 : number + 1]
        rows = sum(epoch.batches * epoch.size for epoch in self._epochs)
        steps = sum(len(epoch.groups) for epoch in self._epochs)
        factors = min(steps, WARM_UP) + max(steps - WARM_UP, 0) / self._options.factor_every
        m = n_in + 1
        solutions = factors * 7 * m**3 / 3 + steps * 2 * m**2 * n_out  # Cholesky's, the inverse, D
        products = stochastic_flops(rows, n_in, n_out, number == 1, factors / steps)
        return products + solutions

    def _messages(self, worker: int) -> list[Message]:
        """Sizes of micro-batches differ from epoch to epoch: they are those of the stage."""
        own, (below, above) = self._layers(worker), self._neighbors[worker]
        shape, codecs, found = self._share.shape, codecs_of(self._options), []
        sizes: Counter[int] = Counter()
        for epoch in self._epochs:
            sizes[epoch.size] += epoch.batches
        ends = ((above, shape[own.stop - 1]), (below, shape[own.start - 1]))
        for variable, codec, (target, width) in zip(VARIABLES, codecs, ends, strict=True):
            if target is not None:
                for size, count in sizes.items():
                    nbytes = codec.nbytes((size, width))
                    found.append(Message(variable, target, nbytes, count, "stage"))
        if above is not None:
            row = shape[own.stop - 1] * self._itemsize
            for size, count in Counter(chunk_sizes(len(self._task.targets))).items():
                found.append(Message(EVALUATION, above, size * row, count, "evaluation"))
        return found

    # Arrays.

    def _array(self, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, self._options.dtype)

    def _dense(self, n_in: int, n_out: int) -> Dense:
        return Dense(self._array(n_in, n_out), self._array(n_out))

    def _saved(self, own: range) -> list[Dense]:
        """Layers as they are saved, the first with all inputs."""
        shape = (self._share.facts.features, *self._share.shape[1:])
        return [self._dense(*shape[number - 1 : number + 1]) for number in own]

    def _state(self, number: int) -> list[Any]:
        """What a checkpoint has of a layer in training."""
        n_in, n_out = self._share.shape[number - 1 : number + 1]
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
                n_in, n_out = share.shape[number - 1 : number + 1]
                rows = max(
                    (2 * (total - 1 - part) + 1 + slots_of(groups_ahead(e.groups, part), e.size))
                    * e.size
                    for e in self._epochs
                )
                held.append(self._array(rows, n_in + n_out))
                kernels.append((n_in + 1) * (5 * (n_in + 1) + 4 * n_out))
        chunk = min(len(self._task.targets), IN_FLIGHT * CHUNK)
        held.append(self._array(chunk, max(share.shape[own.start : own.stop])))
        return tree_bytes(held) + max(kernels) * self._itemsize
