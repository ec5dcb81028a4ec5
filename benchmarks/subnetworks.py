"""The methods that train networks of images in mini-batches, behind the interface of `methods`.

    gsadmm, gsam          subnetworks over ranks
    adam                  backpropagation in one process
    adam data-parallel    the images of every mini-batch over ranks

All of them train the same network on the same mini-batches of the same data.
"""

from functools import partial
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from admm.parallel import SubnetworkWorker, Transport, chain, run_epoch
from admm.parallel.mpi_transport import MPITransport
from admm.solvers.backprop import LEARNING_RATES, make_optimizer
from admm.solvers.tssm import TSSM, Method, cross_entropy
from admm.training.network import make_network
from admm.training.subnetwork_options import ONLY_FOR, SubnetworkOptions
from benchmarks.epoch import NetworkCase
from benchmarks.methods import CLASSES, Part
from layers import Network, build, deal_out, forward_costs, module_shapes, split_network
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
    transport = MPITransport(comm)
    if case.method in get_args(Method):
        if comm.size > case.subnetworks:
            raise ValueError(f"got {comm.size} ranks for {case.subnetworks} subnetworks")
        return _subnetworks_over_ranks(case, transport)
    if case.method not in ("adam", "adam data-parallel"):
        raise ValueError(f"unknown method {case.method!r}")
    if case.method == "adam" and comm.size > 1:
        raise ValueError(f"{case.method!r} runs on one rank, got {comm.size}")
    trainer = Adam(case, transport)
    ring = 2 * (comm.size - 1) / comm.size * 4 * trainer.size * case.batches
    return Part(trainer.epoch, trainer.finish, None, transport, reduced=ring)


def _subnetworks_over_ranks(case: NetworkCase, transport: MPITransport) -> Part:
    network, data = draw_network(case), draw_data(case)
    costs = forward_costs(network)
    cuts = split_network(costs, case.subnetworks)
    owned = deal_out(costs, cuts, transport.size)
    (rank,) = transport.local
    own = owned[rank]
    solver = TSSM(case.method)  # type: ignore[arg-type]
    worker = SubnetworkWorker(rank, solver, transport, make_codec(case.codec))
    worker.start(
        [build(network, cuts[number], seed=0) for number in own],
        own,
        cuts,
        module_shapes(network),
        chain(owned)[rank],
        len(data.labels),
        data.images,
        data.labels,
    )

    def epoch() -> None:
        # Nothing is kept of p and q: a first epoch is like any other.
        run_epoch([worker], data.batches, first=False)

    return Part(epoch, worker.finish, None, transport)


class Adam:
    """Adam on a whole network; the images of a mini-batch are shared out over the processes.

    One process alone takes a step in one compiled call. Several sum their gradients, in one buffer,
    once a mini-batch; a step is that of one process to rounding.

    Args:
        case: Network and data.
        transport: Adds up over its processes.

    Attributes:
        params: The parameters, the same in every process.
        size: How many numbers they are.
    """

    def __init__(self, case: NetworkCase, transport: Transport) -> None:
        network = draw_network(case)
        images, labels, batches = draw_data(case)
        (rank,), ranks = transport.local, transport.size
        self._own = [
            batch[len(batch) * rank // ranks : len(batch) * (rank + 1) // ranks]
            for batch in batches
        ]
        self._data = (images, labels)
        self._transport = transport
        self._optimizer = make_optimizer("adam", LEARNING_RATES["adam"])
        module = build(network, range(len(network.builders)), seed=0)
        self.params, static = eqx.partition(module, eqx.is_inexact_array)
        self._memory = self._optimizer.init(self.params)
        flat, self._unravel = ravel_pytree(self.params)
        self.size = len(flat)
        gradients = jax.grad(partial(_share_of_loss, static, case.batch))
        self._gradients = jax.jit(lambda *given: ravel_pytree(gradients(*given))[0])
        self._update = jax.jit(self._updated, donate_argnums=(0, 1))
        self._step = jax.jit(
            lambda params, memory, *given: self._changed(params, memory, gradients(params, *given)),
            donate_argnums=(0, 1),
        )

    def epoch(self) -> None:
        """Start one epoch."""
        for own in self._own:
            if self._transport.size == 1:
                self.params, self._memory = self._step(self.params, self._memory, *self._data, own)
                continue
            share = self._gradients(self.params, *self._data, own)
            total = self._transport.total(np.asarray(share))
            self.params, self._memory = self._update(self.params, self._memory, total)

    def finish(self) -> None:
        """Wait until the last one is done."""
        jax.block_until_ready((self.params, self._memory))

    def _updated(self, params: PyTree, memory: PyTree, total: Array) -> tuple[PyTree, PyTree]:
        return self._changed(params, memory, self._unravel(total))

    def _changed(self, params: PyTree, memory: PyTree, gradients: PyTree) -> tuple[PyTree, PyTree]:
        changes, memory = self._optimizer.update(gradients, memory, params)
        return optax.apply_updates(params, changes), memory


def _share_of_loss(
    static: Any, batch: int, params: PyTree, images: Array, labels: Array, own: Array
) -> Array:
    """What some images add to the mean loss of a mini-batch of size `batch`."""
    logits = eqx.combine(params, static)(images[own])
    return jnp.sum(cross_entropy(logits, labels[own])) / batch


def draw_network(case: NetworkCase) -> Network:
    """The network, for images of its usual shape."""
    sizes = {
        name: getattr(case, name)
        for name in ("layers", "hidden", "blocks", "filters")
        if case.network in ONLY_FOR.get(name, (case.network,))
    }
    options = SubnetworkOptions(network=case.network, **sizes)  # type: ignore[arg-type]
    return make_network(options, _SHAPES[case.network], CLASSES)


def draw_data(case: NetworkCase) -> Data:
    """Random images and classes, in mini-batches of equal size."""
    rng, count = np.random.default_rng(0), case.batch * case.batches
    images = rng.standard_normal((count, *_SHAPES[case.network]), np.float32)
    labels = rng.integers(CLASSES, size=count).astype(np.int32)
    order = rng.permutation(count).astype(np.int32)
    return Data(jnp.asarray(images), jnp.asarray(labels), np.split(order, case.batches))
