"""The benchmark of accuracy, without its runs; and the shallow rival."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import accuracy, accuracy_row
from benchmarks.accuracy_row import RowKey, Run
from benchmarks.shallow import Setting, train_shallow

KEY = RowKey("digits", "hops", 16, "adam", 10, 600, 5, 3, 100)


def test_the_options_of_a_run():
    """All that `admm train` needs, and the stages where a method has them."""
    plain = accuracy_row._options(KEY, ("--lr", 0.1), 1, Path("data"))
    assert " ".join(plain) == (
        "--dataset digits --split-seed 100 --normalize hops --hidden 16 --layers 10 --grow 10 "
        "--epochs 600 --eval-every 5 --solver adam --seed 1 --data-dir data --lr 0.1"
    )
    grown = accuracy_row._options(KEY._replace(method="gd-grown"), ("--lr", 0.1), 1, None)
    assert " ".join(grown).endswith(
        "--grow 2,5,10 --epochs 600 --eval-every 5 --solver gd --seed 1 --lr 0.1"
    )
    ours = accuracy_row._options(KEY._replace(method="pdadmm-g-q-pq"), (), 1, None)
    assert " ".join(ours).endswith("--solver pdadmm-g --seed 1 --levels=-1:20 --levels-q=-1:20")


@pytest.mark.parametrize(
    ("method", "inputs", "count"),
    [("pdadmm-g", "hops", 1), ("pdadmm-g", "none", 3), ("gd", "none", 9), ("shallow", "hops", 18)],
)
def test_what_there_is_to_choose_from(method, inputs, count):
    assert len(accuracy_row.settings(KEY._replace(method=method, inputs=inputs))) == count


def test_a_setting_is_chosen_on_validation(monkeypatch):
    """With two seeds each, and the chosen one with the rest; the tests have no say."""
    asked = []
    best = ("--lr", 0.001, "--weight-decay", 0.0)

    def run(key, what, data_dir):
        asked.append(list(what))
        return [
            Run(val=0.9 if setting == best else 0.5, test=0.1 * seed, deep_test=0.3, seconds=2.0)
            for setting, seed in what
        ]

    monkeypatch.setattr(accuracy_row, "_run", run)
    row = accuracy_row.measure(KEY, None)
    first, rest = asked
    assert len(first) == 2 * 9
    assert [seed for _, seed in first] == [0, 1] * 9
    assert rest == [(best, 2)]
    assert row["mean_test"] == pytest.approx(0.1)
    assert row["std_test"] == pytest.approx(np.std([0, 0.1, 0.2]))
    assert (row["mean_val"], row["deep_test"], row["seconds"]) == pytest.approx((0.9, 0.3, 2))
    assert row["setting"] == "--lr 0.001 --weight-decay 0.0"
    assert (len(row["settings"]), row["diverged"]) == (9, 0)


def test_runs_that_diverge_have_a_score():
    """That of the best network before, or 0 without one."""
    best, seconds = {"val_accuracy": 0.5, "test_accuracy": 0.4}, {"total": 3.0}
    summary = {"best": best, "stages": [{"best": best}], "seconds": seconds, "status": "done"}
    assert accuracy_row._score(summary) == Run(0.5, 0.4, 0.4, 3.0)
    lost = {"best": None, "stages": [], "seconds": seconds, "status": "diverged"}
    assert accuracy_row._score(lost) == Run(0, 0, 0, 3.0, diverged=True)


@pytest.mark.parametrize(
    ("method", "layers_and_epochs"),
    [
        ("pdadmm-g", [(4, 10), (10, 10)]),
        ("pdadmm-g-at-once", [(4, 20), (10, 30)]),
        ("shallow", [(2, 20), (2, 30)]),
    ],
)
def test_a_row_for_each_depth(method, layers_and_epochs):
    """A method without stages has the epochs of all of them."""
    given = accuracy._parse(["--quick", "--layers", "4", "10", "--methods", method])
    assert [(key.layers, key.epochs) for key in accuracy._keys(given)] == layers_and_epochs


def test_table():
    row = {**KEY._asdict(), "mean_test": 0.81234, "std_test": 0.0049}
    rows = [row, row | {"dataset": "cora", "method": "gd"}, row | {"hidden": 32}]
    expected = """
| inputs hops, 16 neurons | digits | cora |
|---|---|---|
| adam | 0.812 ± 0.005 | – |
| gd | – | 0.812 ± 0.005 |

| inputs hops, 32 neurons | digits |
|---|---|
| adam | 0.812 ± 0.005 |"""
    assert accuracy.table(rows) == expected


# The shallow rival.

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(3, size=120)
ROWS = jnp.asarray(np.eye(3)[LABELS] + RANDOM.normal(scale=0.3, size=(120, 3)), "float32")
SIZES = (40, 40, 40)


def shallow(setting, seeds=(0, 1), epochs=100, rows=ROWS, eval_every=1):
    return train_shallow(rows, LABELS, SIZES, 16, setting, seeds, epochs, eval_every)


def test_the_shallow_rival_learns():
    scores = shallow(Setting(1e-2, 0.5, 5e-4))
    assert min(score.val for score in scores) > 0.85
    assert min(score.test for score in scores) > 0.85


def test_seeds_do_not_meet():
    """Before anything is learned they differ, and each is what it is alone."""
    scores = shallow(Setting(1e-4, 0.5, 0.0), seeds=(0, 1, 2), epochs=1)
    assert len(set(scores)) == 3
    assert [shallow(Setting(1e-4, 0.5, 0.0), (seed,), 1)[0] for seed in (0, 1, 2)] == scores


@pytest.mark.slow
def test_the_shallow_rival_is_evaluated_at_intervals():
    """The last of few evaluations is that of as many epochs."""
    setting = Setting(1e-2, 0.5, 0.0)
    assert shallow(setting, epochs=10, eval_every=10) == shallow(setting, epochs=19, eval_every=10)
    few, all_of_them = shallow(setting, epochs=20, eval_every=10), shallow(setting, epochs=20)
    assert all(one.val <= other.val for one, other in zip(few, all_of_them, strict=True))


def test_scores_are_of_the_earliest_best_evaluation():
    """More epochs never lower the validation accuracy: the first of them are the same."""
    scores = [shallow(Setting(1e-2, 0.0, 0.0), (0,), epochs)[0] for epochs in (5, 50, 100)]
    vals = [score.val for score in scores]
    assert vals == sorted(vals)


def test_mistakes(benchmark):
    done = benchmark("accuracy", "--methods", "sgd")
    assert done.returncode == 2
    assert re.search("argument --methods: invalid choice: 'sgd'", done.stderr)
    done = benchmark("accuracy", "--seeds", 0)
    assert done.returncode == 2
    assert "argument --seeds: must be at least 1, got 0" in done.stderr
