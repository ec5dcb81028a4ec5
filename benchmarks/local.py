"""What `benchmarks partitions` has beside runs: local training, and exact gradients."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from admm.comm import LocalTransport, in_turns
from admm.methods.partitions.options import PartitionOptions
from admm.methods.partitions.share import load_share
from admm.methods.partitions.training import new_network, optimizer_of, scores
from admm.methods.partitions.worker import PartitionWorker
from admm.solvers.graph_network import GraphNetwork, Part
from layers import GraphLayer

Line = dict[str, float]


def train_locally(options: PartitionOptions, interval: int) -> list[Line]:
    """Every part trains a network of its own without its cut edges; from time to time all average.

    A part's loss is the mean over its own training nodes. Averages are evaluated on the whole
    graph. It is LLCG without the correction of its server.

    Args:
        options: Of the halo `drop`.
        interval: Epochs from average to average.

    Source: Ramezani et al., arXiv 2111.08202.
    """
    transport = LocalTransport(1)
    share = load_share(options, transport)
    whole = load_share(options.exact(), transport, parts=1)
    network, optimizer = new_network(options, share.widths), optimizer_of(options)
    solver = GraphNetwork(options.dropout, options.seed)
    parts = PartitionWorker(0, share, transport, network, optimizer).parts
    judge = PartitionWorker(0, whole, transport, network, optimizer)
    networks = [network for _ in parts]
    memories = [optimizer.init(network) for _ in parts]
    history = []
    for epoch in range(1, options.epochs + 1):
        for number, part in enumerate(parts):
            networks[number], memories[number] = _step(
                solver, optimizer, part, networks[number], memories[number], epoch
            )
        if epoch % interval == 0 or epoch == options.epochs:
            mean = jax.tree.map(lambda *each: sum(each[1:], each[0]) / len(each), *networks)
            networks = [mean for _ in parts]
            judge.network = mean
            history.append({"epoch": epoch, **scores(whole, [judge], transport)})
    return history


def exact_gradient(options: PartitionOptions, network: list[GraphLayer]) -> float:
    """Length of the gradient of the whole graph's mean training loss, without dropout."""
    transport = LocalTransport(1)
    whole = replace(options.exact(), dropout=0.0)
    share = load_share(whole, transport, parts=1)
    worker = PartitionWorker(0, share, transport, network, optimizer_of(whole))
    in_turns([worker.iteration(1)])
    return float(np.linalg.norm(worker.summed()[1:]))


@partial(jax.jit, static_argnames=("solver", "optimizer"))
def _step(
    solver: GraphNetwork,
    optimizer: optax.GradientTransformation,
    part: Part,
    network: list[GraphLayer],
    memory: Any,
    epoch: Any,
) -> tuple[list[GraphLayer], Any]:
    total = jnp.sum(part.weights)
    own = part._replace(weights=part.weights / jnp.where(total > 0, total, 1))

    def loss(network: list[GraphLayer]) -> Any:
        last = len(network) - 1
        h, _ = solver.first(network[0], own.own, is_last=last == 0)
        for number, layer in enumerate(network[1:], start=1):
            c = jnp.zeros_like(h)
            h, _ = solver.own(layer, own, h, c, epoch, number, is_last=number == last)
        return solver.loss(own, h)[0]

    gradient = jax.grad(loss)(network)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        updates, memory = optimizer.update(gradient, memory, network)
    return optax.apply_updates(network, updates), memory
