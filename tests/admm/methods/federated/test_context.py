"""What clients are told of each other: tables, who is in them, and what travels."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recording import RecordingLocalTransport, messages_of

from admm import evaluate, options, predict, resumed, train
from admm.comm import LocalTransport
from admm.datasets.windows import Client, Windows
from admm.errors import InputError
from admm.methods.federated.context import TABLE_DOWN, TABLE_UP, Tables
from admm.methods.federated.local import LocalSteps
from admm.methods.federated.network import start_network
from admm.methods.federated.schedule import Availability
from layers import Context
from quant import make_codec

SMALL = {
    "dataset": "sensors:clients=4,hours=120",
    "network": "fathom",
    "hidden": 3,
    "private": True,
}
SMALL |= {"batch": 8, "local_steps": 2, "epochs": 4, "refresh": 2, "length": 4, "baselines": False}

both = pytest.mark.parametrize("attention", ["aligned", "context"])


def given(attention, **changes):
    return options("fed-admm", **{**SMALL, "attention": attention, **changes})


def scores(result):
    apart = ("seconds", "iterate_seconds", "bytes_sent")
    return [{n: v for n, v in line.items() if n not in apart} for line in result.history]


def same(a, b):
    found = (jax.tree.leaves(each) for each in (a, b))
    for mine, other in zip(*found, strict=True):
        if hasattr(mine, "dtype"):
            np.testing.assert_array_equal(mine, other)


def tables_of(attention, **changes):
    share = given(attention, **changes).look(LocalTransport())
    return share, Tables(share, share.availability)


def test_rows_are_means_of_the_training_windows_of_a_slot():
    share, tables = tables_of("aligned")
    start = start_network(share.options, share.outline)
    steps = LocalSteps(share, 0, start, jax.devices()[0])
    rows, windows = steps.sequences(1, start.w, start.v), share.clients[1].train
    network = start.model.network(start.w, start.v)
    every = np.stack([network.encode(jnp.asarray(x)) for x in windows.inputs])
    assert rows.shape == tables.shapes[TABLE_UP] == (24, 4, 3)
    for slot in range(24):
        own = every[windows.slots == slot]
        expected = own.mean(axis=0) if len(own) else np.zeros((4, 3))
        np.testing.assert_allclose(rows[slot], expected, atol=1e-6)
        assert share.filled[1, slot] == bool(len(own))


def rows_of(tables):
    return {k: jnp.full(tables.shapes[TABLE_UP], 10.0**k) for k in range(4)}


def test_aligned_keeps_the_last_row_of_who_is_offline(monkeypatch):
    _, tables = tables_of("aligned")
    there = {1: (0, 1, 2), 3: (0, 3)}
    monkeypatch.setattr(tables, "answering", lambda number: there.get(number, ()))
    table = tables.table(0, rows_of(tables), 3)
    assert table.shape == tables.shapes[TABLE_DOWN] == (24, 3, 4, 3)
    assert table[0, :, 0, 0].tolist() == [10, 100, 1000]
    tables._filled = np.ones((4, 24), bool)
    tables._filled[2, 5] = False
    assert tables.available(0, 1)[0].tolist() == [True, True, False]
    assert tables.available(0, 3)[0].tolist() == [True, True, True]
    assert tables.available(0, 3)[5].tolist() == [True, False, True]  # no window, nothing known
    assert tables.available(3, 3)[0].tolist() == [True, True, True]


def test_context_leaves_who_is_offline_out_of_the_mean(monkeypatch):
    _, tables = tables_of("context")
    there = {1: (0, 1, 2), 3: (0, 3), 5: (0,)}
    monkeypatch.setattr(tables, "answering", lambda number: there.get(number, ()))
    means = [float(tables.table(0, rows_of(tables), n)[0, 0, 0, 0]) for n in (1, 3, 5)]
    assert means == [55, 1000, 0]
    assert [tables.available(0, n).tolist() for n in (1, 3, 5)] == [[[True]], [[True]], [[False]]]
    assert float(tables.table(3, rows_of(tables), 3)[0, 0, 0, 0]) == 1


@both
def test_bytes_of_tables_are_those_of_the_codecs_times_the_refreshes(attention):
    changes = {"codec": "delta4", "codec_down": "delta8", "participation": 0.6, "dropouts": 0.2}
    transport = RecordingLocalTransport(2)
    result = train(given(attention, **changes), transport)
    share, tables = tables_of(attention, **changes)
    rounds = Availability(share.options, 4)
    times = [k for n in (1, 3) for k in rounds[n].answering]
    assert 0 < len(times) < 8
    names = {TABLE_UP: "delta4", TABLE_DOWN: "delta8"}
    each = {name: make_codec(names[name]).nbytes(tables.shapes[name]) for name in names}
    last = result.history[-1]
    sent = dict.fromkeys(names, 0)
    for message in messages_of(transport):
        sent[message.variable] = sent.get(message.variable, 0) + len(message.data)
    for name, nbytes in each.items():
        assert last[f"bytes_{name}"] == nbytes * len(times)
        assert sent[name] == nbytes * sum(k >= 2 for k in times)  # of the second worker
    workers = share.options.costs(share.options.look(LocalTransport(2)))[0].workers
    told = {each.variable: each.nbytes * each.times for own in workers for each in own.messages}
    assert {name: told[name] for name in names} == {name: sent[name] for name in names}


@pytest.mark.optimised
@pytest.mark.parametrize("attention", ["context", pytest.param("aligned", marks=pytest.mark.slow)])
def test_any_split_of_the_clients_gives_the_same_bits(attention):
    changes = {"codec": "delta4", "participation": 0.7}
    alone = train(given(attention, **changes))
    together = train(given(attention, **changes, workers=3))
    assert scores(together) == scores(alone)
    same(together.network, alone.network)


@both
def test_a_run_goes_on_with_other_workers(attention, tmp_path):
    """In the round after a refresh: tables and memories of the links are in the checkpoint."""
    changes = {"codec": "delta4", "participation": 0.7}
    whole = train(given(attention, **changes, workers=2))
    stopped = given(attention, **changes, workers=2, out=tmp_path)
    train(stopped, callback=lambda evaluation: evaluation["epoch"] == 1)
    again = train(resumed(tmp_path, workers=3))
    assert scores(again) == scores(whole)
    same(again.network, whole.network)


@both
def test_the_saved_network_has_its_table(attention, tmp_path):
    result = train(given(attention, out=tmp_path, eval_every=4))
    found = evaluate(tmp_path)
    assert found == {name: result.summary["best"][name] for name in found}
    outputs = predict(tmp_path, LocalTransport(2))
    counts = [result.summary["dataset"][part] for part in ("train", "val", "test")]
    assert outputs.shape == (sum(counts), 4)
    assert result.network[1].context.available.any()


@both
def test_clients_look_at_each_other(attention):
    """Without them the network says something else."""
    own = train(given(attention)).network[1]
    share, _ = tables_of(attention)
    start = start_network(share.options, share.outline)
    x = jnp.asarray(share.clients[0].test.inputs[0])
    network = start.model.network(start.w + 0.1, own.v)
    slot = int(own.context.available.sum(axis=1).argmax())
    told = Context(own.context.sequences[slot], own.context.available[slot] > 0)
    assert told.available.any()
    assert (network(x, context=told) != network(x)).any()


def test_two_ranks_give_the_bits_of_one(admm, tmp_path):
    changes = {"codec": "delta4", "participation": 0.7}
    train(given("aligned", **changes, out=tmp_path / "one"))
    words = [f"--{n.replace('_', '-')}={v}" for n, v in SMALL.items() if not isinstance(v, bool)]
    words += ["--solver=fed-admm", "--codec=delta4", "--participation=.7", "--attention=aligned"]
    words += ["--private", "--no-baselines", "--out", tmp_path / "two"]
    done = admm("train", *words, ranks=2)
    assert done.returncode == 0, done.stderr
    one, two = (
        {path.name: dict(np.load(path)) for path in (tmp_path / name).glob("models/*/*.npz")}
        for name in ("one", "two")
    )
    assert len(one) == 5
    jax.tree.map(np.testing.assert_array_equal, one, two)
    last = json.loads((tmp_path / "two" / "history.jsonl").read_text().splitlines()[-1])
    assert last["bytes_table_down"] > last["bytes_table_up"] > 0


def test_everything_is_right_in_float64(x64):
    result = train(given("aligned", dtype="float64", epochs=1, workers=2))
    assert result.network[1].context.sequences.dtype == jnp.float64
    assert np.isfinite(result.history[-1]["test_loss"])


class Blobs:
    name, task, clients = "blobs", "regression", ("a", "b")
    columns, outputs, steps, features = (), ("y",), 3, 2
    slots = 2

    def part(self, number):
        x = np.random.default_rng(number).normal(size=(6, 3, 2))
        return Windows(x, x[:, 0, :1], np.ones((6, 1), bool), np.arange(6) % 2)

    def client(self, number):
        return Client(self.clients[number], *(self.part(number) for _ in range(3)))


OWN = {name: value for name, value in SMALL.items() if name not in ("dataset", "length")}


def test_a_federation_of_ones_own_may_have_a_clock():
    result = train(options("fedavg", attention="aligned", **OWN), data=Blobs())
    assert result.network[1].context.sequences.shape == (2, 1, 3, 3)


class NoClock(Blobs):
    slots = 0


class Alone(Blobs):
    clients = ("a",)


class Wrong(Blobs):
    def part(self, number):
        return super().part(number)._replace(slots=np.arange(6))


class Without(Blobs):
    def part(self, number):
        return super().part(number)._replace(slots=None)


@pytest.mark.parametrize(
    ("data", "attention", "message"),
    [
        (NoClock(), "aligned", "attention=aligned needs clients with a common clock, and blobs t"),
        (Alone(), "context", "attention=context looks at other clients, and blobs has one alone"),
        (Wrong(), "aligned", r"client a: train: expected slots in 0…1, got 0…5"),
        (Without(), "aligned", r"client a: train: expected slots of shape \(6,\), of whole number"),
    ],
)
def test_federations_that_do_not_fit_are_refused(data, attention, message):
    with pytest.raises(InputError, match=message):
        train(options("fedavg", attention=attention, **OWN), data=data)


def test_people_have_no_common_clock(data_dir):
    fathom = options(
        "fedavg", dataset="har", attention="aligned", network="fathom", data_dir=data_dir
    )
    with pytest.raises(InputError, match="needs clients with a common clock, and har tells of non"):
        train(fathom)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "lstm", "attention": "context"}, "attention= is not for network=lstm"),
        ({"network": "fathom", "refresh": 3}, "refresh= is not for attention=own"),
        ({"network": "fathom", "attention": "context", "refresh": 0}, "refresh= must be at least"),
        (
            {"network": "fathom", "attention": "aligned", "secure_aggregation": True},
            "attention=aligned shows the server what each client's windows look like, which sec",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        options("fed-admm", **changes)
