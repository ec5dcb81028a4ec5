"""The benchmark of accuracy, without its runs; and the shallow rival."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from admm.training.options import Options
from benchmarks import accuracy
from benchmarks.accuracy import Case, Run
from benchmarks.shallow import Setting, train_shallow

CASE = Case("digits", "hops", 16, "adam", 10, 600, 3)


def test_the_options_of_a_run():
    """All that `admm train` needs, and the stages where a method has them."""
    plain = accuracy._options(CASE, ("--lr", 0.1), 1, ["--hops", "2"])
    assert " ".join(plain) == (
        "--dataset digits --normalize hops --hidden 16 --layers 10 --epochs 600 --solver adam "
        "--seed 1 --lr 0.1 --hops 2"
    )
    grown = accuracy._options(CASE._replace(method="gd-grown"), ("--lr", 0.1), 1, [])
    assert " ".join(grown).endswith("--solver gd --seed 1 --grow 2,5,10 --lr 0.1")
    ours = accuracy._options(CASE._replace(method="pdadmm-g-q-pq"), (), 1, [])
    assert " ".join(ours).endswith(
        "--solver pdadmm-g --seed 1 --grow 2,5,10 --levels=-1:20 --levels-q=-1:20"
    )


@pytest.mark.parametrize(
    ("method", "inputs", "count"),
    [("pdadmm-g", "hops", 1), ("pdadmm-g", "none", 3), ("gd", "none", 3), ("shallow", "hops", 18)],
)
def test_what_there_is_to_choose_from(method, inputs, count):
    assert len(accuracy._settings(CASE._replace(method=method, inputs=inputs))) == count


def test_a_setting_is_chosen_on_validation(monkeypatch):
    """With two seeds each, and the chosen one with the rest; the tests have no say."""
    asked = []

    def run(case, what, options):
        asked.append(list(what))
        return [
            Run(val=0.9 if setting == ("--lr", 0.001) else 0.5, test=0.1 * seed, seconds=2.0)
            for setting, seed in what
        ]

    monkeypatch.setattr(accuracy, "_run", run)
    row = accuracy._measure(CASE, ["--hops", "2"])
    rates = [("--lr", rate) for rate in (0.01, 0.001, 0.0001)]
    assert asked == [[(rate, seed) for rate in rates for seed in (0, 1)], [(rates[1], 2)]]
    assert row["mean_test"] == pytest.approx(0.1)
    assert row["std_test"] == pytest.approx(np.std([0, 0.1, 0.2]))
    assert (row["mean_val"], row["seconds"]) == pytest.approx((0.9, 2))
    assert (row["setting"], row["tried"], row["options"]) == ("--lr 0.001", 3, ["--hops", "2"])


def test_data_options_reach_the_shallow_rival(tmp_path):
    options = ["--data-dir", str(tmp_path), "--eval-every", "5", "--split-seed=3", "--hops", "2"]
    expected = Options(data_dir=tmp_path, split_seed=3, hops=2)
    assert accuracy.graph_options(options) == expected


def test_table():
    row = {**CASE._asdict(), "mean_test": 0.81234, "std_test": 0.0049}
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


def shallow(setting, seeds=(0, 1), epochs=100, rows=ROWS):
    return train_shallow(rows, LABELS, SIZES, 16, setting, seeds, epochs)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_shallow_rival_learns(dropout):
    scores = shallow(Setting(1e-2, dropout, 5e-4))
    assert min(score.val for score in scores) > 0.85
    assert min(score.test for score in scores) > 0.85
    alone = shallow(Setting(1e-2, dropout, 5e-4), seeds=(1,))
    assert alone[0] == pytest.approx(scores[1], abs=0.03)  # seeds do not meet


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
    assert "--seeds must be at least 1" in done.stderr
