"""The methods that are timed, behind one interface: `prepare` sets one rank's part up.

All of them train the same network on the same data. What is known of workers and solvers is here.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from admm.parallel import Codecs, Transport, Worker, chain, iterate
from admm.parallel.mpi_transport import MPITransport
from admm.solvers import PDADMMG
from benchmarks.epoch import Case
from layers import Dense, init_dense, layer_costs, split_layers, widths
from quant import make_codec

CLASSES = 10


class Part(NamedTuple):
    """One rank's part of a method."""

    epoch: Callable[[], None]  # runs one epoch to its end
    products: Callable[[], None]  # runs the bare products of an epoch
    transport: Transport


def prepare(case: Case, comm: Any) -> Part:
    """The part of this rank, with its arrays made and its messages set up."""
    transport = MPITransport(comm)
    return _pdadmm_g(case, comm, transport)


def _pdadmm_g(case: Case, comm: Any, transport: Transport) -> Part:
    shape = network_shape(case.width, case.layers)
    owned = [range(a, b + 1) for a, b in split_layers(layer_costs(shape), comm.size)]
    own, codec = owned[comm.rank], make_codec(case.codec)
    worker = Worker(comm.rank, PDADMMG(), transport, Codecs(codec, codec))
    x, y = _data(case)
    worker.start(
        [_layer(shape, number) for number in own],
        chain(owned)[comm.rank],
        x if 1 in own else None,
        case.nodes,
        y if case.layers in own else None,
    )

    def epoch() -> None:
        iterate([worker])
        transport.share(worker.loss(), comm.size - 1)  # as the penalty schedule does
        jax.block_until_ready(worker.block)

    order = [_ptr, _pW, _rWt, _pW]
    return Part(epoch, _products(shape, case.nodes, own, order), transport)


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
