"""Small graphs, and training on their parts an epoch at a time."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from admm import options
from admm.comm import LocalTransport, in_turns
from admm.datasets import Split, checked_graph
from admm.methods.partitions.share import load_share
from admm.methods.partitions.training import PartitionTraining

NODES, FEATURES, CLASSES = 60, 7, 3

# Ways to the halo, as options; with two, three or all epochs of a round.
WAYS = {
    "exact": {"halo": "exact"},
    "drop": {"halo": "drop"},
    "pipe": {"halo": "pipe"},
    "fresh": {"halo": "stale", "interval": 3},
    "end": {"halo": "stale", "interval": 2, "order": "end"},
    "end-1": {"halo": "stale", "interval": 1, "order": "end"},
    "kvs": {"halo": "stale", "interval": 2, "order": "kvs"},
    "refresh": {"halo": "refresh", "interval": 2},
    "admm": {"halo": "admm", "interval": 2, "exact_epochs": 2},
}


def graph(links=3 * NODES, nodes=NODES, seed=0, train=None):
    """Some links, a few isolated nodes; a third of the nodes, or `train`, are training nodes."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, max(1, nodes - 3), (links, 2))
    adjacency = sp.coo_array((np.ones(links), ends.T), shape=(nodes, nodes))
    order = rng.permutation(nodes)
    if train is not None:
        order = np.concatenate([train, np.setdiff1d(order, train)])
    first = nodes // 3 if train is None else len(train)
    split = Split(*map(np.sort, np.split(order, [first, (first + nodes) // 2])))
    labels = rng.permutation(np.arange(nodes) % CLASSES)
    return checked_graph("random", adjacency, rng.normal(size=(nodes, FEATURES)), labels, split)


def given(way="exact", **changes):
    """Options; where no rows travel, without codec and interval."""
    small = {"layers": 3, "hidden": 8, "parts": 4, "dropout": 0.0, "partition": "random"}
    idle = way == "drop" or (way == "refresh" and changes.get("layers") == 2)
    plain = {"codec": None, "interval": None} if idle else {}
    return options("partitions", **{**small, **WAYS[way], **changes, **plain})


def ways(layers):
    """Those that networks of so many layers have."""
    return WAYS if layers > 1 else ("exact", "drop")


def start(options, data=None, workers=1, transport=None):
    transport = LocalTransport(workers) if transport is None else transport
    share = load_share(options, transport, graph() if data is None else data)
    return PartitionTraining(options, share, transport)


def gradient(training, epoch=1):
    """Loss and gradient of the whole graph, at the network of now."""
    in_turns(worker.iteration(epoch) for worker in training._workers)
    total = sum(np.concatenate([w.summands() for w in training._workers]))
    return total[0], training._workers[0]._unravel(jnp.asarray(total[1:]))


def step(training):
    """A step with what `gradient` has found."""
    total = sum(np.concatenate([w.summands() for w in training._workers]))
    for worker in training._workers:
        worker.step(total)


def bits(training):
    """The network and what is measured, to be the same to the bit."""
    found = training.network(), [*map(np.float64, training.measure().values())]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()
