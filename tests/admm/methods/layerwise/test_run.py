"""The loop in one process: results, files, reproducibility."""

import io
import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm import options, train
from admm.datasets import load
from admm.errors import DivergedError, InputError
from admm.methods.layerwise.data import full_inputs, training_inputs
from admm.run.history import History
from admm.run.saved import open_saved
from layers import RELU, Dense, forward

SMALL = {"layers": 4, "hidden": 24, "epochs": 25}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    progress = io.StringIO()
    return train(options(**SMALL, out=out), progress=progress), out, progress.getvalue()


def test_summary_is_what_the_contract_says(run):
    result, out, _ = run
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert summary["schema"] == 1
    assert (summary["status"], summary["stopped"]) == ("done", False)
    assert set(summary) == {
        *("schema", "versions", "workers", "best", "final", "seconds", "bytes", "peak_rss_bytes"),
        *("options", "dataset", "stages", "retreats", "stopped", "status", "sharing"),
        *("costs", "joules"),
    }
    assert summary["dataset"]["name"] == "digits"
    assert set(summary["dataset"]) == {
        *("name", "nodes", "edges", "features", "classes", "train", "val", "test", "fingerprint"),
        "provenance",
    }
    assert summary["workers"]["units_per_rank"] == ["layers 1–4"]
    assert set(summary["workers"]) == {
        *("ranks", "units_per_rank", "threads_per_rank", "mpi", "device")
    }
    assert [(s["depth"], s["epochs"]) for s in summary["stages"]] == [(2, 25), (4, 25)]
    assert all(set(s) == {"depth", "epochs", "seconds", "best"} for s in summary["stages"])
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert summary["final"] == lines[-1]
    assert summary["best"] in lines
    assert set(summary["final"]) == {
        *("stage", "epoch", "layers"),
        *("train_loss", "train_accuracy", "val_accuracy", "test_accuracy"),
        *("val_balanced_accuracy", "test_balanced_accuracy", "val_roc_auc", "test_roc_auc"),
        *("lagrangian", "primal_residual", "dual_residual", "rho", "nu"),
        *("bytes_sent", "seconds", "iterate_seconds"),
    }
    assert set(summary["seconds"]) == {
        *("total", "cpu", "compile", "iterate", "wait", "evaluate", "checkpoint")
    }
    assert summary["bytes"]["sent"] == summary["bytes"]["float32"] == 0
    assert len(summary["peak_rss_bytes"]) == 1
    assert summary["options"]["grow"] == [2, 4]


def test_best_is_the_earliest_with_the_highest_validation_accuracy(run):
    result, out, _ = run
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert len(lines) == 50
    best = result.summary["best"]
    values = [line["val_accuracy"] for line in lines]
    first = lines[values.index(max(values))]
    assert (best["layers"], best["epoch"]) == (first["layers"], first["epoch"])
    assert best == first
    for stage, each in enumerate(result.summary["stages"]):
        own = [line for line in lines if line["stage"] == stage]
        assert each["best"] == max(own, key=lambda line: line["val_accuracy"])


def test_it_learns(run):
    result, _, _ = run
    assert result.summary["best"]["test_accuracy"] > 0.85


def test_network_on_disk_is_the_best_one(run):
    result, out, _ = run
    saved = open_saved(out)
    best = result.summary["best"]
    assert (saved.depth, saved.manifest["epoch"]) == (best["layers"], best["epoch"])
    network = jax.device_put([Dense(**saved.read(n)) for n in range(1, saved.depth + 1)])
    for number, layer in enumerate(network, 1):
        np.testing.assert_array_equal(layer.W, result.network[number].W)
    facts, inputs = full_inputs(options(**SMALL))
    right = (
        np.asarray(forward(network, jnp.asarray(inputs.rows), RELU).argmax(axis=1)) == facts.labels
    )
    test = right[-facts.sizes[2] :].mean()
    assert test == pytest.approx(best["test_accuracy"], abs=0.002)
    assert len(list(out.glob("models/*"))) == 1


def test_progress_is_readable(run):
    _, _, progress = run
    lines = progress.splitlines()
    assert lines[0].startswith("digits: 1,797 nodes")
    assert lines[1].startswith("weights: none")
    assert "4 layers of 24 on 1 workers (layers 1–4)" in lines[2]
    assert lines[3].split() == [
        *("row", "epoch", "layers", "train_loss", "train", "val", "test", "lagrangian"),
        *("primal", "dual", "rho", "nu", "seconds", "left"),
    ]
    assert len(lines) == 32


def timeless(evaluation):
    return {name: evaluation[name] for name in evaluation if not name.endswith("seconds")}


def test_seeds(run):
    result, _, _ = run
    again = train(options(**SMALL)).history
    assert [timeless(e) for e in again] == [timeless(e) for e in result.history]
    other = train(options(**SMALL, seed=1)).history
    assert timeless(other[5]) != timeless(result.history[5])


def test_evaluation_does_not_change_training():
    given = options(layers=2, hidden=10, epochs=9)
    often = train(given).history
    seldom = train(replace(given, eval_every=4)).history
    assert [e["epoch"] for e in seldom] == [4, 8, 9]
    assert seldom[-1]["lagrangian"] == often[-1]["lagrangian"]


def test_row_basis_leaves_the_problem_as_it_is(tmp_path, monkeypatch):
    """Layer 1 in the coordinates of the training rows, and in all of them: the same objective."""
    random = np.random.default_rng(0)
    nodes, width = 90, 200
    np.savez(
        tmp_path / "wide.npz",
        adj_data=np.ones(nodes),
        adj_indices=(np.arange(nodes) + 3) % nodes,
        adj_indptr=np.arange(nodes + 1),
        adj_shape=[nodes, nodes],
        attr_data=random.random(nodes * width).astype(np.float32),
        attr_indices=np.tile(np.arange(width), nodes),
        attr_indptr=np.arange(0, nodes * width + 1, width),
        attr_shape=[nodes, width],
        labels=np.arange(nodes) % 3,
    )
    given = options(dataset=str(tmp_path / "wide.npz"), layers=2, hidden=8, epochs=30)
    full, reduced = full_inputs(given), training_inputs(given)
    assert (full[0].columns, reduced[0].columns) == (800, 45)
    train_rows = slice(0, 45)
    a, b = full[1].rows[train_rows], reduced[1].rows[train_rows]
    np.testing.assert_allclose(a @ a.T, b @ b.T, rtol=1e-4)
    result = train(given)
    assert result.network[1].W.shape == (800, 8)
    logits = forward(list(result.network.values()), jnp.asarray(full[1].rows), RELU)
    right = np.asarray(logits.argmax(axis=1)) == full[0].labels
    assert right[:45].mean() == pytest.approx(result.summary["best"]["train_accuracy"], abs=0.03)


def test_divergence_is_an_error_with_a_summary(tmp_path):
    given = options(layers=2, hidden=8, epochs=5, rho=1e38, nu=1e38, out=tmp_path)
    message = (
        r"training diverged in epoch \d: train_loss nan, lagrangian .*; try other rho= and nu= "
    )
    with pytest.raises(DivergedError, match=message):
        train(given)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "diverged"


def test_divergence_names_the_stage_where_there_are_several():
    given = options(layers=4, hidden=8, epochs=5, rho=1e38, nu=1e38)
    with pytest.raises(DivergedError, match=r"diverged in epoch \d of the stage of 2 layers: "):
        train(given)


def test_features_that_vanish_are_refused():
    graph = load("digits")
    message = "^digits: the features of the training nodes are all zero in float32$"
    with pytest.raises(InputError, match=message):
        full_inputs(options(), replace(graph, features=graph.features * 0))


def test_float64_needs_the_mode():
    with pytest.raises(InputError, match="set JAX_ENABLE_X64=1"):
        train(options(dtype="float64"))


def test_workers_without_enough_layers():
    with pytest.raises(InputError, match="got 3 workers for 2 layers; .* ranks or raise layers=$"):
        train(options(layers=2, workers=3))


def test_history_rewrites_the_files_of_an_earlier_run(tmp_path):
    (tmp_path / "history.jsonl").write_text("old")
    history = History("val_accuracy", epochs=10)
    history.open(tmp_path)
    history.rewind(0)
    evaluation = {"stage": 0, "epoch": 1, "val_accuracy": 0.5, "lagrangian": 0.5, "seconds": 1.0}
    assert history.add(evaluation)
    assert not history.add({**evaluation, "epoch": 2})
    assert history.add({**evaluation, "epoch": 3, "val_accuracy": 0.6})
    assert not history.add({**evaluation, "epoch": 4, "val_accuracy": 0.7, "lagrangian": math.nan})
    assert history.best["epoch"] == 3
    nbytes = history.nbytes
    history.close()
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    assert json.loads(lines[-1])["lagrangian"] is None
    assert nbytes == (tmp_path / "history.jsonl").stat().st_size
    again = History("val_accuracy", epochs=10)
    again.open(tmp_path, new=False)
    assert str(again.rewind(nbytes)) == str(history.evaluations)  # NaN again where null was
    assert again.best == history.best
    again.close()
    assert not list(tmp_path.glob("*.tmp*"))


@pytest.mark.parametrize("name", ["cora", "citeseer"])
@pytest.mark.slow
def test_accuracy_of_real_graphs(name, data_dir):
    """Not the benchmark: one seed, short, and well below the figures of docs/accuracy.md."""
    result = train(options(dataset=name, data_dir=data_dir, epochs=40))
    assert result.summary["best"]["test_accuracy"] >= {"cora": 0.79, "citeseer": 0.69}[name]


@pytest.mark.slow
def test_quantised_accuracy_of_a_real_graph(data_dir):
    given = options(
        dataset="cora", data_dir=data_dir, epochs=40, levels="-1:20", codec="delta4", workers=2
    )
    result = train(given)
    assert result.summary["best"]["test_accuracy"] >= 0.78
    assert jax.device_count() >= 2


def test_ten_layers_at_once():
    """From class codes they learn within ten iterations, on any split; else hardly at all."""
    given = {"hidden": 32, "grow": (10,), "epochs": 10, "eval_every": 10}
    (coded,) = train(options(**given)).history
    assert coded["test_accuracy"] > 0.9
    (split,) = train(options(**given, workers=3)).history
    assert split["lagrangian"] == pytest.approx(coded["lagrangian"], rel=1e-6)
    (forward,) = train(options(**given, start="forward")).history
    assert forward["test_accuracy"] < 0.5
