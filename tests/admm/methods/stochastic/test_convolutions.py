"""Runs of stochastic ADMM on a CNN: by hand, any split, saved networks, and mistakes."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm import estimate, evaluate, options, predict, resumed, train
from admm.comm import LocalTransport
from admm.datasets import checked_samples, load_images
from admm.errors import InputError
from admm.methods.stochastic.share import load_share
from admm.methods.stochastic.training import StochasticTraining, micro_batches
from admm.solvers.stochastic import Place, StochasticADMM, Window
from layers import activate, affine, weights

SMALL = {
    "network": "cnn",
    "filters": 3,
    "hidden": 6,
    "rows": 200,
    "epochs": 2,
    "batch": 10,
    "eval_every": 2,
}


up = jax.jit(StochasticADMM.up, static_argnames=("self", "last"))
at_top = jax.jit(StochasticADMM.at_top, static_argnames="self")
down = jax.jit(StochasticADMM.down, static_argnames="self")
step = jax.jit(StochasticADMM.step, static_argnames=("self", "place"))


def network_of(**changes):
    found = train(options("sadmm", **{**SMALL, **changes})).network
    return [found[n] for n in sorted(found)]


def assert_close(one, other, rtol):
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(jnp.abs(y).max()))


def test_a_run_is_what_it_says_by_hand(x64):
    """One subnetwork, and so no delay: what a W-step sees has met the weights of now."""
    given = options("sadmm", **{**SMALL, "dtype": "float64", "subnetworks": 1, "accumulate": 7})
    share = load_share(given, LocalTransport(1), load_images("digits"))
    solver, x, y = StochasticADMM(damping=0.3), share.rows, share.targets
    start = StochasticTraining(given, share, LocalTransport(1)).network()
    layers = [solver.init(start[n]) for n in range(1, 6)]
    for number in range(1, given.epochs + 1):
        epoch = share.epoch(number)
        order = micro_batches(given.seed, number, 200, epoch.batches, epoch.size)
        for group in epoch.groups:
            network, seen = [layer.params for layer in layers], []
            for batch in group:
                records, s = up(solver, network, x[order[batch]], last=True)
                delta, _ = at_top(solver, s, y[order[batch]])
                seen.append((records, down(solver, network, records, delta)[0]))
            done = (number - 1 + group.start / epoch.batches) / given.epochs
            rate, decay = 1 - done, 50 / (epoch.batches * epoch.size)
            for n in range(5):
                p, s = (jnp.stack([records[n][k] for records, _ in seen]) for k in (0, 1))
                deltas = jnp.stack([deltas[n] for _, deltas in seen])
                squares = jnp.sum(s.reshape(len(s), -1) ** 2, axis=1)
                place = Place(n == 0 or p.ndim > 3, n == 4)
                window = Window(p, deltas, squares)
                layers[n], _ = step(solver, layers[n], window, len(seen), rate, decay, place)
    assert_close(
        network_of(dtype="float64", subnetworks=1, accumulate=7),
        [layer.params for layer in layers],
        rtol=1e-10,
    )


@pytest.mark.parametrize("workers", [2, 4])
def test_any_split_gives_the_same_iterates(workers):
    assert_close(network_of(workers=workers), network_of(), rtol=1e-5)


def test_any_split_gives_the_same_iterates_in_float64(x64):
    wide = {"dtype": "float64", "subnetworks": 4}
    assert_close(network_of(workers=3, **wide), network_of(**wide), rtol=1e-12)


def test_first_weights(x64):
    """Pre-activations of .42 in the first layer; He's weights where images are read."""
    given = options("sadmm", network="cnn", filters=64, hidden=100, dtype="float64")
    share = load_share(given, LocalTransport(1), load_images("digits"))
    start = StochasticTraining(given, share, LocalTransport(1)).network()
    every = [weights(start[n]).W for n in range(1, 6)]
    assert [W.shape for W in every] == [(9, 64), (576, 64), (256, 100), (100, 100), (100, 10)]
    s = jax.vmap(start[1].convolution)(share.rows[:300])
    assert float(jnp.sqrt(jnp.mean(s**2))) == pytest.approx(0.42, rel=0.2)
    for W in every[1:3]:
        assert float(W.std()) == pytest.approx((2 / len(W)) ** 0.5, rel=0.05)
    np.testing.assert_array_equal(every[3], np.eye(100))
    np.testing.assert_array_equal(every[4], 0)


def test_a_saved_network_scores_and_predicts_as_in_training(tmp_path):
    """Of more ranks than in training, and as the modules of `layers.cnn`."""
    data = load_images("digits")
    given = options("sadmm", network="cnn", filters=8, hidden=20, epochs=2, out=tmp_path)
    result = train(given, data=data)
    best = result.summary["best"]
    assert best["test_accuracy"] > 0.85
    for workers in (1, 2):
        found = evaluate(tmp_path, LocalTransport(workers), data=data)
        assert found["test"] == pytest.approx(best["test_accuracy"], abs=1e-6)
    x = jnp.asarray(data.inputs("float32"))
    for n in sorted(result.network):
        x = affine(result.network[n], x) if n == 5 else forward(result.network[n], x)
    np.testing.assert_allclose(predict(tmp_path, data=data), jax.nn.softmax(x), atol=1e-5)


def forward(layer, x):
    return activate(layer, affine(layer, x))


def test_a_resumed_run_is_bit_for_bit_the_run_that_never_stopped(tmp_path):
    """On other workers; checkpoints, messages and parameters are as big as was said before."""
    given = options("sadmm", **{**SMALL, "epochs": 3, "workers": 2, "codec": "uniform8"})
    whole = train(given)
    stopping = replace(given, checkpoint_every=0, out=tmp_path)
    stopped = train(stopping, callback=lambda evaluation: evaluation["epoch"] == 2)
    (folder,) = (tmp_path / "checkpoints").iterdir()
    arrays = [dict(np.load(path)) for path in folder.glob("*.npz")]
    found = estimate(given)
    nbytes = sum(array.nbytes for each in arrays for array in each.values())
    assert sum(each.checkpoint_bytes for each in found.stages[-1].workers) == nbytes
    assert found.bytes_by_variable == whole.summary["bytes"]["by_variable"]
    assert found.stages[-1].parameters == sum(a.size for a in jax.tree.leaves(whole.network))
    assert stopped.summary["stopped"]
    again = train(resumed(tmp_path))
    for n, layer in whole.network.items():
        jax.tree.map(np.testing.assert_array_equal, again.network[n], layer)


def test_operations_count_every_position():
    """Of the first convolution of 3 channels, 8×8 positions of 9 inputs: p W and pᵀδ."""
    given = options("sadmm", **{**SMALL, "epochs": 1, "workers": 5})
    (first, *_) = estimate(given).stages[-1].workers
    rows, steps = 800, 4  # four passes; of the first W-steps, pᵀp too
    solutions = steps * (7 * 10**3 / 3 + 2 * 10**2 * 3)
    assert first.flops == pytest.approx(rows * 64 * (2 * 2 * 9 * 3 + 2 * 10 * 10) + solutions)


RANKS = """
import json, sys
import jax, numpy as np
from admm import options, train
from admm.comm import MPITransport, launch

transport = MPITransport(launch.world())
result = train(options(**json.loads(sys.argv[1])), transport)
own = {n: [np.asarray(a).tolist() for a in jax.tree.leaves(p)] for n, p in result.network.items()}
every = transport.gather(own)
if transport.is_root:
    print(json.dumps({n: layer for part in every for n, layer in part.items()}))
transport.close()
"""


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_do_not_change_the_run(ranks, mpi_python, tmp_path):
    given = {**SMALL, "solver": "sadmm", "out": str(tmp_path)}
    done = mpi_python(RANKS, json.dumps(given), ranks=ranks, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    together = json.loads(line)
    every = [[np.array(a, "float32") for a in together[str(n)]] for n in range(1, 6)]
    assert_close(every, network_of(), rtol=1e-5)
    assert evaluate(tmp_path)["test"] > 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, "layers= is not for network=cnn"),
        ({"subnetworks": 6}, "got subnetworks=6 for 5 layers"),
        ({"network": "mlp"}, "filters= is not for network=mlp"),
        ({"network": "resnet"}, "network= must be one of mlp, cnn, got 'resnet'"),
    ],
)
def test_options_that_do_not_fit_are_told(changes, message):
    with pytest.raises(InputError, match=message):
        options("sadmm", **{**SMALL, **changes})


def test_rows_that_are_no_images_are_told():
    rows = checked_samples(np.zeros((30, 8)), np.arange(30) % 2)
    with pytest.raises(InputError, match=r"network=cnn on .*: got samples of shape \(8,\)"):
        train(options("sadmm", network="cnn"), data=rows)
    small = checked_samples(np.zeros((30, 3, 9, 1)), np.arange(30) % 2)
    with pytest.raises(InputError, match="got images of 3×9; they need at least 4×4"):
        train(options("sadmm", network="cnn"), data=small)


def test_graphs_are_told():
    with pytest.raises(InputError, match="network=cnn is for images; cora is a graph"):
        train(options("sadmm", dataset="cora", network="cnn"))


@pytest.mark.slow
def test_one_message_over_mpi(admm):
    words = ("--solver", "sadmm", "--network", "cnn", "--subnetworks", 6)
    done = admm("train", *words, ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("got --subnetworks 6 for 5 layers") == 1
