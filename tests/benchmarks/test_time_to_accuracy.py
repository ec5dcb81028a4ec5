"""The benchmark of seconds to a target, without its runs."""

import pytest

from benchmarks import time_to_accuracy
from benchmarks.time_to_accuracy import Reached, compare, fastest, when_reached


def run(*evaluations):
    """A summary with a history of (layers, validation accuracy, seconds)."""
    names = ("layers", "val_accuracy", "iterate_seconds")
    return {"history": [dict(zip(names, each, strict=True)) for each in evaluations]}


GROWN = run((2, 0.9, 1.0), (2, 0.9, 2.0), (4, 0.5, 3.0), (4, 0.7, 4.0), (4, 0.8, 5.0))


@pytest.mark.parametrize(
    ("layers", "target", "expected"),
    [(4, 0.7, Reached(4, 4.0)), (4, 0.75, Reached(5, 5.0)), (4, 0.85, None), (2, 0.9, (1, 1.0))],
)
def test_only_the_full_depth_counts(layers, target, expected):
    assert when_reached(GROWN["history"], layers, target) == expected


def test_the_setting_that_reaches_with_most_seeds_comes_first():
    """Then the one with the least median, over the seeds that reached the target."""
    never, quick, slow = run((2, 0.1, 1.0)), run((2, 0.8, 1.0)), run((2, 0.1, 1.0), (2, 0.8, 3.0))
    settings = [["--lr", "1"], ["--lr", "2"], ["--lr", "3"]]

    def row(*runs):
        return fastest(settings, iter(runs), 2, 0.7, seeds=2)

    expected = {"setting": "lr 2", "reached": 2, "iterations": 2, "seconds": 3}
    assert row(quick, never, slow, slow, never, never) == expected
    expected = {"setting": "lr 3", "reached": 2, "iterations": 1.5, "seconds": 2}
    assert row(quick, never, slow, slow, quick, slow) == expected
    expected = {"setting": "lr 1", "reached": 0, "iterations": None, "seconds": None}
    assert row(*[never] * 6) == expected


def test_speedup_is_over_the_best_rival():
    def row(method, seconds, layers=2):
        return {"dataset": "cora", "layers": layers, "method": method, "seconds": seconds}

    rows = [row("pdadmm-g", 2.0), row("gd", 9.0), row("adam", 6.0), row("adagrad", None)]
    assert compare(rows) == {"speedup: cora, 2 layers": 3}
    assert compare([*rows, row("pdadmm-g", None, 5), row("gd", 1.0, 5)]) == compare(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--datasets", "flickr"), "--target is needed for flickr; those of digits, cora, pubmed"),
        (("--target", "1.5"), "--target must be in (0, 1], got 1.5"),
    ],
)
def test_mistakes(options, message, capsys):
    with pytest.raises(SystemExit):
        time_to_accuracy.main(options)
    assert message in capsys.readouterr().err
