"""The benchmark of federated learning: its settings, its rows."""

import json

import pytest

from benchmarks import federated


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


def test_rates_are_chosen_on_validation(tmp_path):
    words = ["--quick", "--methods", "fedavg", "--rates", "1e-9", "1e-2", "--rounds", "2"]
    (row,) = rows_of(tmp_path, [*words, "--", "--network", "linear"])
    assert row["lr"] == 0.01


def test_seeds_draw_clients_of_their_own():
    given, rest = federated.parse(["--quick"], ["--network", "mlp"])
    known = federated._known(given, rest, "sensors:clients=3", 2)
    assert known["dataset"] == "sensors:clients=3,seed=2"
    assert (known["network"], known["seed"]) == ("mlp", 2)
    assert federated._known(given, [], "har", 2)["dataset"] == "har"


def test_what_the_benchmark_sets_is_refused(capsys):
    with pytest.raises(SystemExit):
        federated.parse([], ["--codec", "delta4"])
    assert "--codec is set by the benchmark" in capsys.readouterr().err
