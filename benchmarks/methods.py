"""The methods that are timed, behind one interface: `prepare` sets one rank's part up.

    pdadmm-g            layers over ranks
    OPTIMIZER           backpropagation in one process
    … data-parallel     nodes over ranks
    … pipeline          layers over ranks

All of them train the same network on the same data. What is known of workers and solvers is here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from admm.comm import MPITransport, chain, in_turns
from admm.methods.layerwise.pipeline import PipelineWorker
from admm.methods.layerwise.worker import Codecs, LayerWorker
from admm.solvers import LEARNING_RATES, PDADMMG, Backprop
from benchmarks.cases import CLASSES, Case, Part
from benchmarks.data_parallel import SumTransport, full_batch
from benchmarks.model import backprop_costs
from layers import Dense, init_dense, layer_costs, split_layers, widths
from quant import CODEC_NAMES, make_codec

# Others need another arithmetic, or a set of levels.
CODECS = tuple(name for name in CODEC_NAMES if name not in ("float64", "levels"))


def prepare(case: Case, comm: Any) -> Part:
    """The part of this rank, with its arrays made and its messages set up.

    Raises:
        ValueError: If there is no such method, or not on so many ranks.
    """
    name, _, way = case.method.partition(" ")
    if case.method == "pdadmm-g":
        return _pdadmm_g(case, MPITransport(comm))
    if name not in LEARNING_RATES or way not in ("", "data-parallel", "pipeline"):
        raise ValueError(f"unknown method {case.method!r}")
    solver = Backprop(name, LEARNING_RATES[name])
    if way == "pipeline":
        return _pipeline(case, MPITransport(comm), solver)
    if way == "" and comm.size > 1:
        raise ValueError(f"{case.method!r} runs on one rank, got {comm.size}")
    return _nodes_over_ranks(case, SumTransport(comm), solver)


def _pdadmm_g(case: Case, transport: MPITransport) -> Part:
    codec = make_codec(case.codec)
    worker = LayerWorker(transport.local[0], PDADMMG(), transport, Codecs(codec, codec))

    def epoch() -> None:
        in_turns([worker.iteration(measure=False)])
        transport.share(worker.loss(), transport.size - 1)  # as the penalty schedule does

    products = _start(case, transport, worker, layer_costs, [_ptr, _pW, _rWt, _pW])
    return Part(epoch, worker.finish, products, transport)


def _pipeline(case: Case, transport: MPITransport, solver: Backprop) -> Part:
    worker = PipelineWorker(transport.local[0], solver, transport)
    products = _start(case, transport, worker, backprop_costs, _BACKPROP)
    return Part(lambda: in_turns([worker.iteration()]), worker.finish, products, transport)


def _start(
    case: Case,
    transport: MPITransport,
    worker: LayerWorker | PipelineWorker,
    costs: Callable[[Sequence[int]], list[int]],
    order: Sequence[Callable],
) -> Callable[[], None]:
    """Give a worker its layers; returns what runs their bare products."""
    shape = network_shape(case.width, case.layers)
    owned = [range(a, b + 1) for a, b in split_layers(costs(shape), transport.size)]
    own = owned[worker.index]
    x, y = draw_data(case)
    worker.start(
        [draw_layer(shape, number) for number in own],
        chain(owned)[worker.index],
        x if 1 in own else None,
        case.nodes,
        y if case.layers in own else None,
    )
    return _products(shape, case.nodes, own, order)


def _nodes_over_ranks(case: Case, transport: SumTransport, solver: Backprop) -> Part:
    shape = network_shape(case.width, case.layers)
    every = range(1, case.layers + 1)
    (rank,), ranks = transport.local, transport.size
    rows = slice(case.nodes * rank // ranks, case.nodes * (rank + 1) // ranks)
    x, y = (array[rows] for array in draw_data(case))
    trainer = full_batch(solver, transport, [draw_layer(shape, number) for number in every], x, y)
    products = _products(shape, len(x), every, _BACKPROP)
    return Part(trainer.epoch, trainer.finish, products, transport, trainer.ring_bytes)


def network_shape(width: int, layers: int) -> tuple[int, ...]:
    """n_0, …, n_L."""
    return widths(width, width, CLASSES, layers)


def draw_layer(shape: Sequence[int], number: int) -> Dense:
    """Layer `number` of the network, by He's rule."""
    n_in, n_out = shape[number - 1 : number + 1]
    return init_dense(0, number, (n_in, n_out), (2 / n_in) ** 0.5, "float32")


def draw_data(case: Case) -> tuple[jax.Array, jax.Array]:
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


_BACKPROP = (_ptr, _pW, _rWt)
