"""Workers of stochastic ADMM: the pipeline by hand, any split, and real MPI ranks."""

import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import LocalTransport, chain, in_turns
from admm.methods.stochastic.training import micro_batches
from admm.methods.stochastic.worker import Codecs, Schedule, StochasticWorker
from admm.solvers.losses import cross_entropy
from admm.solvers.stochastic import Place, StochasticADMM, Window, groups
from layers import Dense, identity_dense, split_layers
from quant import Float, make_codec

ROWS, CLASSES, RATE, DECAY = 120, 3, 0.2, 0.1
BATCHES = 60
SHAPE = (5, 7, 7, 7, 7, 7, 7, 7, 7, 7, CLASSES)  # ten layers
LAYERS = len(SHAPE) - 1


def start(dtype):
    rng = np.random.default_rng(0)
    first = Dense(jnp.asarray(rng.normal(size=SHAPE[:2]), dtype), jnp.zeros(SHAPE[1], dtype))
    last = Dense(jnp.asarray(0.1 * rng.normal(size=SHAPE[-2:]), dtype), jnp.zeros(CLASSES, dtype))
    return [first, *[identity_dense(SHAPE[n : n + 2], dtype) for n in range(1, LAYERS - 1)], last]


def data(dtype):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, SHAPE[0]))
    return jnp.asarray(x, dtype), jnp.asarray(x[:, :CLASSES].argmax(axis=1), "int32")


def schedule(epoch, subnetworks, least=None):
    found = groups(BATCHES, least or max(6, 2 * (subnetworks - 1)))
    order = micro_batches(0, epoch, ROWS, BATCHES, ROWS // BATCHES)
    return Schedule(order, found, [RATE / epoch] * len(found), DECAY, jax.random.key(epoch))


def run(workers, dtype="float32", epochs=2, subnetworks=LAYERS, codecs=None, least=None):
    """Train; all layers, as they are afterwards, and the transport."""
    transport = LocalTransport(workers)
    codecs = codecs or Codecs(Float(dtype), Float(dtype))
    network, solver = start(dtype), StochasticADMM()
    cuts = [range(a - 1, b) for a, b in split_layers([1] * LAYERS, subnetworks)]
    split = [range(a - 1, b) for a, b in split_layers([1] * subnetworks, workers)]
    every = [StochasticWorker(n, solver, transport, codecs) for n in range(workers)]
    for worker, own, neighbors in zip(every, split, chain(split), strict=True):
        parts = [[network[n] for n in cuts[number]] for number in own]
        worker.start(parts, own, subnetworks, neighbors, *data(dtype))
    for epoch in range(1, epochs + 1):
        given = schedule(epoch, subnetworks, least)
        in_turns(worker.iteration(given) for worker in every)
        for worker in every:
            worker.finish()
    return [p for worker in every for part in worker.network for p in part], transport


step = jax.jit(StochasticADMM.step, static_argnames=("self", "place"))


def by_hand(dtype, epochs, subnetworks, least):
    """The same without a pipeline: the weights that every batch meets are looked up.

    Subnetwork j passes batch b up in tick b + j and down in tick b + 2(S − 1) − j; a W-step in tick
    t counts from tick t + 1 on.
    """
    solver, start_of_epoch = StochasticADMM(), list(map(StochasticADMM().init, start(dtype)))
    x, y = data(dtype)
    cuts = [range(a - 1, b) for a, b in split_layers([1] * LAYERS, subnetworks)]
    part = {n: j for j, own in enumerate(cuts) for n in own}
    for epoch in range(1, epochs + 1):
        order, groups, rates, decay, _ = schedule(epoch, subnetworks, least)
        ticks = [-1, *[group[-1] + 2 * (subnetworks - 1) for group in groups]]

        def weights(n, tick, ticks=ticks):
            return layer(n, sum(each < tick for each in ticks[1:])).params

        @cache
        def record(n, batch, order=order):
            p = jax.nn.relu(record(n - 1, batch)[1]) if n else x[order[batch]]
            W, b = weights(n, batch + part[n])
            return p, p @ W + b

        @cache
        def delta(n, batch, order=order):
            s = record(n, batch)[1]
            if n == LAYERS - 1:
                return jax.grad(lambda s: cross_entropy(s, y[order[batch]]).sum())(s)
            W, _ = weights(n + 1, batch + 2 * (subnetworks - 1) - part[n + 1])
            return jnp.where(s > 0, delta(n + 1, batch) @ W.T, 0)

        @cache
        def layer(n, count, first=tuple(start_of_epoch), ticks=ticks, rates=rates, decay=decay):
            if not count:
                return first[n]
            lag = 2 * (subnetworks - 1) - part[n]
            came = range(max(0, ticks[count - 1] + 1 - lag), min(BATCHES, ticks[count] + 1 - lag))
            if not came:
                return layer(n, count - 1)
            p, s = map(jnp.stack, zip(*[record(n, batch) for batch in came], strict=True))
            deltas = jnp.stack([delta(n, batch) for batch in came])
            window = Window(p, deltas, jnp.sum(s**2, axis=(1, 2)))
            place = Place(n == 0, n == LAYERS - 1)
            rate = rates[count - 1]
            return step(solver, layer(n, count - 1), window, len(came), rate, decay, place)[0]

        start_of_epoch = [layer(n, len(groups)) for n in range(LAYERS)]
    return [each.params for each in start_of_epoch]


def assert_close(one, other, rtol):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(jnp.abs(y).max()))


@pytest.mark.parametrize(
    ("subnetworks", "least"),
    [(LAYERS, None), (3, None), (1, None), (LAYERS, 4)],  # of the last one some groups are empty
)
def test_the_pipeline_is_what_it_says_by_hand(subnetworks, least, x64):
    network, _ = run(1, "float64", subnetworks=subnetworks, least=least)
    assert_close(network, by_hand("float64", 2, subnetworks, least), rtol=1e-10)


@pytest.mark.parametrize("workers", [2, 4, 10])
def test_any_split_gives_the_same_iterates(workers):
    alone, _ = run(1)
    assert_close(run(workers)[0], alone, rtol=1e-5)


def test_any_split_gives_the_same_iterates_in_float64(x64):
    alone, _ = run(1, "float64")
    for workers in (2, 4, 10):
        assert_close(run(workers, "float64")[0], alone, rtol=1e-12)


def test_each_way_has_a_codec_and_its_bytes_are_counted():
    codecs = Codecs(make_codec("uniform4"), make_codec("uniform8"))
    network, transport = run(2, epochs=1, codecs=codecs)
    shape = ROWS // BATCHES, SHAPE[5]
    assert transport.sent["q"] == BATCHES * codecs.up.nbytes(shape)
    assert transport.sent["g"] == BATCHES * codecs.down.nbytes(shape)
    exact, _ = run(2, epochs=1)
    assert all(bool(jnp.isfinite(W).all()) for W, _ in network)
    assert not np.array_equal(network[0].W, exact[0].W)


def test_fewer_subnetworks_have_less_delay():
    """What goes down through a subnetwork meets the weights of one tick."""
    assert not np.array_equal(run(1)[0][0].W, run(1, subnetworks=2)[0][0].W)


RANKS = """
import json, sys
import numpy as np
from admm import options, train
from admm.comm import MPITransport, launch
from admm.methods.stochastic import worker as programs
from admm.methods.stochastic.worker import StochasticWorker

def compiled():
    return [each._cache_size() for each in (programs._up, programs._down, programs._step)]

def watched(*given):
    counts.append(compiled())
    compile(*given)
    counts.append(compiled())

compile, StochasticWorker._compile, counts = StochasticWorker._compile, watched, []
transport = MPITransport(launch.world())
result = train(options(**json.loads(sys.argv[1])), transport)
first, second = counts[1], counts[3]  # of each size of batches
assert [0, 0, 0] == counts[0] != first == counts[2] != second == compiled(), counts
own = {n: [np.asarray(a).tolist() for a in layer] for n, layer in result.network.items()}
every = transport.gather(own)
if transport.is_root:
    print(json.dumps({n: layer for part in every for n, layer in part.items()}))
transport.close()
"""


@pytest.mark.parametrize(
    ("ranks", "dtype"),
    [
        (2, "float32"),
        pytest.param(4, "float32", marks=pytest.mark.slow),
        pytest.param(10, "float32", marks=pytest.mark.slow),
        pytest.param(2, "float64", marks=pytest.mark.slow),
    ],
)
def test_ranks_do_not_change_the_run(ranks, dtype, mpi_python, tmp_path, request):
    from admm import options, train

    if dtype == "float64":
        request.getfixturevalue("x64")
    given = {"solver": "sadmm", "layers": 10, "hidden": 6, "rows": 300, "epochs": 2}
    given |= {"dtype": dtype, "batch": [10, 20], "rate": 0.1}
    alone = train(options(**given, out=tmp_path / "alone")).network
    given["out"] = str(tmp_path / "ranks")
    wide = str(int(dtype == "float64"))
    done = mpi_python(RANKS, json.dumps(given), ranks=ranks, timeout=300, JAX_ENABLE_X64=wide)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    together = json.loads(line)
    assert sorted(map(int, together)) == sorted(alone) == list(range(1, 11))
    rtol = 1e-5 if dtype == "float32" else 1e-12
    assert_close(
        [[np.array(a) for a in together[str(n)]] for n in sorted(alone)],
        [alone[n] for n in sorted(alone)],
        rtol,
    )
