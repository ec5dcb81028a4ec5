"""The benchmark of depth: its settings, the choice on validation rows, its rows."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.datasets import load_images
from benchmarks import depth, minibatch, tssm_time
from benchmarks.minibatch import GRIDS, Score, Setting, Size, rows_of, settings, train


def test_settings():
    given, options = depth.parse(["--quick"], ["--rate", "0.2"])
    assert options == ["--rate", "0.2"]
    assert (given.dataset, given.rows, given.passes, given.seeds) == ("digits", 800, [3], 1)
    given, _ = depth.parse(["--passes", "5", "--rival-passes", "5", "10"], [])
    assert (given.dataset, given.rows, given.rival_passes) == ("mnist14", 3000, [5, 10])
    assert given.methods == ("sadmm", *GRIDS)


def test_what_the_benchmark_sets_is_told(capsys):
    with pytest.raises(SystemExit):
        depth.parse([], ["--epochs", "3"])
    assert "--epochs is set by the benchmark" in capsys.readouterr().err


def test_times_of_every_size(monkeypatch, capsys):
    """Of ours and of Adam on one and two cores; what is measured is asked of `tssm_time`."""

    def timed(case, ranks, cores):
        assert case.cuts is None
        row = {"network": case.network, "method": case.method, "subnetworks": 1, "codec": None}
        row |= {"ranks": ranks, "cores": ranks * cores, "batches": case.batches, "cuts": None}
        row |= {"epoch_ms": case.hidden / ranks, "wait_ms": 0.0, "compile_s": 0.0, "timed": 1}
        return row

    monkeypatch.setattr(tssm_time, "time_epoch", timed)
    words = ["--part", "time", "--hidden", "32", "64", "--methods", "sadmm", "adam"]
    depth.main([*words, "--batches", "4", "--seconds", "1"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mlp")]
    methods = ["sadmm", "sadmm", "adam", "adam", "adam data-parallel"]
    assert [line.split("  ")[3].strip() for line in lines] == 2 * methods
    times = [[f"{width / ranks:.1f}" for ranks in (1, 2, 1, 1, 2)] for width in (32, 64)]
    assert [line.split()[-4] for line in lines] == [*times[0], *times[1]]


def test_the_first_training_rows_and_all_others():
    rows = rows_of(load_images("digits"), 50)
    assert [len(part) for part in rows.x] == [50, 300, 300] == [len(part) for part in rows.y]
    assert rows.x[0].shape[1] == 64


@pytest.mark.parametrize("name", GRIDS)
def test_a_rival_learns(name):
    rows = rows_of(load_images("digits"), 300)
    lr = {"sgd": 3e-2}.get(name, 3e-3)
    score = train(
        name, Setting(lr, 50, GRIDS[name][2][0], 1.0), rows, Size(2, 32, 20), seed=0, to=0.8
    )
    assert score.test > 0.85
    assert 0 < score.to <= score.seconds


def test_the_best_on_validation_rows_is_taken(monkeypatch):
    wanted = list(settings("adamw"))[7]

    seeds = set()

    def fake(name, setting, rows, size, seed):
        seeds.add(seed)
        return Score(float(setting == wanted), float(setting != wanted), 0.0)

    monkeypatch.setattr(depth, "train", fake)
    assert depth._tuned("adamw", None, Size(2, 8, 1), seeds=[1000, 1001]) == wanted
    assert seeds == {1000, 1001}
    assert len(list(settings("adamw"))) == 48


def test_an_optimiser_takes_the_step_of_its_equations():
    """Decoupled decay of AdamW, and decay in the gradient of momentum."""
    w, g, setting = jnp.array([2.0]), jnp.array([0.5]), Setting(0.1, 1, 0.3, 1.0)
    step = {name: minibatch.make_optimizer(name, setting) for name in GRIDS}
    with jax.numpy_dtype_promotion("standard"):
        moved = {n: float(o.update(g, o.init(w), w)[0][0]) for n, o in step.items()}
    assert moved["adam"] == pytest.approx(-0.1, rel=1e-4)
    assert moved["adamw"] == pytest.approx(-0.1 - 0.1 * 0.3 * 2, rel=1e-4)
    assert moved["sgd"] == pytest.approx(-0.1 * 1.9 * (0.5 + 0.3 * 2), rel=1e-4)


@pytest.mark.slow
def test_a_quick_run_has_a_row_for_each_method(benchmark, tmp_path):
    path = tmp_path / "depth.json"
    done = benchmark("depth", "--quick", "--methods", "sadmm", "adam", "--json", path, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert [row["method"] for row in rows] == ["sadmm", "adam"]
    assert all(0.5 < row["test"] <= 1 for row in rows)
    assert np.isfinite([row["seconds"] for row in rows]).all()


def test_the_seconds_until_an_accuracy_are_those_of_the_first_line_that_has_it():
    line = dict.fromkeys(("val_accuracy", "test_accuracy", "iterate_seconds"))
    history = [{**line, "val_accuracy": v, "iterate_seconds": s} for v, s in ((0.8, 1), (0.9, 2))]
    assert depth._score(history, 0.85).to == 2
    assert depth._score(history, 0.95).to is None
    assert depth._score(history, None).to is None
