"""Runs of federated learning: what is the same to the bit, what travels, and who is there."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recording import RecordingLocalTransport, messages_of

from admm import evaluate, options, predict, resumed, train
from admm.comm import LocalTransport
from admm.datasets.clients import read_federation
from admm.datasets.windows import Client, Windows
from admm.errors import InputError
from admm.methods.federated.network import on_host, start_network
from admm.methods.federated.options import METHODS, Method
from admm.methods.federated.schedule import Availability
from quant import make_codec

SMALL = {"dataset": "sensors:clients=4,hours=120", "network": "mlp", "hidden": 4}
SMALL |= {"private": True, "batch": 8, "local_steps": 3, "epochs": 6, "baselines": False}


def run(solver, transport=None, data=None, **changes):
    return train(options(solver, **{**SMALL, **changes}), transport, data=data)


def scores(result):
    apart = ("seconds", "iterate_seconds", "bytes_sent")
    return [{n: v for n, v in line.items() if n not in apart} for line in result.history]


def same_network(a, b):
    jax.tree.map(
        np.testing.assert_array_equal,
        eqx.filter(a, eqx.is_inexact_array),
        eqx.filter(b, eqx.is_inexact_array),
    )


def test_a_penalty_of_zero_leaves_federated_averaging():
    fedavg, fedprox = run("fedavg"), run("fedprox", rho=0)
    assert scores(fedavg) == scores(fedprox)
    same_network(fedavg.network, fedprox.network)


def test_without_penalty_and_dual_the_consensus_is_federated_averaging(monkeypatch):
    monkeypatch.setitem(METHODS, "fed-admm", Method(has_penalty=True, counts_absent=True))
    fedavg, consensus = run("fedavg"), run("fed-admm", rho=0)
    assert scores(fedavg) == scores(consensus)
    same_network(fedavg.network, consensus.network)


def test_no_momentum_leaves_federated_averaging_to_rounding():
    fedavg, fedavgm = run("fedavg"), run("fedavgm", server_momentum=0)
    assert fedavgm.history[-1]["test_loss"] == pytest.approx(
        fedavg.history[-1]["test_loss"], rel=1e-4
    )


def test_averaging_over_one_client_is_local_training():
    result = run("fedavg", dataset="sensors:clients=1,hours=120", baselines=True)
    found = result.summary["baselines"]["local only"]
    assert {name: result.summary["best"][name] for name in found} == found


class Blobs:
    """Clients with so many windows, and `more` from one to the next; linear targets with noise."""

    name, task, clients = "blobs", "regression", ("a", "b", "c")
    columns, outputs, steps, features = (), ("y",), 2, 3

    def __init__(self, windows=16, more=0):
        self.windows, self.more = windows, more

    def client(self, number):
        rng = np.random.default_rng(number)

        def part():
            count = self.windows + number * self.more
            x = rng.normal(size=(count, self.steps, self.features)) + number
            return Windows(*self.targets(x.astype(np.float32), rng))

        return Client(self.clients[number], part(), part(), part())

    def targets(self, x, rng):
        y = x.sum(axis=(1, 2))[:, None] + rng.normal(size=(len(x), 1))
        return x, y.astype(np.float32), np.ones(y.shape, bool)


PLAIN = {"network": "linear", "loss": "squared_error", "optimizer": "gd", "clip": 0, "lr": 0.02}
PLAIN |= {"private": False, "schedule": "constant", "batch": 16, "epochs": 5}


@pytest.mark.parametrize(
    ("solver", "weights"), [("fedavg", "equal"), ("fedsgd", "rows"), ("fedavg", "rows")]
)
def test_one_step_of_gradient_descent_is_centralised(x64, solver, weights):
    """Batches are whole clients, each of 16, 24 or 32 windows as often as 96 have room for."""
    given = {**SMALL, **PLAIN, "local_steps": 1, "client_weights": weights, "dtype": "float64"}
    given |= {"batch": 96, "lr": 0.01}
    data = Blobs(more=8)
    result = train(options(solver, **given), data=data)
    clients = [read_federation(data).client(k) for k in range(3)]
    share = np.array([16, 24, 32]) / 72 if weights == "rows" else np.ones(3) / 3
    start = start_network(options(solver, **given), data)
    batches = jax.tree.map(jnp.asarray, [on_host(client.train, "float64") for client in clients])
    w = start.w

    def loss(w):
        losses = [start.model.loss(w, start.v, batch) for batch in batches]
        return sum(part * each for part, each in zip(share, losses, strict=True))

    for _ in range(5):
        w = w - 0.01 * jax.grad(loss)(w)
    found = jax.flatten_util.ravel_pytree(result.network[0])[0]
    np.testing.assert_allclose(found, w, rtol=1e-12)


@pytest.mark.optimised
@pytest.mark.parametrize("solver", ["fed-admm", pytest.param("scaffold", marks=pytest.mark.slow)])
def test_any_split_of_the_clients_gives_the_same_bits(solver):
    given = {"codec": "delta4", "codec_down": "delta8", "participation": 0.7, "dropouts": 0.2}
    given |= {"epochs": 4}
    alone = run(solver, **given)
    together = run(solver, workers=3, **given)
    assert scores(together) == scores(alone)
    same_network(together.network, alone.network)


def test_two_ranks_give_the_bits_of_one(admm, tmp_path):
    given = {**SMALL, "codec": "delta4", "participation": 0.6, "out": tmp_path / "one"}
    alone = train(options("fed-admm", **{**given, "baselines": True})).summary
    apart = ("private", "baselines")
    words = [f"--{n.replace('_', '-')}={v}" for n, v in SMALL.items() if n not in apart]
    words += ["--solver=fed-admm", "--codec=delta4", "--participation=.6", "--private"]
    done = admm("train", *words, "--out", tmp_path / "two", ranks=2)
    assert done.returncode == 0, done.stderr
    assert "local only: test_mae" in done.stdout
    together = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert together["baselines"] == alone["baselines"]
    one, two = (
        {path.name: dict(np.load(path)) for path in (tmp_path / name).glob("models/*/*.npz")}
        for name in ("one", "two")
    )
    assert len(one) == 5
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize(
    ("solver", "codec"),
    [
        ("fed-admm", "float32"),
        ("fedsgd", "bfloat16"),
        ("scaffold", "uniform4"),
        ("fedavg", "delta2"),
    ],
)
def test_bytes_are_those_of_the_codecs_times_the_participations(solver, codec):
    """Up and down apart; nothing else travels in training."""
    given = {"codec": codec, "codec_down": "delta8", "participation": 0.5, "dropouts": 0.3}
    given |= {"epochs": 8, "local_steps": None, "seed": 3}
    transport = RecordingLocalTransport(2)
    result = run(solver, transport, **given)
    shape = jax.flatten_util.ravel_pytree(result.network[0])[0].shape
    rounds = Availability(options(solver, **{**SMALL, **given}), 4)
    every = [rounds[number] for number in range(1, 9)]
    controls = 2 if solver == "scaffold" else 1
    up, down = (controls * make_codec(name).nbytes(shape) for name in (codec, "delta8"))
    last = result.history[-1]
    assert last["bytes_down"] == down * sum(len(each.present) for each in every)
    assert last["bytes_up"] == up * sum(len(each.answering) for each in every)
    assert rounds.counts(8).answers < rounds.counts(8).downloads
    sent = {"up": 0, "down": 0}
    for variable, source, target, message in messages_of(transport):
        if variable != "evaluation":
            assert (target, source)[variable.startswith("down")] == 0
            sent[variable.partition("_")[0]] += len(message)
    there = [[k for k in each.present if k >= 2] for each in every]  # of the second worker
    answers = [[k for k in each.answering if k >= 2] for each in every]
    assert sent == {"up": up * sum(map(len, answers)), "down": down * sum(map(len, there))}


def test_no_window_is_in_any_message():
    transport = RecordingLocalTransport(3)
    run("fed-admm", transport, data=Blobs(), **PLAIN)
    messages = messages_of(transport)
    assert {each.variable for each in messages} == {"up", "down", "evaluation"}
    windows = [
        array[row].tobytes()
        for number in range(3)
        for part in ("train", "val", "test")
        for array in getattr(Blobs().client(number), part)[:2]
        for row in range(16)
    ]
    for each in messages:
        assert not any(window in each.data for window in windows)


READS = """
import sys
from admm import options, train
from admm.comm import MPITransport, launch
from admm.datasets.clients import read_federation

class Watched:
    def __init__(self):
        self.inner, self.read = read_federation("sensors:clients=5,hours=120"), []
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def client(self, number):
        self.read.append(number)
        return self.inner.client(number)

transport, data = MPITransport(launch.world()), Watched()
given = dict(network="linear", epochs=2, workers=1)
train(options("fed-admm", **given), transport, data=data)
assert data.read == ([0, 1], [2, 3, 4])[transport.local[0]], data.read
transport.close()
print("good")
"""


def test_a_rank_reads_the_data_of_its_own_clients_alone(mpi_python):
    done = mpi_python(READS, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr


def test_a_run_goes_on_with_other_workers(tmp_path):
    """To the same bits: the server's and every client's state are in the checkpoint."""
    given = {"codec": "delta4", "participation": 0.6, "late_joiners": 1, "join_round": 4}
    whole = run("fed-admm", **given, workers=2)
    stopped = options("fed-admm", **SMALL, **given, out=tmp_path, workers=2)
    train(stopped, callback=lambda evaluation: evaluation["epoch"] == 3)
    again = train(resumed(tmp_path, workers=3))
    assert scores(again) == scores(whole)
    same_network(again.network, whole.network)


def test_the_saved_network_has_the_scores_of_the_run(admm, tmp_path):
    summary = run("fedavg", out=tmp_path, per_client=True, eval_every=6).summary
    found = evaluate(tmp_path)
    assert found == {name: summary["best"][name] for name in found}
    assert evaluate(tmp_path, LocalTransport(3)) == found
    outputs = predict(tmp_path)
    counts = [summary["dataset"][part] for part in ("train", "val", "test")]
    assert outputs.shape == (sum(counts), 4)
    np.testing.assert_array_equal(predict(tmp_path, LocalTransport(2)), outputs)
    done = admm("predict", tmp_path, "--out", tmp_path / "out.csv")
    assert f"{sum(counts):,} rows of 4 outputs in" in done.stdout, done.stderr
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "row,y0,y1,y2,y3"
    assert lines[1] == ",".join(["0", *(f"{value:.6g}" for value in outputs[0])])
    of_clients = [each["test_mae"] for each in summary["clients"].values()]
    assert np.mean(of_clients) == pytest.approx(found["test_mae"])
    assert max(of_clients) == found["test_mae_worst"]


def test_a_network_without_private_parts_is_a_module(tmp_path):
    result = run("fedavg", private=False, out=tmp_path)
    windows = read_federation(SMALL["dataset"]).client(0).train.inputs
    found = jax.vmap(result.module())(windows)
    np.testing.assert_allclose(found, predict(tmp_path)[: len(windows)], rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="this method makes no module"):
        run("fedavg", epochs=1).module()


def test_scores_of_clients_are_written_only_if_asked_for(tmp_path):
    summary = run("fedavg", out=tmp_path).summary
    assert "clients" not in summary
    assert "client 0" not in (tmp_path / "summary.json").read_text()


def test_parts_of_the_attention_can_be_left_out():
    whole = options("fedavg", network="fathom")
    outline = read_federation("sensors:clients=2")
    sizes = [
        start_network(replace(whole, **changes), outline).w.size
        for changes in ({}, {"task_attention": False}, {"temporal_attention": False})
    ]
    assert sizes[0] - sizes[1] == 4 * 4  # Ws
    assert sizes[0] - sizes[2] > 0
    head = start_network(replace(whole, private=True), outline)
    assert sizes[0] - head.w.size == 4 * 4 + 4 * 16 + 4  # and the output layer


def test_a_run_ends_when_nothing_gets_better(tmp_path):
    """And where it has been interrupted one evaluation before, it counts on."""
    given = {"epochs": 12, "patience": 2, "lr": 1.0, "schedule": "constant"}
    result = run("fedavg", **given)
    best = result.summary["best"]["epoch"]
    assert result.summary["stopped"]
    assert result.history[-1]["epoch"] == best + 2 < 12
    stopped = options("fedavg", **{**SMALL, **given}, out=tmp_path)
    train(stopped, callback=lambda evaluation: evaluation["epoch"] == best + 1)
    for _ in range(2):  # the second time it has ended already
        again = train(resumed(tmp_path))
        assert again.summary["stopped"]
        assert again.history[-1]["epoch"] == best + 2


def test_everything_is_right_in_float64(x64):
    given = {"network": "linear", "private": False}  # whose start has no random numbers
    double, single = run("fed-admm", dtype="float64", workers=2, **given), run("fed-admm", **given)
    assert double.network[0].weight.dtype == jnp.float64
    assert double.history[-1]["test_loss"] == pytest.approx(
        single.history[-1]["test_loss"], rel=1e-3
    )


class Classes(Blobs):
    task, outputs = "classes", ("low", "high")

    def targets(self, x, rng):
        return x, (x[:, 0, 0] > 1).astype(np.int32), np.ones(len(x), bool)


def test_classes_are_learned():
    given = {
        **SMALL,
        "network": "linear",
        "private": False,
        "epochs": 15,
        "lr": 0.05,
        "baselines": True,
    }
    result = train(options("fed-admm", **given), data=Classes())
    assert result.history[-1]["test_macro_f1"] > 0.75
    assert list(result.summary["baselines"]) == ["ridge per client", "ridge pooled", "local only"]


# Who is there.


def test_rounds_are_drawn_alike_whoever_asks():
    given = options("fedavg", participation=0.4, dropouts=0.3, seed=5)
    one, other = Availability(given, 6), Availability(given, 6)
    late = other[50]
    assert [one[n] for n in range(1, 51)] == [other[n] for n in range(1, 51)]
    assert one[50] == late
    present = [len(one[n].present) for n in range(1, 401)]
    answering = [len(one[n].answering) for n in range(1, 401)]
    assert np.mean(present) / 6 == pytest.approx(0.4, abs=0.05)
    assert sum(answering) / sum(present) == pytest.approx(0.7, abs=0.05)
    counts = one.counts(400)
    assert counts[:2] == (sum(present), sum(answering))
    assert counts.skipped == answering.count(0) == present.count(0)


def test_late_joiners_are_not_there_before_their_round():
    rounds = Availability(options("fedavg", late_joiners=2, join_round=3), 5)
    assert [rounds[n].present for n in (1, 2)] == [(0, 1, 2)] * 2
    assert rounds[3].present == (0, 1, 2, 3, 4)
    assert rounds.answered(2) == {0, 1, 2}


def test_a_round_without_clients_is_skipped_and_counted():
    result = run("fed-admm", participation=0.2, epochs=8, seed=1)
    skipped = [line["skipped"] for line in result.history]
    rounds = Availability(options("fed-admm", **{**SMALL, "participation": 0.2, "seed": 1}), 4)
    empty = [n for n in range(1, 9) if not rounds[n].present]
    assert empty
    assert skipped[-1] == len(empty)
    for number in (n for n in empty if n > 1):
        before, after = result.history[number - 2], result.history[number - 1]
        assert after["test_loss"] == before["test_loss"]
        assert after["bytes_up"] == before["bytes_up"]


# What is refused.


@pytest.mark.parametrize(
    ("solver", "changes", "message"),
    [
        ("fedsgd", {"local_steps": 3}, "local_steps=3 is not fedsgd, which sends the gradient"),
        ("fedavg", {"rho": 0.2}, "rho= is not for solver=fedavg"),
        ("fed-admm", {"server_momentum": 0.5}, "server_momentum= is not for solver=fed-admm"),
        ("fedavg", {"late_joiners": 2}, "late_joiners= and join_round= belong together"),
        ("fedavg", {"join_round": 2}, "late_joiners= and join_round= belong together"),
        (
            "fedavg",
            {"late_joiners": 2, "join_round": 50},
            "join_round=50 comes after the last of 6",
        ),
        ("fed-admm", {"rho": 0}, "rho=0 leaves fed-admm no penalty to go by; take one above 0"),
        ("fedavg", {"private": True, "network": "linear"}, "network=linear has no part to keep"),
        ("fedavg", {"delta": 0.1}, "delta=0.1 is of differential privacy, which needs noise_mult"),
        ("fedavg", {"participation": 0}, r"participation= must be in \(0, 1\], got 0"),
        ("fedavg", {"dropouts": 1}, r"dropouts= must be in \[0, 1\), got 1"),
        ("fedavg", {"task_attention": False}, "task_attention= is not for network=mlp"),
        ("fedavg", {"codec": "levels"}, "codec= must be one of float64"),
    ],
)
def test_options_that_do_not_fit_are_refused(solver, changes, message):
    with pytest.raises(InputError, match=message):
        options(solver, **{**SMALL, "local_steps": None, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 5}, "got 5 workers for 4 clients of sensors.*; every worker needs"),
        ({"late_joiners": 4, "join_round": 2}, "late_joiners=4 leaves nobody to begin with"),
        ({"dataset": "sensors:client=4"}, "expected options as clients=8"),
    ],
)
def test_data_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        run("fedavg", **changes)


def test_a_loss_of_numbers_is_refused_for_classes():
    with pytest.raises(InputError, match="loss=l1 is for regression; the task of blobs is classes"):
        run("fedavg", data=Classes(), loss="l1")


def test_a_client_without_windows_ends_all_ranks_with_one_message(mpi_python):
    program = """
import sys
from admm import options, train
from admm.comm import MPITransport, launch
from admm.errors import InputError
from admm.datasets.clients import read_federation

class Empty:
    inner = read_federation("sensors:clients=4,hours=120")
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def client(self, number):
        found = self.inner.client(number)
        none = type(found.train)(*(array[:0] for array in found.train))
        return found._replace(train=none) if number == 3 else found

transport = MPITransport(launch.world())
try:
    train(options("fedavg", network="linear", epochs=2), transport, data=Empty())
except InputError as error:
    assert "client 3: train has 0 windows, expected at least 2" in str(error), error
    print("refused")
transport.close()
"""
    done = mpi_python(program, ranks=2)
    assert done.stdout.count("refused") == 2, done.stderr
