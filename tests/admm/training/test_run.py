"""The loop in one process: results, files, reproducibility."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.errors import DivergedError, InputError
from admm.training import Options, train
from admm.training.data import full_inputs, training_inputs
from admm.training.history import Evaluation, History
from admm.training.model import read_layer, read_manifest
from layers import RELU, Dense, forward

SMALL = {"layers": 4, "hidden": 24, "epochs": 25}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    progress = io.StringIO()
    return train(Options(**SMALL, out=out), progress=progress), out, progress.getvalue()


def test_summary_is_what_the_contract_says(run):
    result, out, _ = run
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert summary["schema"] == 1
    assert summary["status"] == "done"
    assert summary["dataset"]["name"] == "digits"
    assert set(summary["dataset"]) == {
        *("name", "nodes", "edges", "features", "classes", "train", "val", "test", "fingerprint")
    }
    assert summary["workers"]["layers_per_rank"] == [[1, 4]]
    assert set(summary["workers"]) == {
        *("ranks", "layers_per_rank", "threads_per_rank", "mpi", "device")
    }
    assert [(s["layers"], s["epochs"]) for s in summary["stages"]] == [(2, 25), (4, 25)]
    assert set(summary["final"]) == {
        *("train_loss", "train_accuracy", "val_accuracy", "test_accuracy"),
        *("lagrangian", "primal_residual", "dual_residual"),
    }
    assert set(summary["seconds"]) == {
        *("total", "compile", "iterate", "wait", "evaluate", "checkpoint")
    }
    assert summary["bytes"]["sent"] == summary["bytes"]["float32"] == 0
    assert len(summary["peak_rss_bytes"]) == 1
    assert summary["options"]["grow"] == [2, 4]


def test_best_is_the_earliest_with_the_highest_validation_accuracy(run):
    result, out, _ = run
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert lines == [e._asdict() for e in result.history]
    assert len(lines) == 50
    best = result.summary["best"]
    values = [line["val_accuracy"] for line in lines]
    first = lines[values.index(max(values))]
    assert (best["layers"], best["epoch"]) == (first["layers"], first["epoch"])
    assert best["test_accuracy"] == first["test_accuracy"]


def test_it_learns(run):
    result, _, _ = run
    assert result.summary["best"]["test_accuracy"] > 0.85


def test_network_on_disk_is_the_best_one(run):
    result, out, _ = run
    manifest = read_manifest(out)
    best = result.summary["best"]
    assert (manifest["depth"], manifest["epoch"]) == (best["layers"], best["epoch"])
    network = jax.device_put(
        [Dense(**read_layer(out, manifest, n)) for n in range(1, manifest["depth"] + 1)]
    )
    for number, layer in enumerate(network, 1):
        np.testing.assert_array_equal(layer.W, result.network[number].W)
    facts, inputs = full_inputs(Options(**SMALL))
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
    assert "4 layers of 24 on 1 workers (layers 1–4)" in lines[1]
    assert lines[2].split()[:2] == ["layers", "epoch"]
    assert len(lines) == 31


def test_seeds(run):
    result, _, _ = run
    again = train(Options(**SMALL)).history
    assert [e[:11] for e in again] == [e[:11] for e in result.history]
    assert train(Options(**SMALL, seed=1)).history[5][:11] != result.history[5][:11]


def test_evaluation_does_not_change_training():
    options = Options(layers=2, hidden=10, epochs=9)
    often = train(options).history
    seldom = train(Options(**{**vars(options), "eval_every": 4})).history
    assert [e.epoch for e in seldom] == [4, 8, 9]
    assert seldom[-1].lagrangian == often[-1].lagrangian


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
    options = Options(dataset=str(tmp_path / "wide.npz"), layers=2, hidden=8, epochs=30)
    full, reduced = full_inputs(options), training_inputs(options)
    assert (full[0].columns, reduced[0].columns) == (800, 45)
    train_rows = slice(0, 45)
    a, b = full[1].rows[train_rows], reduced[1].rows[train_rows]
    np.testing.assert_allclose(a @ a.T, b @ b.T, rtol=1e-4)
    result = train(options)
    assert result.network[1].W.shape == (800, 8)
    logits = forward(list(result.network.values()), jnp.asarray(full[1].rows), RELU)
    right = np.asarray(logits.argmax(axis=1)) == full[0].labels
    assert right[:45].mean() == pytest.approx(result.summary["best"]["train_accuracy"], abs=0.03)


def test_divergence_is_an_error_with_a_summary(tmp_path):
    options = Options(layers=2, hidden=8, epochs=5, rho=1e38, nu=1e38, out=tmp_path)
    with pytest.raises(DivergedError, match="training diverged in the stage of 2 layers, epoch"):
        train(options)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "diverged"


def test_features_that_vanish_are_refused(tmp_path, monkeypatch):
    from admm.datasets import load

    graph = load("digits")
    zero = type(graph)(**{**vars(graph), "features": graph.features * 0})
    monkeypatch.setattr("admm.training.data.datasets.load", lambda *_: zero)
    with pytest.raises(InputError, match="features of the training nodes are all zero"):
        full_inputs(Options())


def test_float64_needs_the_mode():
    with pytest.raises(InputError, match="set JAX_ENABLE_X64=1"):
        train(Options(dtype="float64"))


def test_workers_without_enough_layers():
    with pytest.raises(InputError, match="got 3 workers for 2 layers"):
        train(Options(layers=2, workers=3))


def test_history_rewrites_the_files_of_an_earlier_run(tmp_path):
    (tmp_path / "history.jsonl").write_text("old")
    history = History(tmp_path, None, epochs=10)
    history.rewind(0)
    evaluation = Evaluation(0, 2, 1, *[0.5] * 9, 0, 1.0, 0.5)
    assert history.add(evaluation)
    assert not history.add(evaluation._replace(epoch=2))
    assert history.add(evaluation._replace(epoch=3, val_accuracy=0.6))
    history.write_summary({"status": "done"})
    assert history.best.epoch == 3
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3
    assert not list(tmp_path.glob("*.tmp*"))


@pytest.mark.parametrize("name", ["cora", "citeseer"])
@pytest.mark.slow
def test_accuracy_of_real_graphs(name, data_dir):
    """Not the benchmark: one seed, short, and well below the figures of the README."""
    result = train(Options(dataset=name, data_dir=data_dir, epochs=40))
    assert result.summary["best"]["test_accuracy"] >= {"cora": 0.79, "citeseer": 0.69}[name]


@pytest.mark.slow
def test_quantised_accuracy_of_a_real_graph(data_dir):
    from quant import Levels

    options = Options(
        dataset="cora", data_dir=data_dir, epochs=40, levels=Levels(-1, 20), codec="delta4"
    )
    result = train(Options(**{**vars(options), "workers": 2}))
    assert result.summary["best"]["test_accuracy"] >= 0.78
    assert jax.device_count() >= 2


def test_ten_layers_at_once():
    """From class codes they learn within ten iterations, on any split; else hardly at all."""
    options = {"hidden": 32, "grow": (10,), "epochs": 10, "eval_every": 10}
    (coded,) = train(Options(**options)).history
    assert coded.test_accuracy > 0.9
    (split,) = train(Options(**options, workers=3)).history
    assert split.lagrangian == pytest.approx(coded.lagrangian, rel=1e-6)
    (forward,) = train(Options(**options, start="forward")).history
    assert forward.test_accuracy < 0.5
