"""The benchmark of partitions: its settings, its rows, its rival."""

import json

import numpy as np
import pytest

from admm import options
from benchmarks import partitions
from benchmarks.local import train_locally
from benchmarks.partitions import Way


def test_settings():
    given, rest = partitions.parse(["--quick", "--halos", "drop"], ["--hidden", "8"])
    assert (given.datasets, given.parts, given.rates, given.seeds) == (
        ["sbm:nodes=300"],
        2,
        [0.01],
        1,
    )
    assert rest == ["--hidden", "8"]
    given, _ = partitions.parse([], [])
    assert (given.datasets, given.parts, given.epochs, given.repeats) == (["sbm:"], 8, 120, 3)


def test_what_the_benchmark_sets_is_told(capsys):
    with pytest.raises(SystemExit):
        partitions.parse([], ["--halo", "drop"])
    assert "--halo is set by the benchmark" in capsys.readouterr().err


def test_ways_have_an_interval_and_codecs_where_these_matter():
    argv = ["--halos", "exact", "drop", "stale", "--intervals", "5", "10"]
    given, _ = partitions.parse([*argv, "--codecs", "float32", "uniform4"], [])
    assert list(partitions.ways(given)) == [
        Way("exact", None, "float32"),
        Way("exact", None, "uniform4"),
        Way("drop", None, "float32"),
        *[Way("stale", n, codec) for n in (5, 10) for codec in ("float32", "uniform4")],
    ]


def test_local_training_averages_and_learns():
    given = {"dataset": "sbm:nodes=400,classes=2", "network": "sage", "hidden": 16, "parts": 2}
    history = train_locally(options("partitions", halo="drop", epochs=45, lr=0.01, **given), 20)
    assert [line["epoch"] for line in history] == [20, 40, 45]
    assert history[-1]["val_accuracy"] > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("part", ["accuracy", "time"])
def test_a_quick_run_has_a_row_for_each_way(part, benchmark, tmp_path):
    path = tmp_path / "rows.json"
    words = ["--quick", "--part", part, "--halos", "exact", "stale", "--json", path]
    done = benchmark("partitions", *words, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    ranks = 2 if part == "time" else 1
    assert [row["halo"] for row in rows] == ranks * ["exact"] + ranks * ["stale"]
    assert np.isfinite([row["epoch_ms"] for row in rows]).all()
    if part == "accuracy":
        assert rows[0]["halo_mb"] == pytest.approx(20 * rows[1]["halo_mb"])  # 2 of 20 epochs, up


def test_a_refreshed_halo_of_two_layers_has_neither_interval_nor_codec():
    given, _ = partitions.parse(["--layers", "2", "--halos", "refresh", "--codecs", "uniform4"], [])
    (way,) = partitions.ways(given)
    assert way.options == ["--halo", "refresh"]
