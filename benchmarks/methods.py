"""The methods that are timed, behind one interface: `prepare` sets one rank's part up.

    pdadmm-g            layers over ranks
    OPTIMIZER           backpropagation in one process
    … data-parallel     nodes over ranks
    … pipeline          layers over ranks

All of them train the same network on the same data. What is known of workers and solvers is here.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from admm import parallel
from admm.parallel import Codecs, DataParallel, PipelineWorker, Transport, Worker, chain, pipeline
from admm.parallel.mpi_transport import MPITransport
from admm.solvers import PDADMMG
from admm.solvers.backprop import LEARNING_RATES, Backprop
from benchmarks.epoch import Case
from benchmarks.model import backprop_costs
from layers import Dense, init_dense, layer_costs, split_layers, widths
from quant import make_codec

CLASSES = 10


class Part(NamedTuple):
    """One rank's part of a method."""

    epoch: Callable[[], None]  # starts one epoch, after those before
    finish: Callable[[], None]  # waits until the last one is done
    products: Callable[[], None] | None  # runs the bare products of an epoch
    transport: Transport
    reduced: float = 0.0  # bytes sent in an epoch that the transport does not count


def prepare(case: Case, comm: Any) -> Part:
    """The part of this rank, with its arrays made and its messages set up.

    Raises:
        ValueError: If there is no such method, or not on so many ranks.
    """
    name, _, way = case.method.partition(" ")
    transport = MPITransport(comm)
    if case.method == "pdadmm-g":
        codec = make_codec(case.codec)
        worker = Worker(comm.rank, PDADMMG(), transport, Codecs(codec, codec))
        order = [_ptr, _pW, _rWt, _pW]
        return _layers_over_ranks(case, transport, worker, _iterate, layer_costs, order)
    if name not in LEARNING_RATES or way not in ("", "data-parallel", "pipeline"):
        raise ValueError(f"unknown method {case.method!r}")
    solver, order = Backprop(name, LEARNING_RATES[name]), [_ptr, _pW, _rWt]
    if way == "pipeline":
        piped = PipelineWorker(comm.rank, solver, transport)
        return _layers_over_ranks(case, transport, piped, pipeline.iterate, backprop_costs, order)
    if way == "" and comm.size > 1:
        raise ValueError(f"{case.method!r} runs on one rank, got {comm.size}")
    return _nodes_over_ranks(case, transport, solver, order)


def _layers_over_ranks(
    case: Case,
    transport: MPITransport,
    worker: Worker | PipelineWorker,
    iterate: Callable[[Any], None],
    costs: Callable[[Sequence[int]], list[int]],
    order: Sequence[Callable],
) -> Part:
    shape, last = network_shape(case.width, case.layers), transport.size - 1
    owned = [range(a, b + 1) for a, b in split_layers(costs(shape), transport.size)]
    own = owned[worker.index]
    x, y = _data(case)
    worker.start(
        [_layer(shape, number) for number in own],
        chain(owned)[worker.index],
        x if 1 in own else None,
        case.nodes,
        y if case.layers in own else None,
    )

    def epoch() -> None:
        iterate([worker])
        if isinstance(worker, Worker):
            transport.share(worker.loss(), last)  # as the penalty schedule does

    return Part(epoch, worker.finish, _products(shape, case.nodes, own, order), transport)


def _nodes_over_ranks(
    case: Case, transport: MPITransport, solver: Backprop, order: Sequence[Callable]
) -> Part:
    shape = network_shape(case.width, case.layers)
    network = [_layer(shape, number) for number in range(1, case.layers + 1)]
    rank, ranks = transport.comm.rank, transport.size
    rows = slice(case.nodes * rank // ranks, case.nodes * (rank + 1) // ranks)
    x, y = (array[rows] for array in _data(case))
    products = _products(shape, len(x), range(1, case.layers + 1), order)
    if case.method.endswith("data-parallel"):
        trainer = DataParallel(solver, transport, network, x, y)

        def epoch() -> None:
            trainer.step()

        def finish() -> None:
            jax.block_until_ready(trainer.block)

        ring = 2 * (ranks - 1) / ranks * 4 * (1 + sum(W.size + b.size for W, b in network))
        return Part(epoch, finish, products, transport, reduced=ring)
    state = solver.init(network, x, y)

    def serial() -> None:
        nonlocal state
        state, _ = solver.step(state)

    return Part(serial, lambda: jax.block_until_ready(state), products, transport)


def _iterate(workers: Sequence[Worker]) -> None:
    parallel.iterate(workers, measure=False)


def network_shape(width: int, layers: int) -> tuple[int, ...]:
    """n_0, …, n_L."""
    return widths(width, width, CLASSES, layers)


def _layer(shape: Sequence[int], number: int) -> Dense:
    """Layer `number` of the network, by He's rule."""
    n_in, n_out = shape[number - 1 : number + 1]
    return init_dense(0, number, (n_in, n_out), (2 / n_in) ** 0.5, "float32")


def _data(case: Case) -> tuple[jax.Array, jax.Array]:
    """Inputs and one-hot targets."""
    x = np.random.default_rng(0).standard_normal((case.nodes, case.width), np.float32)
    return jnp.asarray(x), jax.nn.one_hot(np.arange(case.nodes) % CLASSES, CLASSES)


def _products(
    shape: Sequence[int], rows: int, own: Sequence[int], order: Sequence[Callable]
) -> Callable[[], None]:
    """Runs the products of some layers; those after the second are not needed in layer 1."""
    draw = np.random.default_rng(1).standard_normal
    arrays = {}
    for number in own:
        n_in, n_out = shape[number - 1 : number + 1]
        if (n_in, n_out) not in arrays:
            sizes = ((rows, n_in), (rows, n_out), (n_in, n_out))
            arrays[n_in, n_out] = [jnp.asarray(draw(size, np.float32)) for size in sizes]

    def run() -> None:
        for number in own:
            prW = arrays[shape[number - 1], shape[number]]
            for product in order[: 2 if number == 1 else None]:
                product(*prW).block_until_ready()

    return run


@jax.jit
def _rWt(p, r, W):
    return r @ W.T


@jax.jit
def _pW(p, r, W):
    return p @ W


@jax.jit
def _ptr(p, r, W):
    return p.T @ r
