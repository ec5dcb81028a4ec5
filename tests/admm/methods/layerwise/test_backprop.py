"""Backpropagation through the same loop: history, results, files, ranks."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from admm import options, train
from admm.errors import DivergedError
from admm.methods.layerwise.data import training_inputs

SMALL = {"solver": "adam", "layers": 3, "hidden": 20}


@pytest.mark.parametrize("solver", ["gd", "adadelta", "adagrad"])
def test_every_optimiser_lowers_its_objective(solver):
    result = train(options(**{**SMALL, "solver": solver}, epochs=20))
    losses = [e["train_loss"] for e in result.history]
    assert result.history[-1]["objective"] < result.history[0]["objective"]
    assert losses[-1] < losses[0]
    assert result.summary["options"]["lr"] == (0.1 if solver == "gd" else 1e-3)
    assert result.summary["options"]["weight_decay"] == 0
    assert result.summary["options"]["grow"] == [3]
    assert not {"rho", "nu", "step", "start", "levels", "codec"} & set(result.summary["options"])


def test_the_objective_is_summed_over_nodes():
    result = train(options(**SMALL, epochs=1, weight_decay=0.5))
    (only,) = result.history
    squares = sum(float(jnp.sum(W**2)) for W, _ in result.network.values())
    expected = result.summary["dataset"]["train"] * (only["train_loss"] + 0.25 * squares)
    assert only["objective"] == pytest.approx(expected, rel=1e-5)
    assert set(only) == {
        *("stage", "epoch", "layers", "train_loss", "train_accuracy", "val_accuracy"),
        *("val_balanced_accuracy", "test_balanced_accuracy", "val_roc_auc", "test_roc_auc"),
        *("test_accuracy", "objective", "bytes_sent", "seconds", "iterate_seconds"),
    }


def test_all_columns_are_kept():
    wide = {"hops": 8, "hidden": 8, "layers": 2}
    assert training_inputs(options(**wide))[1].basis is not None
    facts, inputs = training_inputs(options(**wide, solver="adam"))
    assert inputs.basis is None
    assert inputs.rows.shape[1] == facts.columns == facts.features


@pytest.mark.slow
def test_growing():
    result = train(options(**SMALL, epochs=4, grow=(2, 3), workers=3))
    assert [stage["depth"] for stage in result.summary["stages"]] == [2, 3]
    assert sorted(result.network) in ([1, 2], [1, 2, 3])
    by_variable = result.summary["bytes"]["by_variable"]
    # One cut in the first stage, where the middle worker owns nothing, and two in the second.
    assert by_variable == dict.fromkeys(("activation", "gradient"), 4 * 3 * 200 * 20 * 4)


def test_divergence_names_the_learning_rate():
    given = options(**{**SMALL, "solver": "gd"}, epochs=20, lr=1e30)
    with pytest.raises(DivergedError, match=r"diverged in epoch \d+: .*; try a lr= below 1e\+30"):
        train(given)


def test_the_command_on_one_and_two_ranks(admm, tmp_path):
    """The same training, an accuracy worth having, and the bytes of what travels."""
    for ranks in (None, 2):
        given = ("--solver", "adam", "--layers", 2, "--epochs", 60, "--eval-every", 10)
        out = tmp_path / str(ranks)
        done = admm("train", *given, "--lr", 3e-3, "--out", out, ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert "of activation and gradient" in done.stdout
    alone, together = (
        [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("None", "2")
    )
    for a, b in zip(alone, together, strict=True):
        assert b["objective"] == pytest.approx(a["objective"], rel=1e-4)
        assert b["val_accuracy"] == pytest.approx(a["val_accuracy"], abs=0.003)
    summary = json.loads((tmp_path / "2" / "summary.json").read_text())
    assert summary["best"]["test_accuracy"] >= 0.9
    size = 60 * 200 * 100 * np.dtype("float32").itemsize
    assert summary["bytes"]["by_variable"] == {"activation": size, "gradient": size}
    assert summary["bytes"]["sent"] == summary["bytes"]["float32"] == 2 * size
    assert summary["workers"]["units_per_rank"] == ["layers 1–1", "layers 2–2"]
    evaluated = admm("evaluate", tmp_path / "2")
    assert f"test {summary['best']['test_accuracy']:.4f}" in evaluated.stdout, evaluated.stderr
