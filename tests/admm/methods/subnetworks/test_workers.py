"""gsADMM and gsAM on workers in one process, and on real MPI ranks."""

import json
import re
from collections import Counter
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from admm.comm import LocalTransport, chain, in_turns
from admm.methods.subnetworks.worker import SubnetworkWorker
from admm.solvers.losses import cross_entropy, squared_error
from admm.solvers.tssm import TSSM, batches
from layers import build, from_modules, mlp, module_shapes
from quant import CODEC_NAMES, Delta, Float, make_codec

SAMPLES, BATCH, CLASSES = 24, 8, 3
INPUTS = np.random.default_rng(0).normal(size=(SAMPLES, 5))
LABELS = np.arange(SAMPLES, dtype=np.int32) % CLASSES
CUTS = [range(0, 2), range(2, 3), range(3, 5)]  # modules of each of three subnetworks
SPLITS = {1: [range(0, 3)], 2: [range(0, 2), range(2, 3)], 3: [range(n, n + 1) for n in range(3)]}


def network(dtype="float32"):
    return mlp((5,), hidden=7, classes=CLASSES, layers=5, dtype=dtype)


def start(solver, split, modules=None, cuts=CUTS, targets=LABELS, inputs=INPUTS, codec=None):
    """Workers that own the subnetworks of `split`, and their transport."""
    modules = modules or network()
    shapes = module_shapes(modules)
    transport = LocalTransport(len(split))
    codec = codec or Float(modules.dtype)
    workers = [SubnetworkWorker(index, solver, transport, codec) for index in transport.local]
    for worker, own, neighbors in zip(workers, split, chain(split), strict=True):
        worker.start(
            [build(modules, cuts[number], seed=0) for number in own],
            own,
            cuts,
            shapes,
            neighbors,
            len(inputs),
            jnp.asarray(inputs, modules.dtype),
            jnp.asarray(targets),
            modules.dtype,
        )
    return workers, transport


def run_epoch(workers, order, first):
    in_turns(worker.iteration(order, first) for worker in workers)


def run(workers, epochs, samples=SAMPLES, size=BATCH):
    """Train; the sums of every epoch and subnetwork."""
    sums = []
    for epoch in range(1, epochs + 1):
        run_epoch(workers, batches(0, epoch, samples, size), epoch == 1)
        for worker in workers:
            worker.finish()
        sums.append([part for worker in workers for part in worker.sums()])
    return sums


def flat(sums):
    """All numbers, (epochs, subnetworks, numbers)."""
    return np.array([[[part.objective, *part.residuals] for part in epoch] for epoch in sums])


def modules_of(workers):
    return [module for worker in workers for part in worker.subnetworks for module in part.modules]


def arrays(modules):
    return jax.device_get(jax.tree.leaves(eqx.filter(modules, eqx.is_inexact_array)))


def assert_close(some, others, tolerance):
    for a, b in zip(arrays(some), arrays(others), strict=True):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a)


# Against other ways to the same numbers.


@pytest.mark.parametrize("optimizer", [optax.adam(1e-2), optax.sgd(0.1)], ids=["adam", "sgd"])
@pytest.mark.parametrize("method", ["gsadmm", "gsam"])
def test_one_subnetwork_is_plain_training(method, optimizer):
    solver = TSSM(method, optimizer=optimizer)
    workers, transport = start(solver, [range(0, 1)], cuts=[range(0, 5)])
    sums = run(workers, epochs=3, size=9)  # in batches of 8: sizes 8, 8, 8

    params, static = eqx.partition(build(network(), range(5), seed=0), eqx.is_inexact_array)
    memory = optimizer.init(params)

    @jax.jit
    def step(params, memory, x, y):
        def loss(params):
            return cross_entropy(eqx.combine(params, static)(x), y).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):  # as optax wants it
            updates, memory = optimizer.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory, value

    for epoch in (1, 2, 3):
        total = 0.0
        for batch in batches(0, epoch, SAMPLES, 9):
            x, y = jnp.asarray(INPUTS[batch], "float32"), jnp.asarray(LABELS[batch])
            params, memory, value = step(params, memory, x, y)
            total += float(value) * len(batch)
        assert sums[epoch - 1][0].objective == pytest.approx(total, rel=1e-5)
    assert_close(list(params.modules), modules_of(workers), 1e-5)
    assert not transport.sent


@pytest.mark.parametrize("method", ["gsadmm", "gsam"])
def test_least_squares_are_solved_to_the_optimum(method, x64):
    """Two linear subnetworks, the second of full rank: the optimum is that of one product."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(20, 3)), random.normal(size=(20, 2))
    linear = [
        (lambda key, shape=shape: jax.random.normal(key, shape, "float64"), lambda W, x: x @ W)
        for shape in ((3, 3), (3, 2))
    ]
    solver = TSSM(method, 0.1, 0.1, optimizer=optax.sgd(0.1), loss=squared_error)
    workers, _ = start(
        solver,
        [range(0, 2)],
        from_modules(linear, (3,), "float64"),
        [range(0, 1), range(1, 2)],
        y,
        x,
    )
    run(workers, epochs=2500, samples=20, size=20)
    lower, upper = arrays(modules_of(workers))
    best = np.linalg.lstsq(x, y)[0]
    np.testing.assert_allclose(lower @ upper, best, atol=1e-8)


# However the subnetworks are dealt out.

SOLVERS = {
    "gsadmm": TSSM("gsadmm"),
    "gsam": TSSM("gsam"),
    "gsadmm, stale": TSSM("gsadmm", 0.1, refresh=False),
    "gsam, stale": TSSM("gsam", 0.1, refresh=False),
    "gsadmm, twice": TSSM("gsadmm", 0.1, inner=2),
    "gsam, stale, twice": TSSM("gsam", 0.1, refresh=False, inner=2),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "gsadmm" else pytest.mark.slow) for name in SOLVERS],
)
def test_any_number_of_workers_gives_the_same_network(name):
    """Batches of 5 and 4, so that every compiled function has two sizes to serve."""
    results = {}
    for count, split in SPLITS.items():
        workers, _ = start(SOLVERS[name], split)
        results[count] = run(workers, epochs=3, size=5), modules_of(workers)
        homes = [worker.subnetworks[0].modules[0].W.device for worker in workers]
        assert len(set(homes)) == count
    sums, reference = results[1]
    for count in (2, 3):
        assert_close(reference, results[count][1], 1e-5)
        np.testing.assert_allclose(flat(results[count][0]), flat(sums), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [pytest.param("gsadmm, stale", marks=pytest.mark.slow), "gsam"])
def test_any_number_of_workers_gives_the_same_network_in_float64(name, x64):
    networks = {}
    for count in (1, 3):
        workers, _ = start(SOLVERS[name], SPLITS[count], network("float64"))
        run(workers, epochs=3)
        networks[count] = modules_of(workers)
    assert_close(networks[1], networks[3], 1e-12)
    assert all(array.dtype == np.float64 for array in arrays(networks[3]))


def test_sums_of_an_epoch():
    """Of gsADMM at its first visit, where p = q = f: all sums by hand."""
    solver = TSSM("gsadmm", alpha=0.2, rho=0.3, relaxation=0.5, optimizer=optax.sgd(0.0))
    workers, _ = start(solver, SPLITS[2], cuts=[range(0, 2), range(2, 4), range(4, 5)])
    [[below, _, above]] = run(workers, epochs=1)
    parts = [part for worker in workers for part in worker.subnetworks]
    parts = jax.device_put(parts, jax.devices()[0])
    f = parts[1](parts[0](jnp.asarray(INPUTS, "float32")))

    def risk(p):
        return cross_entropy(parts[2](p), jnp.asarray(LABELS)).sum()

    gradient = jax.grad(risk)(f)
    p = f - 0.5 / 0.3 * gradient
    q = (0.2 * f + 0.3 * p) / 0.5
    squares = [jnp.sum(v**2) for v in (q - f, f, p - q, q)]
    names = ("misfit", "output", "gap", "target", "coupling", "alpha")
    expected = [*squares, 0.15 * squares[2], 0.2 * SAMPLES]
    assert above.residuals._fields == names
    np.testing.assert_allclose(above.residuals, expected, rtol=1e-4)
    np.testing.assert_allclose(above.objective, risk(f), rtol=1e-4)
    assert below.residuals == (0, 0, 0, 0, 0, 0)  # nothing is below the first subnetwork
    assert below.objective > 0


def test_frozen_subnetworks_stay_as_they_are():
    workers, _ = start(TSSM(frozen_lower=True), SPLITS[2])
    run(workers, epochs=2)
    fresh = build(network(), range(5), seed=0).modules
    for a, b in zip(arrays(fresh[:3]), arrays(modules_of(workers)[:3]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(
        (a != b).any()
        for a, b in zip(arrays(fresh[3:]), arrays(modules_of(workers)[3:]), strict=True)
    )


def test_subnetworks_without_parameters():
    """A cut may fall beside modules that have nothing to train."""
    linear = [
        (lambda key, shape=shape: jax.random.normal(key, shape), lambda W, x: x @ W)
        for shape in ((5, 4), (4, CLASSES))
    ]
    modules = from_modules([lambda x: 2 * x, linear[0], jnp.tanh, linear[1]], (5,))
    cuts = [range(n, n + 1) for n in range(4)]
    networks = []
    for split in ([range(0, 4)], [range(0, 1), range(1, 3), range(3, 4)]):
        workers, _ = start(TSSM("gsam"), split, modules, cuts)
        run(workers, epochs=2)
        networks.append(modules_of(workers))
    assert_close(*networks, 1e-5)
    assert len(arrays(networks[0])) == 2


# Messages.


@pytest.mark.parametrize("name", [name for name in CODEC_NAMES if name != "levels"])
def test_every_codec_trains(name, request):
    """Finite numbers, a falling loss, as many bytes as the codec says, the same memories."""
    if name == "float64":
        request.getfixturevalue("x64")
    modules = network("float64" if name == "float64" else "float32")
    solver, codec = TSSM("gsadmm", optimizer=optax.adam(1e-2)), make_codec(name)
    workers, transport = start(solver, SPLITS[3], modules, codec=codec)
    sums = run(workers, epochs=8, size=7)
    assert np.isfinite(flat(sums)).all()
    assert all(np.isfinite(array).all() for array in arrays(modules_of(workers)))
    assert sums[-1][-1].objective < 0.9 * sums[0][-1].objective
    sizes = [len(batch) for batch in batches(0, 1, SAMPLES, 7)]
    assert sizes == [6, 6, 6, 6]
    size = 8 * 2 * sum(codec.nbytes((rows, 7)) for rows in sizes)
    assert transport.sent == Counter(f=size, q=size)
    assert transport.sent_as_float32 == dict.fromkeys("fq", 8 * 2 * 4 * SAMPLES * 7)
    for below, above in pairwise(workers):
        sent, received = below._parts[-1]._above.up.memory, above._parts[0]._below.up.memory
        if codec.remembers:
            np.testing.assert_array_equal(sent, received)
            assert jnp.abs(sent).max() > 0
        else:
            assert sent is None
            assert received is None


def test_delta_coding_follows_a_network_that_settles():
    """What arrives comes nearer and nearer to what was sent: with lr 0, f is always the same."""
    solver = TSSM("gsam", optimizer=optax.sgd(0.0))
    workers, _ = start(solver, SPLITS[2], cuts=CUTS, codec=make_codec("delta4"))
    lower = workers[0]
    f = lower.apply(jnp.asarray(INPUTS, "float32"))
    errors = []
    for epoch in (1, 2, 3):
        run_epoch(workers, batches(0, epoch, SAMPLES, BATCH), epoch == 1)
        errors.append(float(jnp.abs(lower._parts[-1]._above.up.memory - f).max()))
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 10


def test_a_coarse_code_pulls_the_subnetwork_below_nowhere():
    """Where the loss is flat, p stays at f as it arrived: the subnetwork below has no gradient."""
    solver = TSSM("gsam", 0.1, optimizer=optax.sgd(1.0), loss=lambda f, y: 0 * f[:, 0])
    workers, _ = start(solver, SPLITS[3], codec=make_codec("uniform2"))
    run(workers, epochs=2)
    fresh = build(network(), range(5), seed=0).modules
    assert_close(fresh, modules_of(workers), 1e-6)


def test_nbytes_counts_what_is_held():
    def sizes(**given):
        method, codec = given.pop("method", "gsadmm"), given.pop("codec", None)
        workers, _ = start(TSSM(method, 0.1, **given), SPLITS[3], codec=codec)
        before = [worker.nbytes for worker in workers]
        if codec is not None:  # the richest of all: nothing comes with the first epoch
            run(workers, epochs=1)
            assert [worker.nbytes for worker in workers] == before
        return before

    rows = SAMPLES * 7 * 4  # one variable of one cut
    widths = ((5, 7), (7, 7), (7, 7), (7, 7), (7, CLASSES))
    weights = [4 * (n_in + 1) * n_out for n_in, n_out in widths]
    data = [SAMPLES * 5 * 4, 0, SAMPLES * 4]
    # Adam remembers two numbers a weight and counts steps.
    lean = [3 * sum(weights[own.start : own.stop]) + 4 + data[n] for n, own in enumerate(CUTS)]
    assert sizes(method="gsam") == lean
    more = {0: 0, 1: rows, 2: rows}
    assert sizes() == lean
    assert sizes(method="gsam", refresh=False) == [s + more[n] for n, s in enumerate(lean)]
    assert sizes(refresh=False) == [size + 3 * more[n] for n, size in enumerate(lean)]
    ends = {0: rows, 1: 2 * rows, 2: rows}
    delta = sizes(method="gsam", codec=make_codec("delta8"))
    assert delta == [size + ends[n] for n, size in enumerate(lean)]


# Ticks.


class Recorder(LocalTransport):
    """Notes what is sent, and in which tick."""

    def __init__(self, workers):
        super().__init__(workers)
        self.tick, self.log = 0, []

    def _send(self, message, source, target, variable):
        self.log.append((self.tick, variable, source, target))
        super()._send(message, source, target, variable)


def test_a_batch_moves_by_one_subnetwork_in_a_tick(monkeypatch):
    monkeypatch.setattr(f"{__name__}.LocalTransport", Recorder)
    workers, transport = start(TSSM(), SPLITS[3])
    order = batches(0, 1, SAMPLES, 6)
    epochs = [worker.iteration(order, True) for worker in workers]
    ticks = [0, 0, 0]
    for transport.tick in range(8):
        for number, epoch in enumerate(epochs):
            ticks[number] += next(epoch, "end") is None
    assert ticks == [4 + 4, 4 + 3, 4 + 2]
    assert [next(epoch, "end") for epoch in epochs] == ["end"] * 3
    for number in range(4):
        way = [(number, "f", 0, 1), (number + 1, "f", 1, 2)]
        way += [(number + 2, "q", 2, 1), (number + 3, "q", 1, 0)]
        assert set(way) <= set(transport.log)
    assert len(transport.log) == 4 * 4
    assert not transport._messages  # everything has arrived


# The command on real ranks.

TRAIN = ("train", "--layers", 5, "--hidden", 12, "--epochs", 2, "--batch", 300)


def history(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def saved(out):
    """Arrays of the network on disk, by file and name."""
    manifest = json.loads((out / "model.json").read_text())
    return {
        (name, key): array
        for name in manifest["files"]
        for key, array in np.load(out / name).items()
    }


@pytest.mark.parametrize("solver", ["gsadmm", pytest.param("gsam", marks=pytest.mark.slow)])
def test_ranks_do_not_change_the_run(admm, tmp_path, solver):
    parts = 3 if solver == "gsam" else 2
    for ranks in range(1, parts + 1):
        done = admm(
            *(*TRAIN, "--solver", solver, "--subnetworks", parts, "--out", tmp_path / str(ranks)),
            ranks=ranks,
        )
        assert done.returncode == 0, done.stderr
        assert f"on {ranks} workers" in done.stdout
    reference = history(tmp_path / "1")
    assert len(reference) == 2
    for ranks in range(2, parts + 1):
        out = tmp_path / str(ranks)
        for a, b in zip(reference, history(out), strict=True):
            for name in set(a) - {"seconds", "iterate_seconds", "bytes_sent"}:
                assert b[name] == pytest.approx(a[name], rel=1e-5, abs=1e-6), name
        files, others = saved(tmp_path / "1"), saved(out)
        assert files.keys() == others.keys()
        for key, array in files.items():
            np.testing.assert_allclose(others[key], array, rtol=1e-5, atol=1e-6)
        summary = json.loads((out / "summary.json").read_text())
        assert summary["workers"]["ranks"] == ranks == len(summary["state_bytes"])
        assert len(summary["workers"]["units_per_rank"]) == ranks


@pytest.mark.slow
def test_delta_coded_messages_between_ranks(admm, tmp_path):
    """As many bytes as the codec says; evaluated on one rank and on two, the network is itself."""
    done = admm(
        *(*TRAIN, "--solver", "gsadmm", "--codec", "delta4", "--cuts", 3, "--out", tmp_path),
        ranks=2,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    sizes = [len(batch) for batch in batches(0, 1, 1197, 300)]
    size = 2 * sum(Delta(4).nbytes((rows, 12)) for rows in sizes)
    assert summary["bytes"]["by_variable"] == {"f": size, "q": size}
    assert summary["bytes"]["sent"] == 2 * size == history(tmp_path)[-1]["bytes_sent"]
    assert summary["bytes"]["float32"] == 2 * 2 * 1197 * 12 * 4
    assert re.search(rf"bytes between workers: {2 * size:,} of f and q", done.stdout)
    assert summary["workers"]["units_per_rank"] == ["modules 1–3", "modules 4–5"]
    best = summary["best"]
    scores = {name: best[f"{name}_accuracy"] for name in ("train", "val", "test")}
    scores |= {n: v for n, v in best.items() if n.endswith(("_balanced_accuracy", "_roc_auc"))}
    told = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
    for ranks in (1, 2):
        done = admm("evaluate", tmp_path, ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == told
