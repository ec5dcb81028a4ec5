"""Workers of full-graph training against one dense program, whatever the parts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sp

from admm import options
from admm.comm import LocalTransport, in_turns
from admm.datasets import Split, checked_graph
from admm.methods.partitions.share import load_share
from admm.methods.partitions.training import PartitionTraining
from layers import drop, dropout_key, propagation

NODES, FEATURES, CLASSES = 60, 7, 3


def graph(seed=0, nodes=NODES):
    """Some links, a few isolated nodes."""
    rng = np.random.default_rng(seed)
    links = rng.integers(0, nodes - 3, (3 * nodes, 2))
    adjacency = sp.coo_array((np.ones(len(links)), links.T), shape=(nodes, nodes))
    order = rng.permutation(nodes)
    split = Split(*(np.sort(part) for part in np.split(order, [nodes // 3, nodes // 2])))
    labels = rng.integers(0, CLASSES, nodes)
    labels[:CLASSES] = range(CLASSES)
    return checked_graph("random", adjacency, rng.normal(size=(nodes, FEATURES)), labels, split)


def given(halo="exact", **changes):
    small = {"layers": 3, "hidden": 8, "parts": 4, "dropout": 0.0, "partition": "random"}
    return options("partitions", halo=halo, **{**small, **changes})


def start(options, data=None, workers=1):
    transport = LocalTransport(workers)
    share = load_share(options, transport, graph() if data is None else data)
    return PartitionTraining(options, share, transport)


def gradient(training, epoch=1):
    """Loss and gradient of the whole graph, at the network of now."""
    in_turns(worker.iteration(epoch) for worker in training._workers)
    total = sum(np.concatenate([w.summands() for w in training._workers]))
    return total[0], training._workers[0]._unravel(jnp.asarray(total[1:]))


def dense_loss(options, data, network, epoch=1):
    """The loss of the whole graph, in one dense program."""
    S = jnp.asarray(propagation(data.adjacency, options.network, options.dtype).toarray())
    X = jnp.asarray(data.features.toarray(), options.dtype)
    h = X
    for number, layer in enumerate(network):
        if number:
            key = dropout_key(options.seed, epoch, number)
            h = drop(jax.nn.relu(h), key, jnp.arange(len(h)), options.dropout)
        z = (S @ h) @ layer.W + layer.b
        h = z if layer.W_self is None else z + h @ layer.W_self
    train = data.split.train
    each = optax.softmax_cross_entropy_with_integer_labels(h[train], data.labels[train])
    return each.mean()


def close(a, b, rtol):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert float(jnp.abs(x - y).max()) <= rtol * float(jnp.abs(y).max() + 1e-30)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("network", ["gcn", "sage"])
@pytest.mark.parametrize(("halo", "layers"), [("exact", 3), ("refresh", 2), ("exact", 1)])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_gradient_is_that_of_the_whole_graph(halo, layers, network, dropout, workers, x64):
    made = given(halo, layers=layers, network=network, dropout=dropout, dtype="float64")
    training = start(made, workers=workers)
    network = list(training._workers[0].network)
    loss, found = gradient(training)
    value, wanted = jax.value_and_grad(partial(dense_loss, made, graph()))(network)
    assert loss == pytest.approx(float(value), rel=1e-12)
    close(found, wanted, 1e-12)
