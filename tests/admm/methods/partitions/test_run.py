"""Runs over parts of a graph: what is known before, mistakes, faults, saved networks."""

import json
from dataclasses import replace

import numpy as np
import optax
import pytest

from admm import datasets, estimate, evaluate, options, predict, train
from admm.comm import LocalTransport
from admm.errors import InputError
from tests.graphs import NODES, WAYS, given, graph


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


def test_an_optimizer_of_ones_own():
    given_ = given("exact", epochs=3, optimizer=optax.adamw(optax.cosine_decay_schedule(0.01, 3)))
    history = train(given_, data=graph()).history
    assert history[-1]["objective"] < history[0]["objective"]


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
        ({"parts": 0}, "parts"),
        ({"layers": 0}, "layers"),
        ({"interval": 0}, "interval"),
        ({"dropout": 1.0}, "dropout"),
        ({"partition": "best"}, "partition= must be one of"),
    ],
)
def test_what_has_no_meaning_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        options("partitions", **changes)


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
