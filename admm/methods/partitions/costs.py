"""What full-graph training over parts costs, from shapes: nothing is computed."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from admm.comm import tree_bytes
from admm.methods.partitions.halos import sends
from admm.methods.partitions.predicted import state_shapes
from admm.methods.partitions.share import PartitionShare
from admm.methods.partitions.training import new_network, optimizer_of
from admm.methods.partitions.worker import DOWN, EVALUATION, UP
from admm.run.costs import Message, StageCosts, WorkerCosts, evaluations
from admm.run.options import codec_of
from admm.solvers.predictors import LENGTH
from quant import make_codec


class _Traffic(NamedTuple):
    """Rows of one width between all parts that need them."""

    width: int
    back: bool
    times: int  # in a run


class Costs:
    """What the one stage of a run costs.

    Args:
        share: Its plan.
    """

    def __init__(self, share: PartitionShare) -> None:
        self._share, self._options, self._plan = share, share.options, share.plan
        self._itemsize = np.dtype(share.options.dtype).itemsize
        self._hidden = list(share.widths[1:-1])
        self._network = jax.eval_shape(lambda: new_network(share.options, share.widths))

    def stage(self) -> StageCosts:
        """See `MethodOptions.costs`."""
        options = self._options
        workers = tuple(self._worker(n) for n in range(len(self._plan.owned)))
        passes = evaluations(options.epochs, options.eval_every)
        parameters = tree_bytes(self._network) // self._itemsize
        return StageCosts(parameters, options.epochs, passes, workers)

    def _worker(self, worker: int) -> WorkerCosts:
        parts = len(self._plan.owned[worker])
        forward, epoch = self._flops()
        return WorkerCosts(
            f"parts {self._share.units(worker)}",
            parts * epoch,
            parts * forward,
            tuple(self._messages(worker)),
            self._checkpoint(worker),
        )

    def _flops(self) -> tuple[float, float]:
        """Of a part: of its forward pass, and of an epoch."""
        options, plan, widths = self._options, self._plan, self._share.widths
        matrices = 2 if options.network == "sage" else 1
        forward = [2.0 * plan.inputs * widths[1]]
        for n_in, n_out in pairwise(widths[1:]):
            products = 2 * matrices * plan.own * n_in * n_out
            forward.append(products + 2 * (plan.inner + plan.outer) * n_in)
        epoch = 2 * forward[0] + 3 * sum(forward[1:])
        if options.halo == "refresh":
            first = plan.halo * plan.inputs / plan.own * widths[1]
            others = sum(3 * matrices * plan.halo * n * n for n in self._hidden[1:])
            epoch += 4 * first + 2 * others
        if options.predictor == "lstm-gcn":
            # A pass over the snapshots with its gradient, and one ahead.
            rows = plan.own + plan.halo
            recurrent = sum(2 * LENGTH * rows * 2 * n * 4 * n for n in self._hidden)
            graph = sum(2 * (2 * rows * n * n + 2 * plan.induced * n) for n in self._hidden)
            epoch += 4 * (recurrent + graph)
        return float(sum(forward)), float(epoch)

    def _traffic(self) -> Iterator[_Traffic]:
        """Of a run, its evaluations aside."""
        options, epochs, hidden = self._options, self._options.epochs, self._hidden
        exact = epochs
        if options.halo == "admm":
            exact = min(epochs, options.exact_epochs or 0)
        rounds = sum(sends(n, *options.schedule) for n in range(1, epochs + 1))
        later = sum(sends(n, *options.schedule) for n in range(1, epochs - exact + 1))
        for width in hidden[:-1] if options.halo == "refresh" else hidden:
            if options.halo in ("stale", "refresh"):
                yield _Traffic(width, False, rounds)
            elif options.halo != "drop":
                for back in (False, True):
                    yield _Traffic(width, back, exact + later)

    def _messages(self, worker: int) -> Iterator[Message]:
        plan, codec = self._plan, make_codec(codec_of(self._options))
        for width, back, times in self._traffic():
            for (a, b), rows in plan.crossing(back):
                if plan.worker[a] == worker:
                    nbytes = codec.nbytes((rows, width))
                    yield Message(DOWN if back else UP, plan.worker[b], nbytes, times, "stage")
        for width in self._hidden:
            for (a, b), rows in plan.crossing():
                if plan.worker[a] == worker:
                    nbytes = rows * width * self._itemsize
                    yield Message(EVALUATION, plan.worker[b], nbytes, 1, "evaluation")
        if worker > 0:
            nbytes = plan.own * self._share.widths[-1] * self._itemsize
            yield Message(EVALUATION, 0, nbytes, len(plan.owned[worker]), "evaluation")

    # Arrays.

    def _array(self, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, self._options.dtype)

    def _checkpoint(self, worker: int) -> int:
        """State and network after the last epoch."""
        own, found = self._plan.owned[worker], []
        found += [self._kept() for _ in own]
        if worker == 0:
            optimizer = optimizer_of(self._options)
            memory = jax.eval_shape(optimizer.init, self._network)
            found += [2 * list(self._network), memory]
        codec = make_codec(codec_of(self._options))
        for width, back, _ in self._traffic() if codec.remembers else ():
            for (a, b), rows in self._plan.pairs(back):
                ends = (a in own) + (b in own)
                found.append(ends * [self._array(rows, width)])
        return tree_bytes(found)

    def _kept(self) -> list[Any]:
        """Rows that a part keeps from epoch to epoch."""
        options, plan = self._options, self._plan
        halos = [self._array(plan.halo, width) for width in self._hidden]
        owns = [self._array(plan.own, width) for width in self._hidden]
        if options.halo == "pipe":
            return [halos, owns]
        if options.halo == "refresh":
            return halos[:-1]
        if options.halo == "stale":
            return [(1 + (options.order != "fresh")) * halos, self._predictors()]
        if options.halo == "admm":
            return [halos, owns, owns, [self._array(plan.own, 1) for _ in owns]]
        return []

    def _predictors(self) -> list[Any]:
        """States of the predictors of a part."""
        options, plan = self._options, self._plan
        if options.predictor == "none":
            return []
        return [state_shapes(options, plan.own, plan.halo, width) for width in self._hidden]

    def peak_memory(self) -> list[int]:
        """See `MethodOptions.peak_memory`."""
        return [self._memory(worker) for worker in range(len(self._plan.owned))]

    def _memory(self, worker: int) -> int:
        """Constant arrays, what the backward pass needs, and what is kept."""
        plan, parts = self._plan, len(self._plan.owned[worker])
        halos = self._options.halo == "refresh"
        entries = 2 * (plan.inner + plan.outer) * (self._itemsize + 4)
        inputs = plan.inputs * (1 + halos * plan.halo / plan.own)
        dense = plan.inputs >= plan.own * self._share.widths[0]
        inputs *= self._itemsize * (1 if dense else 4)
        rows = (4 * plan.own + 2 * plan.halo) * sum(self._hidden) * self._itemsize
        kept = tree_bytes(self._kept())
        if self._options.predictor == "lstm-gcn":
            entries += 2 * plan.induced * (self._itemsize + 4)
            # Gates and memories of every snapshot, for the gradient.
            passed = 8 * LENGTH * (plan.own + plan.halo) * max(self._hidden, default=0)
            rows += passed * self._itemsize
        return int(parts * (entries + inputs + rows + kept)) + 6 * tree_bytes(self._network)
