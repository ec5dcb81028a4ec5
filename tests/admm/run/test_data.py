"""Data in memory: the same run as by name, for all methods, and what it takes to read it again."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from admm import (
    LocalTransport,
    checked_graph,
    evaluate,
    options,
    predict,
    resumed,
    train,
)
from admm.datasets import Split, load, load_images
from admm.errors import InputError

SMALL = {"layers": 3, "hidden": 12, "epochs": 3}
KINDS = {"pdadmm-g": options(**SMALL), "adam": options("adam", **SMALL)}
KINDS |= {solver: options(solver, **SMALL, batch=133, lr=5e-3) for solver in ("gsadmm", "gsam")}


def data_of(solver):
    return (load_images if solver.startswith("gs") else load)("digits")


def values(history):
    """Without times."""
    return [{name: each[name] for name in each if not name.endswith("seconds")} for each in history]


@pytest.mark.parametrize("solver", KINDS)
def test_data_in_memory_give_the_same_run_as_by_name(solver, tmp_path):
    named = train(KINDS[solver])
    given = train(replace(KINDS[solver], dataset="nothing", out=tmp_path), data=data_of(solver))
    assert values(given.history) == values(named.history)
    jax.tree.map(np.testing.assert_array_equal, given.network, named.network)
    assert given.summary["dataset"] == named.summary["dataset"]
    assert given.summary["options"]["dataset"] == "memory:digits"


def test_a_name_that_looks_like_a_path(tmp_path):
    """It is that of data in memory all the same."""
    data = replace(load("digits"), name="data/mine.npz")
    given = replace(KINDS["pdadmm-g"], out=tmp_path)
    assert train(given, data=data).summary["options"]["dataset"] == "memory:data/mine.npz"
    with pytest.raises(InputError, match="'data/mine.npz' are data in memory, not a name"):
        evaluate(tmp_path)
    assert len(train(resumed(tmp_path, epochs=4), data=data).history) == 4


@pytest.mark.parametrize("solver", ["pdadmm-g", "gsam"])
def test_such_a_run_needs_its_data_again(solver, tmp_path, command):
    """To be evaluated, to predict, and to go on; each says so, and does with them."""
    data, given = data_of(solver), replace(KINDS[solver], checkpoint_every=1)
    result = train(replace(given, out=tmp_path), data=data)
    message = "'digits' are data in memory, not a name to load; pass them along, as data$"
    for read in (evaluate, predict):
        with pytest.raises(InputError, match=message):
            read(tmp_path)
    with pytest.raises(InputError, match=message):
        train(resumed(tmp_path, epochs=4))
    best = result.summary["best"]
    for workers in (1, 2):
        found = evaluate(tmp_path, LocalTransport(workers), data=data)
        assert found["test"] == pytest.approx(best["test_accuracy"], abs=0.004)
    right = predict(tmp_path, data=data).argmax(axis=1) == data.labels
    assert right[data.split.test].mean() == pytest.approx(best["test_accuracy"], abs=0.004)
    again = train(resumed(tmp_path, epochs=4), data=data)
    assert values(again.history) == values(train(replace(given, epochs=4)).history)
    for words in (("evaluate", tmp_path), ("train", "--resume", tmp_path, "--epochs", 5)):
        done = command(*words)
        assert done.returncode == 2
        assert done.stderr.count("admm: error: 'digits' are data in memory") == 1


@pytest.mark.parametrize("solver", ["pdadmm-g", "gsam"])
def test_other_data_are_refused(solver, tmp_path):
    data = data_of(solver)
    train(replace(KINDS[solver], epochs=1, checkpoint_every=1, out=tmp_path), data=data)
    other = replace(data, labels=np.roll(data.labels, 1))
    for read in (evaluate, predict):
        with pytest.raises(InputError, match="the data are not those that .*: fingerprint .*, not"):
            read(tmp_path, data=other)
    with pytest.raises(InputError, match="the data are not those that .*: fingerprint .*, not"):
        train(resumed(tmp_path, epochs=2), data=other)


@pytest.mark.parametrize(
    ("solver", "data", "message"),
    [
        ("pdadmm-g", load_images("digits"), "solver=pdadmm-g trains on a Graph .*, got a Images"),
        ("adam", load_images("digits"), "solver=adam trains on a Graph .*, got a Images"),
        ("pdadmm-g", np.ones((60, 3)), "solver=pdadmm-g trains on a Graph .*, got a ndarray"),
        (
            "gsam",
            np.ones((60, 3)),
            "solver=gsam trains on Images, a Graph or Samples .*, got a ndarray; .*",
        ),
        (
            "gsam",
            "digits",
            "solver=gsam trains on Images, a Graph or Samples .*, got a str; .*",
        ),
    ],
    ids=["images", "images for adam", "array", "array for gsam", "name"],
)
def test_data_of_another_kind(solver, data, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        train(KINDS[solver], data=data)


# Rows.


def rows_of(count=200, width=6, unlabelled=(), split=None, kind="float64"):
    """Rows whose classes can be told apart."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    inputs = random.normal(size=(count, width)) + 4 * np.eye(3, width)[labels]
    labels[[*unlabelled]] = -1
    return checked_graph("toy", None, inputs.astype(kind), labels, split)


def small(solver):
    changes = {"batch": 20} if solver.startswith("gs") else {"hops": 1}
    return replace(KINDS[solver], **changes, **({"lr": 0.02} if solver == "adam" else {}))


@pytest.mark.parametrize("solver", KINDS)
def test_rows_train_with_every_method(solver):
    result = train(replace(small(solver), epochs=30, eval_every=10), data=rows_of())
    assert result.summary["dataset"]["name"] == "toy"
    assert (result.summary["dataset"]["edges"], result.summary["dataset"]["features"]) == (0, 6)
    assert result.summary["options"]["dataset"] == "memory:toy"
    assert result.summary["best"]["test_accuracy"] > 0.8
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_edges_do_not_matter_to_a_network_of_modules():
    """It reads the features of the nodes; the data are others all the same."""
    graph, given = load("digits"), replace(KINDS["gsam"], epochs=1)
    bare = checked_graph("digits", None, graph.features, graph.labels, graph.split)
    one, other = (train(given, data=data) for data in (graph, bare))
    assert values(one.history) == values(other.history)
    assert one.summary["dataset"]["features"] == 64


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8", "bool"])
@pytest.mark.parametrize("solver", ["pdadmm-g", "gsam"])
def test_rows_of_any_numbers(solver, kind):
    result = train(replace(small(solver), epochs=1), data=rows_of(kind=kind))
    assert np.isfinite(result.history[-1]["train_loss"])


UNLABELLED = (0, 7, 8, 100)


@pytest.mark.parametrize("solver", KINDS)
def test_rows_without_a_label_are_only_predicted(solver, tmp_path):
    """What is learned does not depend on what they hold, and every row gets its class."""
    rows = rows_of(unlabelled=UNLABELLED)
    features = rows.features.toarray()
    features[[*UNLABELLED]] = 1e3
    blank = checked_graph("toy", None, features, rows.labels, rows.split)
    result = train(replace(small(solver), out=tmp_path), data=rows)
    other = train(small(solver), data=blank)
    assert values(result.history) == values(other.history)
    parts = [result.summary["dataset"][part] for part in ("train", "val", "test")]
    assert sum(parts) == 200 - len(UNLABELLED)
    found = predict(tmp_path, data=rows)
    assert found.shape == (200, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    right = found.argmax(axis=1) == rows.labels
    scores = evaluate(tmp_path, data=rows)
    for name, part in zip(("train", "val", "test"), rows.split, strict=True):
        assert scores[name] == pytest.approx(right[part].mean(), abs=1e-6)


def test_nodes_without_a_label_pass_on_their_features():
    """They are neighbours like others: what they hold matters to those beside them."""
    graph = load("digits")
    labels = graph.labels.copy()
    labels[::7] = -1
    given = {"adjacency": graph.adjacency, "features": graph.features, "labels": labels}
    kept = checked_graph("digits", **given)
    histories = [values(train(KINDS["pdadmm-g"], data=kept).history)]
    assert not np.isin(np.arange(0, 1797, 7), np.concatenate(kept.split)).any()
    features = graph.features.tolil()
    features[::7] = 0
    blank = checked_graph("digits", **{**given, "features": features.tocsr()}, split=kept.split)
    histories.append(values(train(KINDS["pdadmm-g"], data=blank).history))
    assert histories[0] != histories[1]


def test_a_graph_in_memory_is_told_apart_by_its_split():
    graph = load("digits")
    split = Split(graph.split.train, graph.split.test, graph.split.val)
    one, other = (
        train(KINDS["pdadmm-g"], data=data) for data in (graph, replace(graph, split=split))
    )
    prints = [each.summary["dataset"]["fingerprint"] for each in (one, other)]
    assert prints[0] != prints[1]
    assert one.history[0]["val_accuracy"] == other.history[0]["test_accuracy"]


ONLY_ROOT = """
import json, sys
import numpy as np
from pathlib import Path
from admm import evaluate, options, train
from admm.comm import MPITransport, launch
from admm.datasets import load, load_images

solver, out = sys.argv[1], Path(sys.argv[2])
comm = launch.world()
transport = MPITransport(comm)
data = (load_images if solver == "gsam" else load)("digits") if comm.rank == 0 else None
given = options(solver, layers=3, hidden=12, epochs=2, out=out)
result = train(given, transport, data=data)
found = evaluate(out, transport, data=data)
assert result.summary["options"]["dataset"] == "memory:digits"
assert abs(found["test"] - result.summary["best"]["test_accuracy"]) < 0.004
transport.close()
print("good", flush=True)
"""


@pytest.mark.parametrize("solver", ["pdadmm-g", pytest.param("gsam", marks=pytest.mark.slow)])
def test_only_the_root_needs_the_data(mpi_python, tmp_path, solver):
    done = mpi_python(ONLY_ROOT, solver, tmp_path, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr
    given = options(solver, layers=3, hidden=12, epochs=2)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    for here, there in zip(train(given).history, lines, strict=True):
        assert there["train_loss"] == pytest.approx(here["train_loss"], rel=1e-5)
