"""Workers of full-graph training: gradients, bits, ages and bytes, whoever owns the parts."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from admm.comm import LocalTransport
from admm.methods.partitions import halos
from admm.methods.partitions.exchange import Exchange
from admm.methods.partitions.training import logits_of_all, optimizer_of
from admm.methods.partitions.worker import _stepped
from layers import drop, dropout_key, partition, propagation
from quant import make_codec
from tests.graphs import CLASSES, NODES, WAYS, bits, given, gradient, graph, start, step, ways


def dense_logits(options, data, network, epoch=None):
    """Of the whole graph, in one dense program; with an epoch also with its dropout."""
    S = jnp.asarray(propagation(data.adjacency, options.network, options.dtype).toarray())
    h = jnp.asarray(data.features.toarray(), options.dtype)
    for number, layer in enumerate(network):
        if number:
            h = jax.nn.relu(h)
        if number and epoch is not None:
            key = dropout_key(options.seed, epoch, number)
            h = drop(h, key, jnp.arange(len(h)), options.dropout)
        z = (S @ h) @ layer.W + layer.b
        h = z if layer.W_self is None else z + h @ layer.W_self
    return h


def dense_loss(options, data, network, epoch=1):
    train = data.split.train
    z = dense_logits(options, data, network, epoch)[train]
    return optax.softmax_cross_entropy_with_integer_labels(z, data.labels[train]).mean()


def error(a, b):
    """The largest relative error of any array."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(jnp.abs(x - y).max() / (jnp.abs(y).max() + 1e-30)) for x, y in pairs)


def logits(training):
    return logits_of_all(training._share, training._workers, training._transport)


# Gradients.


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
    assert error(found, wanted) <= 1e-12
    assert error(logits(training), dense_logits(made, graph(), network)) <= 1e-12


@pytest.mark.parametrize(("halo", "layers"), [("exact", 3), ("refresh", 2)])
@pytest.mark.parametrize("network", ["gcn", "sage"])
def test_float32_is_near_enough(halo, layers, network):
    made = given(halo, layers=layers, network=network, dropout=0.5)
    training = start(made, workers=2)
    network = list(training._workers[0].network)
    _, found = gradient(training)
    assert error(found, jax.grad(partial(dense_loss, made, graph()))(network)) <= 1e-5
    assert error(logits(training), dense_logits(made, graph(), network)) <= 1e-5


def test_digest_lacks_the_gradient_through_the_halo(x64):
    """With a fresh halo all is exact but the gradients of lower layers."""
    made = given("fresh", interval=1, dtype="float64")
    training = start(made, workers=2)
    network = list(training._workers[0].network)
    for epoch in (1, 2):
        loss, found = gradient(training, epoch)
        value, wanted = jax.value_and_grad(partial(dense_loss, made, graph()))(network)
        assert loss == pytest.approx(float(value), rel=1e-12)
        assert error(found[-1], wanted[-1]) <= 1e-12
        assert error(found[0].W, wanted[0].W) > 1e-3


@pytest.mark.parametrize("network", ["gcn", "sage"])
def test_two_refreshed_layers_are_full_graph_training(network, x64):
    made = given("refresh", layers=2, network=network, dtype="float64")
    training, data = start(made, workers=2), graph()
    optimizer = optimizer_of(made)
    network = list(training._workers[0].network)
    memory = optimizer.init(network)

    @jax.jit
    def dense_step(network, memory):
        loss, found = jax.value_and_grad(partial(dense_loss, made, data))(network)
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = optimizer.update(found, memory, network)
        return loss, optax.apply_updates(network, updates), memory

    for epoch in range(1, 101):
        loss, network, memory = dense_step(network, memory)
        training.epoch(epoch, False)
        assert training._workers[0].loss == pytest.approx(float(loss), abs=1e-9)
    assert float(loss) < 0.7  # it has learned
    assert not training._transport.sent


@pytest.mark.parametrize("network", ["gcn", "sage"])
def test_the_constrained_gradient_is_exact_while_the_network_stays(network, x64):
    """At a synchronisation and after it: a fixed point is stationary for the whole graph."""
    made = given("admm", network=network, exact_epochs=0, interval=3, dtype="float64")
    training = start(made, workers=2)
    network = list(training._workers[0].network)
    wanted = jax.grad(partial(dense_loss, made, graph()))(network)
    for epoch in (1, 2, 3):
        _, found = gradient(training, epoch)
        assert error(found, wanted) <= 1e-12


@pytest.mark.parametrize("network", ["gcn", "sage"])
@pytest.mark.parametrize("layers", [2, 3])
def test_the_gradient_of_pipe_is_exact_once_the_network_has_stayed(layers, network, x64):
    """Rows rise a layer an epoch, and gradients fall one."""
    made = given("pipe", layers=layers, network=network, dtype="float64")
    training = start(made, workers=2)
    network = list(training._workers[0].network)
    wanted = jax.grad(partial(dense_loss, made, graph()))(network)
    errors = [error(gradient(training, epoch)[1], wanted) for epoch in range(1, 2 * layers)]
    assert errors[-1] <= 1e-12
    assert min(errors[:-1]) > 1e-3


def refreshed_loss(options, data, owner, sums, epoch, network):
    """Of the whole graph, dense: every node has its rows twice, as owners and copies have them.

    `sums` are S H_l as owners sent them; None: those of now, which are the second result.
    """
    S = jnp.asarray(propagation(data.adjacency, options.network, options.dtype).toarray())
    same = owner[:, None] == owner
    S_in, S_out = jnp.where(same, S, 0), jnp.where(same, 0, S)
    found = []

    def output(layer, p, h):
        z = p @ layer.W + layer.b
        return z if layer.W_self is None else z + h @ layer.W_self

    for number, layer in enumerate(network):
        if number == 0:
            x = jnp.asarray(data.features.toarray(), options.dtype)
            z = copies = output(layer, S @ x, x)
            continue
        rows, copies = jax.nn.relu(z), jax.nn.relu(copies)
        found.append(jax.lax.stop_gradient(S_in @ rows + S_out @ copies))
        key = dropout_key(options.seed, epoch, number)
        rows, copies = (
            drop(each, key, jnp.arange(len(each)), options.dropout) for each in (rows, copies)
        )
        z = output(layer, S_in @ rows + S_out @ copies, rows)
        copies = output(layer, (found if sums is None else sums)[number - 1], copies)
    train = data.split.train
    losses = optax.softmax_cross_entropy_with_integer_labels(z[train], data.labels[train])
    return losses.mean(), found


@pytest.mark.parametrize("network", ["gcn", "sage"])
@pytest.mark.parametrize(("layers", "dropout"), [(3, 0.0), (3, 0.5), (4, 0.5)])
def test_the_gradient_through_a_recomputed_halo(layers, dropout, network, x64):
    """At two synchronisations and between them, while the network moves."""
    changes = {"layers": layers, "dropout": dropout, "network": network, "interval": 3}
    made, data = given("refresh", dtype="float64", lr=0.05, **changes), graph()
    training, sums = start(made, workers=2), None
    for epoch in range(1, 6):
        sums = None if epoch in (1, 4) else sums
        loss = partial(refreshed_loss, made, data, training._share.plan.owner, sums, epoch)
        network = list(training._workers[0].network)
        (value, sent), wanted = jax.value_and_grad(loss, has_aux=True)(network)
        sums = sent if sums is None else sums
        loss, found = gradient(training, epoch)
        assert loss == pytest.approx(float(value), rel=1e-12)
        assert error(found, wanted) <= 1e-12
        step(training)


def test_gradients_are_awaited_while_messages_move_on(monkeypatch):
    """A rank that is busy has to answer the others meanwhile."""
    awaited = []
    until = LocalTransport.until

    def noted(self, arrays):
        awaited.append([each.shape for each in arrays])
        until(self, arrays)

    monkeypatch.setattr(LocalTransport, "until", noted)
    training = start(given("exact"), workers=2)
    training.epoch(1, False)
    size = 1 + sum(each.size for each in jax.tree.leaves(training.network()))
    assert awaited == [[(size,)] * 2] * 2


# Bits.

CODECS = (None, "uniform4", "delta2")


def trained(way, codec=None, dtype="float32", workers=1, transport=None):
    made = given(way, codec=codec, dtype=dtype, dropout=0.5, network="sage")
    training = start(made, workers=workers, transport=transport)
    for epoch in range(1, 6):
        training.epoch(epoch, False)
    training.measure()
    return training


class Outcome(NamedTuple):
    sent: Counter  # bytes, by variable
    rows: int  # of a part, as it is sent
    is_under_way: bool  # whether a message is left after the evaluation
    bits: str


@cache
def outcome(way, codec=None, dtype="float32", workers=1):
    """What several tests ask of the same training."""
    training = trained(way, codec, dtype, workers)
    transport = training._transport
    found = Counter(transport.sent), training._share.plan.own, bool(transport._messages)
    return Outcome(*found, bits(training))  # which evaluates once more


@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_workers_trains_the_same_bits(way):
    for codec in CODECS:
        counts = (1, 2, 4) if codec == "delta2" else (1, 4)
        alone, *others = (outcome(way, codec, workers=n).bits for n in counts)
        assert set(others) == {alone}, codec


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_workers_trains_the_same_bits_in_float64(way, x64):
    alone, other = (outcome(way, "delta2", "float64", n).bits for n in (1, 4))
    assert other == alone


def test_another_training_finds_its_step_compiled():
    """An equal optimiser is the same object; one of another rate is not."""
    made = given("exact")
    assert optimizer_of(made) is optimizer_of(given("drop"))
    for change in ({"lr": 0.02}, {"weight_decay": 0.1}, {"optimizer": "gd"}):
        assert optimizer_of(replace(made, **change)) is not optimizer_of(made)
    assert optimizer_of(made, steps=2) is not optimizer_of(made)
    start(made).epoch(1, False)
    compiled = _stepped._cache_size()
    start(made).epoch(1, False)
    assert _stepped._cache_size() == compiled


RANKS = """
import json, sys
import jax
from admm.comm import MPITransport, launch
from tests.admm.methods.partitions.test_workers import bits, trained
transport = MPITransport(launch.world())
found = []
for way, codec, dtype in json.loads(sys.argv[1]):
    jax.config.update("jax_enable_x64", dtype == "float64")
    found.append(bits(trained(way, codec, dtype, transport=transport)))
transport.close()
if transport.is_root:
    print(json.dumps(found))
"""


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_train_the_same_bits(ranks, mpi_python):
    codecs = CODECS if ranks == 4 else ("delta2",)
    every = [*product(WAYS, codecs, ["float32"])]
    every += [*product(WAYS, codecs, ["float64"])] if ranks == 4 else []
    done = mpi_python(RANKS, json.dumps(every), ranks=ranks)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for each, (way, codec, dtype) in zip(found, every, strict=True):
        jax.config.update("jax_enable_x64", dtype == "float64")
        wanted = outcome(way, codec, dtype).bits
        jax.config.update("jax_enable_x64", False)
        assert each == wanted, (way, codec, dtype)


@pytest.mark.parametrize("way", WAYS)
def test_a_resumed_training_goes_on_with_the_same_bits(way):
    """From every epoch, with another number of workers."""
    whole = outcome(way, "delta2", workers=2).bits
    made = given(way, codec="delta2", dropout=0.5, network="sage")
    training = start(made, workers=2)
    for epoch in range(1, 5):
        training.epoch(epoch, False)
        kept = {n: dict(arrays) for n, arrays in training.state().items()}
        again = start(made, workers=4 - epoch % 2)
        shapes = {n: {k: a.shape for k, a in each.items()} for n, each in again.state().items()}
        assert shapes == {n: {k: a.shape for k, a in each.items()} for n, each in kept.items()}
        again.restore(kept.__getitem__, None)
        for later in range(epoch + 1, 6):
            again.epoch(later, False)
        again.measure()  # as `trained` does: `pipe` takes up then what is under way
        assert bits(again) == whole, epoch


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_under_way_after_an_evaluation(way):
    """Else the training that begins after a retreat would receive it."""
    assert not outcome(way, workers=4).is_under_way


# Ages: every message holds the number of its epoch.


def ages(monkeypatch, way, **changes):
    """How old the rows of the halo are that epochs 1 to 12 use, for each way an age."""
    training, now = start(given(way, **changes), workers=2), [0]

    send = Exchange.send

    def epoch_of(self, rows):
        send(self, [jnp.full_like(each, now[0]) for each in rows])

    monkeypatch.setattr(Exchange, "send", epoch_of)
    for now[0] in range(1, 13):
        training.epoch(now[0], False)
        halo = training._workers[1]._halo
        used = halo._gathered if way == "refresh" else halo.rows
        found = {
            float(value)
            for each in used.values()
            for part, piece in zip(each, (2, 3), strict=True)
            for value in np.unique(part[: len(training._share.pieces[piece].part.halo)])
        }
        (sent,) = found
        yield now[0] - int(sent)


@pytest.mark.parametrize(
    ("way", "changes", "wanted"),
    [
        ("exact", {}, [0] * 12),
        ("pipe", {}, [1] * 12),  # in the first epoch the zeros of the start
        ("fresh", {"interval": 1}, [0] * 12),
        ("fresh", {"interval": 4}, [0, 1, 2, 3] * 3),
        ("end", {"interval": 1}, [0] + [1] * 11),
        ("end", {"interval": 4}, [0, 1, 2, 3] + [1, 2, 3, 4] * 2),
        ("kvs", {"interval": 1}, [0] + [1] * 11),
        ("kvs", {"interval": 4}, [0, 1, 2, 3] + [4, 5, 6, 7] * 2),
        ("refresh", {"interval": 4}, [0, 1, 2, 3] * 3),
        ("admm", {"interval": 4, "exact_epochs": 4}, [0] * 4 + [0, 1, 2, 3] * 2),
    ],
)
def test_the_age_of_every_row(monkeypatch, way, changes, wanted):
    assert [*ages(monkeypatch, way, **changes)] == wanted
    if way in ("fresh", "end", "kvs"):
        interval = changes["interval"]
        assert [halos.age(epoch, way, interval) for epoch in range(1, 13)] == wanted


# Messages.


@pytest.mark.parametrize(
    ("way", "up", "down"),
    # Layers of rows in five epochs: of those to copies, and back; two layers are hidden.
    [
        ("exact", 2 * 5, 2 * 5),
        ("drop", 0, 0),
        ("pipe", 2 * 5, 2 * 5),
        ("fresh", 2 * 2, 0),  # epochs 1 and 4
        ("end", 2 * 3, 0),  # 1, 2 and 4
        ("end-1", 2 * 5, 0),
        ("kvs", 2 * 3, 0),  # 1, 3 and 5
        ("refresh", 1 * 3, 0),
        ("admm", 2 * 4, 2 * 4),  # 1 and 2, exact, 3 and 5
    ],
)
@pytest.mark.parametrize("codec", CODECS)
def test_bytes_equal_the_formula(way, up, down, codec):
    """b̂ d bits for each pair of a row and a part that it is not in and has a neighbour in."""
    found, data = outcome(way, codec, workers=4), graph()
    owner = partition(data.adjacency, 4, "random").owner
    ends = np.argwhere(data.adjacency.toarray())
    pairs = {(v, owner[w]) for v, w in ends if owner[v] != owner[w]}
    rows = [sum((owner[v], m) == each for v, m in pairs) for each in product(range(4), repeat=2)]
    sent = found.sent
    layer = sum(make_codec(codec or "float32").nbytes((n, 8)) for n in rows if n)
    if codec is None:
        assert layer == len(pairs) * 8 * 4
    assert sent["halo"] == up * layer
    assert sent["halo_gradient"] == down * layer
    assert sent["evaluation"] == 2 * len(pairs) * 8 * 4 + 3 * found.rows * CLASSES * 4


@pytest.mark.parametrize("codec", ["uniform4", "delta2", "bfloat16"])
def test_a_receiver_has_what_its_sender_decodes(codec):
    training = start(given("exact", codec=codec, dropout=0.5), workers=4)
    for epoch in range(1, 4):
        training.epoch(epoch, False)
        for name in training._workers[0]._halo.exchanges:
            ways = [worker._halo.exchanges[name] for worker in training._workers]
            sent = {pair: way for each in ways for pair, way in each._sent.items()}
            received = {pair: way for each in ways for pair, way in each._received.items()}
            assert sent.keys() == received.keys() != set()
            for pair, way in sent.items():
                np.testing.assert_array_equal(way[0].last, received[pair][0].last)
        for worker in training._workers:
            (found,) = worker._halo.rows[1]
            ways = worker._halo.exchanges["up[1]"]._received.values()
            rows = np.concatenate([way.last for way, _ in ways])
            np.testing.assert_array_equal(found[: len(rows)], rows)
            assert not found[len(rows) :].any()
            assert rows.any()


def test_parts_of_one_worker_code_their_messages_alike():
    """Else results would depend on who owns the parts; nothing is sent."""
    coded, plain = (outcome("exact", codec) for codec in ("uniform4", None))
    assert coded.bits != plain.bits
    assert not coded.sent


# Odd graphs.

ODD = {
    "no edges": (lambda: graph(links=0), {}),
    "one edge": (lambda: graph(links=1), {}),
    "a part without training nodes": (lambda: graph(train=np.arange(3)), {"parts": 4}),
    "a node a part": (graph, {"parts": NODES}),
    "one part": (graph, {"parts": 1}),
    "one column": (graph, {"hidden": 1}),
    "one layer": (graph, {"layers": 1}),
    "two layers": (graph, {"layers": 2}),
    "three nodes": (lambda: graph(links=9, nodes=6), {"parts": 3}),
}


QUICK = ("no edges", "one layer", "a part without training nodes")


@pytest.mark.parametrize("network", ["gcn", pytest.param("sage", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in ODD]
)
def test_odd_graphs(name, network):
    make, changes = ODD[name]
    data = make()
    if "training" in name:
        owner = partition(data.adjacency, 4, "random").owner
        assert set(range(4)) - set(owner[data.split.train])
    made = given("exact", network=network, **changes)
    training = start(made, data)
    weights = list(training._workers[0].network)
    _, found = gradient(training)
    assert error(found, jax.grad(partial(dense_loss, made, data))(weights)) <= 1e-5
    for way in ways(made.layers):
        training = start(given(way, network=network, **changes), data)
        for epoch in (1, 2, 3):
            training.epoch(epoch, False)
        values = training.measure()
        assert np.isfinite([*values.values()]).all(), way
        kept = training.state()
        training.restore(kept.__getitem__, None)
        training.epoch(4, False)


def test_without_cut_edges_all_ways_are_the_same():
    """But for the last bits: of one part, and of a graph without edges."""
    for changes, data in (({"parts": 1}, graph()), ({}, graph(links=0))):
        wanted = None
        for way in WAYS:
            training = start(given(way, **changes), data)
            for epoch in (1, 2, 3):
                training.epoch(epoch, False)
            weights = list(training.network().values())
            wanted = weights if wanted is None else wanted
            assert error(weights, wanted) <= 1e-4, way
