"""Runs over parts of a graph: what is known before, mistakes, faults, saved networks."""

import json
import sys
from dataclasses import replace

import numpy as np
import optax
import pytest

from admm import datasets, estimate, evaluate, options, predict, resumed, train
from admm.comm import LocalTransport
from admm.errors import DivergedError, InputError
from admm.methods.partitions import share
from layers import partition
from tests.graphs import NODES, WAYS, given, graph, ways


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("codec", [None, pytest.param("delta2", marks=pytest.mark.slow)])
def test_what_a_run_sends_and_saves_is_known_before_it(way, codec, tmp_path):
    made = given(way, codec=codec, epochs=5, eval_every=2, workers=2, out=tmp_path)
    found = estimate(replace(made, out=None), data=graph())
    summary = train(made, data=graph()).summary
    assert found.bytes_by_variable == summary["bytes"]["by_variable"]
    assert found.evaluation_bytes == summary["bytes"]["evaluation"]
    (folder,) = (tmp_path / "checkpoints").iterdir()
    nbytes = sum(array.nbytes for path in folder.glob("*.npz") for array in np.load(path).values())
    assert sum(each.checkpoint_bytes for each in found.stages[0].workers) == nbytes


@pytest.mark.parametrize("way", ["refresh", "kvs", "admm"])
def test_a_saved_network_scores_as_in_training(way, tmp_path):
    """On any number of workers, and for every node."""
    result = train(given(way, epochs=4, dropout=0.5, out=tmp_path), data=graph())
    best = result.summary["best"]
    for workers in (1, 2):
        found = evaluate(tmp_path, LocalTransport(workers), data=graph())
        assert found["val"] == pytest.approx(best["val_accuracy"])
        assert found["test"] == pytest.approx(best["test_accuracy"])
    alone, together = (predict(tmp_path, LocalTransport(n), data=graph()) for n in (1, 3))
    assert alone.shape == (NODES, 3)
    np.testing.assert_allclose(alone, together, atol=1e-6)
    test = graph().split.test
    right = alone.argmax(axis=1)[test] == graph().labels[test]
    assert right.mean() == pytest.approx(best["test_accuracy"])


def test_an_optimizer_of_ones_own_goes_on_bit_for_bit(tmp_path):
    """No file holds it: whoever goes on passes it along, and inference does without."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(0.01, 4))
    made = given("exact", epochs=4, workers=2, optimizer=optimizer)
    whole = train(made, data=graph()).history
    first = train(replace(made, epochs=2, out=tmp_path), data=graph())
    about = first.summary["options"]
    assert (about["optimizer"], about["lr"]) == ("own", None)
    with pytest.raises(InputError, match="an optimiser of one's own; pass it along, as optimizer"):
        train(resumed(tmp_path, epochs=4), data=graph())
    again = train(resumed(tmp_path, epochs=4, optimizer=optimizer), data=graph())
    objectives, expected = ([line["objective"] for line in each] for each in (again.history, whole))
    assert objectives == expected
    assert objectives[-1] < objectives[0]
    found = evaluate(tmp_path, data=graph())
    assert found["val"] == pytest.approx(again.summary["best"]["val_accuracy"])


def test_divergence_with_an_optimizer_of_ones_own_has_no_remedy(tmp_path):
    made = given("exact", epochs=5, optimizer=optax.sgd(1e10), out=tmp_path)
    with pytest.raises(DivergedError, match="try a smaller learning rate"):
        train(made, data=graph())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["retreats"]) == ("diverged", [])


def test_a_learning_rate_that_is_not_given():
    made = given()
    assert made.learning_rate == made.as_json()["lr"] == 0.01
    assert made.remedy == "a lr= below 0.01"
    safer, told = made.safer(None)
    assert (safer.learning_rate, told) == (0.01 / 3, "lr=0.00333333")


# Mistakes.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halo": "exact", "order": "end"}, "order= is not for halo=exact"),
        ({"halo": "refresh", "order": "kvs"}, "order= is not for halo=refresh"),
        ({"halo": "exact", "interval": 5}, "interval= is not for halo=exact"),
        ({"halo": "pipe", "interval": 5}, "interval= is not for halo=pipe"),
        ({"halo": "stale", "gamma": 0.1}, "gamma= is not for halo=stale"),
        ({"exact_epochs": 0}, "exact_epochs= is not for halo=refresh"),
        ({"halo": "fresh"}, "halo= must be one of exact, drop, pipe, stale, refresh, admm"),
        ({"halo": "stale", "order": "late"}, "order= must be one of fresh, end, kvs"),
        ({"network": "gat"}, "network= must be one of gcn, sage"),
        ({"codec": "levels"}, "codec= must be one of"),
        ({"codec": "uniform3"}, "codec= must be one of"),
        ({"optimizer": "sgd"}, "optimizer= must be one of gd, adadelta, adagrad, adam, got 'sgd'"),
        ({"optimizer": optax.adam}, "or an optax.GradientTransformation, such as optax.adam"),
        ({"optimizer": optax.adam(0.01), "lr": 0.01}, "lr= is not for an optimiser of one's own"),
        ({"parts": 0}, "parts= must be at least 1, got 0"),
        ({"layers": 0}, "layers= must be in 1…10,000, got 0"),
        ({"interval": 0}, "interval= must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout= must be in \[0, 1\), got 1.0"),
        # What is as by default, too.
        ({"halo": "exact", "interval": 10}, "interval= is not for halo=exact; it is for halo=st"),
        ({"halo": "exact", "order": "fresh"}, "order= is not for halo=exact; it is for halo=st"),
        ({"halo": "stale", "gamma": 0.3}, "gamma= is not for halo=stale; it is for halo=admm"),
        # Where no rows travel.
        (
            {"halo": "drop", "codec": "uniform4"},
            "codec=uniform4 has no meaning with halo=drop and layers=3: no rows travel between",
        ),
        (
            {"layers": 2, "codec": "delta4"},
            "codec=delta4 has no meaning with halo=refresh and layers=2: no rows travel between",
        ),
        (
            {"layers": 2, "interval": 10},
            "interval=10 has no meaning with halo=refresh and layers=2: no rows travel between",
        ),
        ({"layers": 1, "codec": "delta4"}, "codec=delta4 has no meaning with halo=exact and lay"),
        ({"layers": 1, "halo": "stale"}, "halo=stale needs layers= of 2 or more, got 1: the first"),
        ({"layers": 1, "halo": "refresh"}, "halo=refresh needs layers= of 2 or more, got 1: the"),
        ({"partition": "best"}, "partition= must be one of"),
    ],
)
def test_what_has_no_meaning_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        options("partitions", **changes)


@pytest.mark.parametrize(("way", "layers"), [(way, n) for n in (1, 2, 3) for way in ways(n)])
def test_what_follows_from_other_options_is_written_down(way, layers):
    made = given(way, layers=layers)
    values = json.loads(json.dumps(made.as_json()))
    assert type(made).from_json(values).as_json() == values
    exact = made.exact()
    assert (exact.halo, exact.schedule) == ("exact", ("fresh", 1))
    assert type(made).from_json(exact.as_json()).as_json() == exact.as_json()


def test_values_that_options_have_by_themselves():
    names = ("halo", "order", "interval", "gamma", "exact_epochs", "predictor_lr")
    for given_, wanted in (
        (options("partitions"), ("refresh", None, 10, None, None, None)),
        (options("partitions", layers=2), ("refresh", None, None, None, None, None)),
        (options("partitions", layers=1), ("exact", None, None, None, None, None)),
        (options("partitions", halo="admm"), ("admm", None, 10, 0.3, 25, None)),
        (options("sat"), ("stale", "fresh", 10, None, None, 0.01)),
    ):
        values = given_.as_json()
        assert tuple(values[name] for name in names) == wanted


def test_digest_is_stale():
    assert options("digest").halo == "stale"
    with pytest.raises(InputError, match="halo=exact is not digest, which is halo=stale"):
        options("digest", halo="exact")


@pytest.mark.parametrize(
    ("changes", "workers", "message"),
    [
        ({"parts": NODES + 1}, 1, f"random: got {NODES + 1} parts for {NODES} nodes; every part"),
        ({"parts": 2}, 3, "got 3 workers for 2 parts; every worker needs at least one: start"),
        ({"rows": NODES}, 1, "rows=60 is more than the 20 training rows of random"),
    ],
)
def test_what_the_graph_does_not_give_is_refused(changes, workers, message):
    with pytest.raises(InputError, match=message):
        train(given(**changes, epochs=1), LocalTransport(workers), data=graph())


def test_what_is_no_graph_is_refused():
    data = datasets.load_images("digits")
    with pytest.raises(InputError, match="solver=partitions trains on a Graph of admm.datasets"):
        train(given(), data=data)


def test_features_beyond_float32_are_refused():
    data = graph()
    with pytest.raises(InputError, match="the features overflow dtype=float32; scale them down"):
        train(given(), data=replace(data, features=data.features * 1e300))


# Parts and data, found again.


@pytest.mark.parametrize("way", ["exact", "fresh"])  # whose states do not know parts, and do
def test_a_run_goes_on_with_the_same_parts_only(way, tmp_path, monkeypatch):
    made = given(way, partition="auto", epochs=2, out=tmp_path)
    train(made, data=graph())
    how = partition(graph().adjacency, 4).how
    train(resumed(tmp_path, epochs=3), data=graph())
    monkeypatch.setattr(share, "partition", lambda A, parts, *_: partition(A, parts, "random", 7))
    words = (
        rf"the nodes were in other parts, made by {how} \(fingerprint \w+\); got parts made by "
        r"random \(fingerprint \w+\): go on where the same partitioner is installed"
    )
    with pytest.raises(InputError, match=words):
        train(resumed(tmp_path, epochs=4), data=graph())


def test_a_generated_graph_is_known_again(tmp_path):
    """Whether its parts are made where they are needed, or all of it is handed over."""
    name = "sbm:nodes=1200"
    made = options("partitions", dataset=name, parts=2, hidden=4, epochs=2, out=tmp_path)
    summary = train(made).summary
    whole = datasets.load(name)
    found = evaluate(tmp_path), evaluate(tmp_path, data=whole)
    assert found[0] == pytest.approx(found[1])
    assert summary["dataset"]["provenance"] == dict(whole.provenance)
    with pytest.raises(InputError, match="the data are not those"):
        evaluate(tmp_path, data=replace(whole, features=2 * whole.features))


def test_a_generated_graph_has_one_split():
    words = "sbm:nodes=300,seed=0 has one split, number 0; got split=3"
    with pytest.raises(InputError, match=words):
        train(options("partitions", dataset="sbm:nodes=300", split=3, epochs=1))


def test_a_network_of_metis_is_evaluated_without_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymetis", None)
    result = train(given(partition="metis", parts=1, epochs=2, out=tmp_path), data=graph())
    for workers in (1, 2):
        found = evaluate(tmp_path, LocalTransport(workers), data=graph())
        assert found["val"] == pytest.approx(result.summary["best"]["val_accuracy"])


# Real processes.

TRAIN = (
    *("train", "--solver", "digest", "--order", "end", "--interval", 3, "--codec", "delta4"),
    *("--hidden", 8, "--parts", 4, "--partition", "bfs", "--epochs", 12),
    *("--checkpoint-every", 4),
)

FAULTY = """
import os, signal, sys
from admm.cli.main import main
from admm.comm import launch
from admm.methods.partitions.worker import PartitionWorker
step, left = PartitionWorker.step, [10]
def stopped(self, total):
    left[0] -= 1
    if left[0] == 0 and launch.launch_rank() == 1:
        os.kill(os.getpid(), int(sys.argv[1]))
    step(self, total)
PartitionWorker.step = stopped
sys.exit(main(sys.argv[2:]))
"""


def lines(run):
    apart = ("seconds", "iterate_seconds", "bytes_sent")
    every = map(json.loads, (run / "history.jsonl").read_text().splitlines())
    return [{name: v for name, v in line.items() if name not in apart} for line in every]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "codes"), [(9, (9, 137)), (19, (4, 9, 137))])
def test_a_lost_rank_ends_all_and_the_run_goes_on(number, codes, admm, mpi_python, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert admm(*TRAIN, "--out", whole, ranks=2).returncode == 0
    words = (*TRAIN, "--out", broken, "--timeout", 20)
    done = mpi_python(FAULTY, number, *words, ranks=2)
    assert done.returncode in codes, done.stderr
    if number == 19:
        assert done.stderr.count("rank 1 silent for 20 s") == 1
        assert "rank 1 has parts 3–4" in done.stderr
    resumed = admm("train", "--resume", broken, ranks=3)
    assert resumed.returncode == 0, resumed.stderr
    assert lines(broken) == lines(whole)


@pytest.mark.slow
def test_commands(admm, tmp_path):
    run = tmp_path / "run"
    done = admm(*TRAIN, "--out", run, ranks=2)
    assert done.returncode == 0, done.stderr
    best = json.loads((run / "summary.json").read_text())["best"]
    said = [admm("evaluate", run, ranks=ranks).stdout for ranks in (None, 2)]
    assert said[0] == said[1]
    assert f"{best['test_accuracy']:.4f}"[:5] in said[0]
    for ranks in (None, 2):
        assert admm("predict", run, "--out", tmp_path / f"{ranks}.csv", ranks=ranks).returncode == 0
    rows = (tmp_path / "2.csv").read_text().splitlines()
    assert len(rows) == 1 + 1797
    for words in (
        (*TRAIN, "--dry-run"),
        ("status", run),
        ("plot", run, "--out", tmp_path / "run.png"),
        ("report", run),
    ):
        done = admm(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout or "plot" in words


@pytest.mark.slow
def test_a_mistake_of_the_data_is_told_once(admm):
    done = admm(*TRAIN, "--parts", 1798, "--partition", "random", ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("got 1798 parts for 1797 nodes") == 1
