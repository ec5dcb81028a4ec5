"""What training a network cut into subnetworks costs, from shapes: nothing is trained."""

from collections import Counter
from functools import partial
from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from admm.comm import chain, chunk_sizes, tree_bytes
from admm.comm.chain import IN_FLIGHT
from admm.methods.subnetworks.losses import loss_targets
from admm.methods.subnetworks.network import CHUNK
from admm.methods.subnetworks.share import SubnetworkShare
from admm.methods.subnetworks.training import solver_of
from admm.methods.subnetworks.worker import batches_in_flight, variables
from admm.run.costs import EVALUATION, Message, StageCosts, WorkerCosts, evaluations
from admm.run.options import codec_of
from admm.solvers import tssm_flops
from admm.solvers.tssm import Residuals, batches
from layers import build, takes_key
from quant import make_codec


class Costs:
    """What the one stage of a run costs.

    Args:
        share: Data without their inputs, network, and who owns what.
    """

    def __init__(self, share: SubnetworkShare) -> None:
        self._share, self._options, self._task = share, share.options, share.facts.task
        self._solver = solver_of(share.options, self._task)
        self._codec = make_codec(codec_of(share.options))
        self._neighbors = chain(share.owned)
        given = (share.options.seed, 1, self._task.training_rows, share.options.batch)
        self._batches = Counter(map(len, batches(*given)))
        self._itemsize = np.dtype(share.options.dtype).itemsize

    def stage(self) -> StageCosts:
        """See `MethodOptions.costs`."""
        options, share = self._options, self._share
        whole = range(len(share.shapes) - 1)
        parameters = tree_bytes(self._params(whole)) // self._itemsize
        passes = evaluations(options.epochs, options.eval_every)
        workers = tuple(self._worker(n) for n in range(len(share.owned)))
        return StageCosts(parameters, options.epochs, passes, workers)

    def _worker(self, worker: int) -> WorkerCosts:
        share, own = self._share, self._share.owned[worker]
        modules = self._modules(worker)
        forward = sum(share.costs[n] for n in modules)
        checkpoint = [self._state(n) for n in own], self._params(modules)
        return WorkerCosts(
            f"modules {share.units(worker)}",
            sum(map(self._flops, own)),
            len(self._task.targets) * forward,
            tuple(self._messages(worker)),
            tree_bytes(checkpoint),
        )

    def _modules(self, worker: int) -> range:
        own, cuts = self._share.owned[worker], self._share.cuts
        return range(cuts[own[0]].start, cuts[own[-1]].stop)

    def _flops(self, number: int) -> float:
        costs, cuts, samples = self._share.costs, self._share.cuts, self._task.training_rows
        forward = samples * sum(costs[n] for n in cuts[number])
        lowest = samples * costs[0] if number == 0 else 0.0
        return tssm_flops(self._solver, forward, lowest, top=number == len(cuts) - 1)

    def _messages(self, worker: int) -> list[Message]:
        modules, (below, above) = self._modules(worker), self._neighbors[worker]
        up, down = variables(self._options.solver)
        found = []
        for variable, target, edge in ((up, above, modules.stop), (down, below, modules.start)):
            if target is not None:
                shape = self._share.shapes[edge]
                for size, count in self._batches.items():
                    nbytes = self._codec.nbytes((size, *shape))
                    found.append(Message(variable, target, nbytes, count, "epoch"))
        if above is not None:
            row = prod(self._share.shapes[modules.stop]) * self._itemsize
            for size, count in Counter(chunk_sizes(len(self._task.targets), CHUNK)).items():
                found.append(Message(EVALUATION, above, size * row, count, "evaluation"))
        return found

    # Arrays.

    def _array(self, rows: int, module: int) -> Any:
        """Rows of what a module reads."""
        whole = self._share.facts.input_dtype if module == 0 else None
        dtype = whole or self._options.dtype
        return jax.ShapeDtypeStruct((rows, *self._share.shapes[module]), dtype)

    def _subnetwork(self, modules: range) -> Any:
        return eqx.filter_eval_shape(
            partial(build, self._share.network, modules, self._options.seed)
        )

    def _params(self, modules: range) -> Any:
        return eqx.partition(self._subnetwork(modules), _is_inexact)[0]

    def _state(self, number: int) -> list[Any]:
        """What a checkpoint has of a subnetwork."""
        modules, samples = self._share.cuts[number], self._task.training_rows
        zeros = self._array(samples, modules.start)
        trained = eqx.filter_eval_shape(self._solver.init, self._subnetwork(modules))
        sums = jax.ShapeDtypeStruct((1 + len(Residuals._fields),), self._options.dtype)
        if number == 0:
            return [trained, sums]
        kept = jax.eval_shape(
            lambda: self._solver.init_kept(lambda: jnp.zeros(zeros.shape, zeros.dtype))
        )
        on_another = number == self._share.owned[self._owner(number)].start
        memory = zeros if on_another and self._codec.remembers else None
        return [trained, sums, kept, memory]

    def _owner(self, number: int) -> int:
        return next(worker for worker, own in enumerate(self._share.owned) if number in own)

    def peak_memory(self) -> list[int]:
        """See `MethodOptions.peak_memory`; XLA says what its kernels take."""
        found = [self._memory(worker) for worker in range(len(self._share.owned))]
        rows = len(self._task.targets) * prod(self._share.facts.shape)
        # Images of a byte a pixel, as numbers, and these again in the order of the split.
        found[0] = max(found[0] + rows * self._itemsize, rows * (1 + 2 * self._itemsize))
        return found

    def _memory(self, worker: int) -> int:
        """States, networks of before and the best, mini-batches in flight, and a kernel."""
        share, modules = self._share, self._modules(worker)
        batch, total = max(self._batches), len(share.cuts)
        held: list[Any] = [*map(self._state, share.owned[worker]), 2 * [self._params(modules)]]
        if self._neighbors[worker].above is not None and self._codec.remembers:
            held.append(self._array(self._task.training_rows, modules.stop))
        for number in share.owned[worker]:
            own = share.cuts[number]
            below = 4 * [self._array(batch, own.start)]  # f as it arrived, p, q, u
            flights = batches_in_flight(number, total)
            held.append(flights * [below, self._array(batch, own.stop)])
        kernels = [self._kernels(number) for number in share.owned[worker]]
        # Chunks of an evaluation on their way.
        rows = min(len(self._task.targets), IN_FLIGHT * CHUNK)
        ends = zip(self._neighbors[worker], (modules.start, modules.stop), strict=True)
        held += [self._array(rows, end) for other, end in ends if other is not None]
        return tree_bytes(held) + max(map(max, kernels))

    def _kernels(self, number: int) -> tuple[int, int]:
        """Bytes that an evaluation and a step of a subnetwork take beside what they read."""
        own, batch = self._share.cuts[number], max(self._batches)
        params, static = eqx.partition(self._subnetwork(own), _is_inexact)
        trained = jax.eval_shape(self._solver.init, params)
        rows = min(CHUNK, len(self._task.targets))
        x, f = self._array(batch, own.start), self._array(batch, own.stop)
        forward = jax.jit(partial(self._solver.forward, eqx.nn.inference_mode(static)))
        keys = None
        if any(map(takes_key, static.modules)):
            keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch))
        if number == len(self._share.cuts) - 1:
            targets = loss_targets(self._task, self._share.shapes[-1])
            wanted = jax.ShapeDtypeStruct((batch, *targets.shape[1:]), targets.dtype)
            step = jax.jit(partial(self._solver.fit_top, static)).lower(trained, x, wanted, keys)
        else:
            step = jax.jit(partial(self._solver.fit, static)).lower(trained, x, f, f, keys)
        evaluated = _beside(forward.lower(params, self._array(rows, own.start)))
        return evaluated, _beside(step) - tree_bytes(trained)  # whose arrays are used again


def _is_inexact(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _beside(lowered: Any) -> int:
    """Bytes of results and of what lies between."""
    known = lowered.compile().memory_analysis()
    return known.temp_size_in_bytes + known.output_size_in_bytes
