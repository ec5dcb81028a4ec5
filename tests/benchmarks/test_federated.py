"""The benchmark of federated learning: its settings, its rows."""

import json

import pytest

from benchmarks import federated
from benchmarks.federated_runs import Way, train_options, ways


def rows_of(tmp_path, words):
    federated.main(["--json", str(tmp_path / "rows.json"), *words])
    return json.loads((tmp_path / "rows.json").read_text())["rows"]


@pytest.mark.slow
def test_methods_and_clients_that_are_away(tmp_path):
    words = ["--quick", "--methods", "fed-admm", "fedsgd", "--late", "0", ".4", "--rounds", "2"]
    words += ["--local-steps", "3", "--codecs", "delta4", "--", "--network", "linear"]
    found = rows_of(tmp_path, words)
    assert [(row["method"], row["late"]) for row in found] == [
        ("fed-admm", 0),
        ("fed-admm", 0.4),
        ("fedsgd", 0),
        ("fedsgd", 0.4),
    ]
    admm, late, sgd, _ = found
    assert sgd["mb"] == pytest.approx(3 * admm["mb"])
    assert late["mb"] == pytest.approx(admm["mb"] * 5 / 6)  # one of three clients, half the rounds
    assert all(0 < row["test"] <= row["worst"] for row in found)
    assert [len(row["curve"]) for row in found] == [1, 1, 1, 1]  # every second round


def test_rates_are_chosen_on_validation(tmp_path, monkeypatch):
    """Those of clients alone, whom the runs of the first way measure, apart from the others."""
    validation = {"0.1": 2.0, "0.2": 1.0}
    alone = {"0.1": 3.0, "0.2": 4.0}

    def train(runs):
        for options in runs:
            assert options[:2] == ["--network", "linear"]
            named = dict(zip(options[::2], options[1::2], strict=False))
            rate, seed = named["--lr"], int(named["--seed"])
            line = {"epoch": 4, "bytes_up": 1e6, "bytes_down": 2e6, "test_loss": 1.0 + seed}
            line |= {"val_loss": validation[rate], "test_loss_worst": 5.0}
            found = {"best": line, "history": [line]}
            if "--no-baselines" not in options:
                assert named["--solver"] == "fedavg"
                local = {"val_loss": alone[rate], "test_loss": 10 * float(rate)}
                found["baselines"] = {"local only": local}
            yield found

    monkeypatch.setattr(federated, "train_all", train)
    what = ["--quick", "--methods", "fedavg", "scaffold", "--rates", "0.1", "0.2", "--seeds", "2"]
    rows = rows_of(tmp_path, [*what, "--", "--network", "linear"])
    assert [(row["method"], row["lr"], row["val"]) for row in rows] == [
        ("fedavg", 0.2, 1.0),
        ("scaffold", 0.2, 1.0),
    ]
    for row in rows:
        assert (row["test"], row["local"], row["mb"]) == (1.5, 1.5, 3.0)  # alone: 1, at rate .1
        assert (row["to_mb"], row["seeds"]) == (None, 2)


def test_what_a_row_trains():
    given, rest = federated.parse(["--quick", "--rounds", "6"], ["--network", "mlp"])
    late = train_options(
        given, rest, "sensors:clients=3", Way("fedavg", "delta4", 0.25, 0.4), 0.1, 2
    )
    assert " ".join(late) == (
        "--network mlp --solver fedavg --codec delta4 --dataset sensors:clients=3,seed=2 --seed 2 "
        "--lr 0.1 --epochs 6 --eval-every 2 --local-steps 10 --participation 0.75 "
        "--late-joiners 1 --join-round 4 --no-baselines"
    )
    sgd = train_options(
        given, [], "beijing", Way("fedsgd", "float32", 0, 0), 0.1, 0, baselines=True
    )
    assert " ".join(sgd) == (
        "--solver fedsgd --codec float32 --dataset beijing:seed=0 --seed 0 --lr 0.1 --epochs 60 "
        "--eval-every 20 --local-steps 1 --participation 1"
    )


def test_over_a_link_codecs_are_compared_first():
    given, _ = federated.parse(["--part", "link"], [])
    assert [(way.method, way.codec) for way in ways(given)] == [
        ("fed-admm", "float32"),
        ("fed-admm", "delta4"),
        ("fed-admm", "delta2"),
        ("fedavg", "float32"),
        ("fedsgd", "float32"),
    ]
    given, _ = federated.parse(["--part", "link", "--methods", "scaffold", "--offline", ".3"], [])
    assert ways(given) == [Way("scaffold", "float32", 0.3, 0.0)]


@pytest.mark.parametrize("part", ["time", "link"])
def test_a_time_needs_two_evaluations(part, capsys):
    with pytest.raises(SystemExit):
        federated.parse(["--part", part, "--rounds", "4", "--eval-every", "4"], [])
    assert "--eval-every 4 leaves nothing to time" in capsys.readouterr().err


@pytest.mark.slow
def test_summed_codes_solve_the_convex_problem_too(tmp_path, data_dir, x64):
    words = ["--part", "convex", "--data-dir", str(data_dir), "--codecs", "delta4", "common4"]
    rows = rows_of(tmp_path, [*words, "--offline", "0", ".3"])
    assert [(row["codec"], row["rule"], row["offline"]) for row in rows] == [
        *[(codec, "all", offline) for codec in ("delta4", "common4") for offline in (0, 0.3)],
        *[("float64", rule, 0.3) for rule in ("present", "change")],
    ]
    every, some = (row["distance"] for row in rows[:2])
    assert [row["distance"] for row in rows[2:4]] == pytest.approx([every, some], rel=0.1)


def test_secure_aggregation_has_no_worst_client(tmp_path):
    words = ["--quick", "--methods", "fed-admm", "--codecs", "common8", "--rounds", "2"]
    words += ["--", "--network", "linear", "--secure-aggregation"]
    (row,) = rows_of(tmp_path, words)
    assert row["worst"] is None
    assert row["test"] > 0


@pytest.mark.parametrize("name", ["codec", "patience"])
def test_what_the_benchmark_sets_is_refused(capsys, name):
    with pytest.raises(SystemExit):
        federated.parse([], [f"--{name}", "4"])
    assert f"--{name} is set by the benchmark" in capsys.readouterr().err
