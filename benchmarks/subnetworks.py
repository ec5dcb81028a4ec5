"""The methods that train networks of images in mini-batches: `prepare` sets one rank's part up.

    gsadmm, gsam          subnetworks over ranks
    sadmm                 layers of an mlp over ranks
    adam                  backpropagation in one process
    adam data-parallel    the images of every mini-batch over ranks

All of them train the same network on the same mini-batches of the same data. Subnetworks are cut
as `admm train` cuts them.
"""

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from admm.comm import MPITransport, Transport, chain, in_turns
from admm.methods.stochastic.options import StochasticOptions
from admm.methods.stochastic.share import Product, layer_flops
from admm.methods.stochastic.worker import Codecs, Schedule, StochasticWorker
from admm.methods.subnetworks.calibration import module_seconds
from admm.methods.subnetworks.network import make_network
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.methods.subnetworks.worker import SubnetworkWorker
from admm.solvers import LEARNING_RATES, TSSM, Splitting
from admm.solvers.backprop import make_optimizer
from admm.solvers.losses import cross_entropy
from admm.solvers.stochastic import StochasticADMM, groups
from benchmarks.cases import CLASSES, NetworkCase, Part
from benchmarks.data_parallel import DataParallel, SumTransport
from layers import (
    Network,
    all_dense,
    build,
    deal_out,
    forward_costs,
    init_dense,
    module_shapes,
    split_layers,
    split_network,
    subnetwork_costs,
    widths,
)
from quant import make_codec

# Of an image: those of mnist14, mnist and cifar10.
_SHAPES = {"mlp": (14, 14, 1), "cnn": (28, 28, 1), "resnet": (32, 32, 3)}


class Data(NamedTuple):
    """Images, and the order in which they are visited."""

    images: Array
    labels: Array
    batches: list[np.ndarray]


def prepare(case: NetworkCase, comm: Any) -> Part:
    """The part of this rank, with its arrays made and its messages set up.

    Raises:
        ValueError: If there is no such method, or not on so many ranks.
    """
    if case.method in get_args(Splitting):
        if comm.size > case.subnetworks:
            raise ValueError(f"got {comm.size} ranks for {case.subnetworks} subnetworks")
        return _subnetworks_over_ranks(case, MPITransport(comm))
    if case.method == "sadmm":
        return _layers_over_ranks(case, MPITransport(comm))
    if case.method not in ("adam", "adam data-parallel"):
        raise ValueError(f"unknown method {case.method!r}")
    if case.method == "adam" and comm.size > 1:
        raise ValueError(f"{case.method!r} runs on one rank, got {comm.size}")
    transport = SumTransport(comm)
    trainer = make_adam(case, transport)
    return Part(trainer.epoch, trainer.finish, None, transport, trainer.ring_bytes)


def _subnetworks_over_ranks(case: NetworkCase, transport: MPITransport) -> Part:
    network, data = draw_network(case), draw_data(case)
    costs, shapes = forward_costs(network), module_shapes(network)
    solver = TSSM(case.method)  # type: ignore[arg-type]
    (rank,) = transport.local
    device = transport.device(rank)
    seconds = transport.at_root(lambda: module_seconds(network, shapes, case.batch, solver, device))
    weights = costs if all_dense(network) else seconds
    cuts = split_network(weights, case.subnetworks, case.cuts)
    owned = deal_out(weights, cuts, transport.size)
    own = owned[rank]
    worker = SubnetworkWorker(rank, solver, transport, make_codec(case.codec))
    worker.start(
        [build(network, cuts[number], seed=0) for number in own],
        own,
        cuts,
        shapes,
        chain(owned)[rank],
        len(data.labels),
        data.images,
        data.labels,
    )

    def epoch() -> None:
        # Nothing is kept of p and q: a first epoch is like any other.
        in_turns([worker.iteration(data.batches, first=False)])

    work = subnetwork_costs(seconds, cuts)
    about = {
        "cuts": [each.stop for each in cuts[:-1]],
        "module_ms": [1e3 * each for each in seconds],
        "floor": max(work) / sum(work),
    }
    return Part(epoch, worker.finish, None, transport, about=about)


def _layers_over_ranks(case: NetworkCase, transport: MPITransport) -> Part:
    data = draw_data(case)
    images = data.images.reshape(len(data.images), -1)
    given = StochasticOptions(layers=case.layers, hidden=case.hidden, batch=(case.batch,))
    shape = widths(images.shape[1], case.hidden, CLASSES, case.layers)
    products = [Product(1, n_in, n_out) for n_in, n_out in pairwise(shape)]
    split = split_layers(layer_flops(given, products), transport.size)
    owned = [range(first - 1, last) for first, last in split]
    (rank,) = transport.local
    codec = make_codec(case.codec)
    worker = StochasticWorker(rank, StochasticADMM(), transport, Codecs(codec, codec))
    worker.start(
        [[init_dense(0, n + 1, (shape[n], shape[n + 1]), 0.05, "float32")] for n in owned[rank]],
        owned[rank],
        case.layers,
        chain(owned)[rank],
        images,
        data.labels,
    )
    grouped = groups(case.batches, given.least_group)
    order, key = np.stack(data.batches), jax.random.key(0)
    schedule = Schedule(order, grouped, len(grouped) * [given.first_rate / 10], 0.0, key)

    def epoch() -> None:
        in_turns([worker.iteration(schedule)])

    return Part(epoch, worker.finish, None, transport)


def make_adam(case: NetworkCase, transport: Transport) -> DataParallel[tuple[PyTree, PyTree]]:
    """Adam on a whole network; the images of a mini-batch are shared out over the processes.

    Args:
        case: Network and data.
        transport: Adds up over its processes.
    """
    network = draw_network(case)
    images, labels, batches = draw_data(case)
    (rank,), ranks = transport.local, transport.size
    own = [
        batch[len(batch) * rank // ranks : len(batch) * (rank + 1) // ranks] for batch in batches
    ]
    module = build(network, range(len(network.builders)), seed=0)
    params, static = eqx.partition(module, eqx.is_inexact_array)
    optimizer = make_optimizer("adam", LEARNING_RATES["adam"])
    gradients = jax.grad(partial(_share_of_loss, static, case.batch))

    def share(state: tuple[PyTree, PyTree], *rows: Array) -> PyTree:
        return gradients(state[0], *rows)

    def update(state: tuple[PyTree, PyTree], total: PyTree) -> tuple[tuple[PyTree, PyTree], None]:
        params, memory = state
        changes, memory = optimizer.update(total, memory, params)
        return (optax.apply_updates(params, changes), memory), None

    return DataParallel(
        transport,
        (params, optimizer.init(params)),
        share,
        update,
        [(images, labels, numbers) for numbers in own],
        overwrite=True,
    )


def _share_of_loss(
    static: Any, batch: int, params: PyTree, images: Array, labels: Array, own: Array
) -> Array:
    """What some images add to the mean loss of a mini-batch of size `batch`."""
    logits = eqx.combine(params, static)(images[own])
    return jnp.sum(cross_entropy(logits, labels[own])) / batch


def draw_network(case: NetworkCase) -> Network:
    """The network, for images of its usual shape."""
    options = SubnetworkOptions(network=case.network, **case.sizes)  # type: ignore[arg-type]
    return make_network(options, _SHAPES[case.network], CLASSES)


def draw_data(case: NetworkCase) -> Data:
    """Random images and classes, in mini-batches of equal size."""
    rng, count = np.random.default_rng(0), case.batch * case.batches
    images = rng.standard_normal((count, *_SHAPES[case.network]), np.float32)
    labels = rng.integers(CLASSES, size=count).astype(np.int32)
    order = rng.permutation(count).astype(np.int32)
    return Data(jnp.asarray(images), jnp.asarray(labels), np.split(order, case.batches))
