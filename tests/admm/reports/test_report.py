"""Figures of runs: by hand from made-up summaries, and of real runs."""

import csv
import json
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure as Picture

from admm import Prices, estimate, options, predict, report, resumed, train
from admm.cli import main
from admm.datasets import load, load_images
from admm.errors import InputError
from admm.methods.subnetworks import inference
from admm.reports import draw, figures_of
from admm.reports.measured import noisy, thinned
from admm.reports.plot import pareto

SMALL = {"layers": 2, "hidden": 16, "hops": 1, "grow": (2,), "epochs": 20, "workers": 2}
SUMMARY = {
    "best": {"test_accuracy": 0.5},
    "final": {"iterate_seconds": 30.0},
    "seconds": {"total": 360.0, "cpu": 100.0},
    "bytes": {
        **{"sent": 100, "float32": 800, "by_variable": {"p": 60, "q": 40}},
        **{"evaluation": 7, "control": 3},
    },
    "joules": None,
    "peak_rss_bytes": [5, 9],
    "workers": {"ranks": 2, "mpi": "MPICH"},
    "costs": {
        "flops": {"training": 1e9, "evaluation": 1e8},
        **{"parameters": 50, "model_bytes": 200},
    },
}
PRICES = Prices(watts=9.0, grid_intensity=400.0, price=2.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run in float32, the same in two bits, and one on other data."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("plain", {}), ("coded", {"codec": "delta2"}), ("other", {"split_seed": 1})):
        train(options(**SMALL, **more, out=folder / name))
    return folder


def values(figures, *names):
    return [figures[name].value for name in names]


def test_figures_by_hand():
    """2 ranks of 100 s of cores at 9 W: 1,800 J; 0.1 h at 2: 0.2."""
    found = figures_of(SUMMARY, PRICES)
    assert values(found, "sent", "sent_p", "sent_q", "sent_evaluation", "sent_control") == [
        *(100, 60, 40, 7, 3)
    ]
    assert values(found, "compression", "peak_memory", "model_size") == [8.0, 9, 200]
    assert found["energy"].value == 1800.0
    assert found["emissions"].value == pytest.approx(1800 / 3.6e6 * 0.4)
    assert values(found, "cost", "cost_per_parameter") == pytest.approx([0.2, 0.004])
    assert found["energy"].source == found["emissions"].source == found["cost"].source == "modelled"
    assert found["training_flops"].source == found["sent"].source == "counted"


def test_a_meter_goes_before_a_model():
    energy = figures_of({**SUMMARY, "joules": 500.0}, PRICES)["energy"]
    assert (energy.value, energy.source) == (500.0, "measured")


def test_workers_of_one_process_share_its_core_seconds():
    alone = {**SUMMARY, "workers": {"ranks": 2, "mpi": None}}
    assert figures_of(alone, PRICES)["energy"].value == 900.0


def test_what_is_not_known_says_what_would_tell_it():
    silent = {**SUMMARY, "costs": None, "bytes": {**SUMMARY["bytes"], "sent": 0}}
    found = figures_of(silent, Prices())
    for name in ("energy", "emissions", "cost", "parameters", "compression", "training_flops"):
        assert found[name].value is None
        assert found[name].source == "not measured"
    assert "--watts" in found["energy"].note
    assert "two workers" in found["compression"].note


def test_a_run_counts_what_its_estimate_said(runs):
    found = estimate(options(**SMALL))
    (plain,) = report([runs / "plain"])
    figures = plain.figures
    assert values(figures, "training_flops", "evaluation_flops") == list(found.flops.values())
    assert figures["parameters"].value == found.stages[0].parameters
    assert figures["model_size"].value == 4 * found.stages[0].parameters
    assert figures["energy"].source == figures["inference_seconds"].source == "not measured"


def test_operations_go_on_where_a_run_does(runs, tmp_path):
    run = shutil.copytree(runs / "plain", tmp_path / "run")
    more = train(resumed(run, epochs=30)).summary
    per_epoch = report([runs / "plain"])[0].figures["training_flops"].value / 20
    assert more["costs"]["flops"]["training"] == 30 * per_epoch


def test_against_itself_and_another(runs):
    same, coded = report([runs / "plain", runs / "coded"], runs / "plain")
    assert values(same.figures, "speed_up", "agreement", "kl") == [1.0, 1.0, 0.0]
    p, q = (predict(runs / name).astype(float) for name in ("plain", "coded"))
    agreement = (p.argmax(axis=1) == q.argmax(axis=1)).mean()
    assert coded.figures["agreement"].value == pytest.approx(agreement)
    by_hand = (p * np.log(p / q)).sum(axis=1).mean()
    assert coded.figures["kl"].value == pytest.approx(by_hand, rel=1e-6)
    assert coded.figures["compression"].value > 3


def test_inference_and_robustness(runs):
    (found,) = report([runs / "plain"], measure=True, noise=0.0, dropped=0.0)
    figures = found.figures
    seconds, throughput = values(figures, "inference_seconds", "inference_throughput")
    assert seconds * throughput == pytest.approx(1797)
    accuracy = figures["test_accuracy"].value
    assert values(figures, "accuracy_with_noise", "accuracy_without_edges") == pytest.approx(
        [accuracy, accuracy]
    )
    (noise,) = report([runs / "plain"], noise=20.0)
    assert noise.figures["accuracy_with_noise"].value < accuracy - 0.1


def test_a_timed_pass_is_the_network_s_alone(tmp_path, monkeypatch):
    """Reading, planning and fingerprints are done once, before it."""
    given = {"layers": 2, "hidden": 8, "epochs": 1, "workers": 2}
    train(options("gsam", **given, out=tmp_path))
    plan, plans = inference.plan, []
    monkeypatch.setattr(inference, "plan", lambda *about: plans.append(about) or plan(*about))
    (found,) = report([tmp_path], measure=True)
    seconds, throughput = values(found.figures, "inference_seconds", "inference_throughput")
    assert seconds * throughput == pytest.approx(1797)
    assert len(plans) == 1


def test_dropped_edges_are_those_of_both_directions():
    graph = load("digits")
    thin = thinned(graph, 0.25, seed=0)
    assert thin.edges == 2 * round(0.75 * graph.edges / 2)
    assert (thin.adjacency != thin.adjacency.T).nnz == 0
    assert (thin.adjacency.multiply(graph.adjacency) != thin.adjacency).nnz == 0


def test_noise_has_the_stated_size():
    graph = load("digits")
    moved = noisy(graph, 0.5, seed=0).features.data - graph.features.data
    assert moved.std() == pytest.approx(0.5 * graph.features.data.std(), rel=0.02)
    images = load_images("digits")
    assert noisy(images, 0.5, seed=0).pixels.dtype == images.pixels.dtype
    assert (noisy(images, 0.0, seed=0).pixels == images.pixels).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"runs": []}, "at least one run"),
        ({"runs": ["nowhere"]}, "nowhere has no summary.json: it is no run, or has not ended"),
        ({"against": "other"}, "was trained on digits, .* takes a run on the same data"),
        ({"noise": -1.0}, "noise= must be finite and ≥ 0, got -1.0"),
        ({"dropped": 2.0}, "dropped= must be in 0…1, got 2.0"),
        ({"noise": "1"}, "noise= must be a number, finite and ≥ 0, got '1'"),
        ({"dropped": "a"}, "dropped= must be a number, in 0…1, got 'a'"),
    ],
)
def test_wrong_questions(unchecked, runs, given, message):
    asked = {"runs": [runs / "plain"], **given}
    if "against" in given:
        asked["against"] = runs / given["against"]
    with pytest.raises(InputError, match=message):
        report(**asked)


@pytest.mark.parametrize("name", ["watts", "grid_intensity", "price"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "must be finite and ≥ 0, got -1"),
        (float("inf"), "must be finite and ≥ 0, got inf"),
        (float("nan"), "must be finite and ≥ 0, got nan"),
        ("10", "must be a number, finite and ≥ 0, got '10'"),
    ],
)
def test_prices_are_finite_numbers(unchecked, name, value, message):
    with pytest.raises(InputError, match=f"{name}= {message}"):
        Prices(**{name: value})


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ('{"schema": 2}', "has schema 2; a report reads 1"), ("{}", "damaged")],
)
def test_summaries_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match=message):
        report([tmp_path])


def test_the_front_by_hand():
    assert pareto([(3, 0.8), (1, 0.5), (2, 0.4), (1, 0.3), (4, 0.8)]) == [(1, 0.5), (3, 0.8)]


def test_a_picture_has_every_run_and_axis(runs):
    picture = Picture()
    draw(picture, report([runs / "plain", runs / "coded"]))
    labels = [text.get_text() for text in picture.legends[0].get_texts()]
    assert labels[:2] == ["plain", "coded"]
    titles = [panel.get_xlabel() for panel in picture.axes]
    assert titles == ["training messages", "operations of all epochs", "time of all epochs"]


def test_runs_of_one_name_are_told_by_their_paths(runs, tmp_path, capsys):
    """As `admm plot` does."""
    other = shutil.copytree(runs / "coded", tmp_path / "plain")
    picture = Picture()
    draw(picture, report([runs / "plain", other]))
    labels = [text.get_text() for text in picture.legends[0].get_texts()]
    assert labels[:2] == [str(runs / "plain"), str(other)]
    assert main(["report", str(runs / "plain"), str(other)]) == 0
    head = capsys.readouterr().out.splitlines()[0]
    assert head.split() == labels[:2]


def test_a_picture_that_cannot_be_written_leaves_the_one_before(runs, tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"before")

    def full(*arguments, **others):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["report", str(runs / "plain"), "--plot", str(path)]) == 1
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_out_of_reach_leaves_the_other_figures(tmp_path):
    """Data in memory are gone with their process."""
    graph = load("digits")
    for name in ("run", "twin"):
        train(options(**SMALL, out=tmp_path / name), data=graph)
    (found,) = report([tmp_path / "run"], tmp_path / "twin", measure=True, noise=0.5, dropped=0.2)
    assert found.figures["training_flops"].value > 0
    assert found.figures["speed_up"].value > 0
    for name in (
        *("inference_seconds", "inference_throughput", "accuracy_with_noise"),
        *("accuracy_without_edges", "agreement", "kl"),
    ):
        value, _, source, note = found.figures[name]
        assert (value, source) == (None, "not measured")
        assert "not by a report: 'digits' are data in memory" in note


def test_the_command_of_a_run_on_two_ranks(admm, tmp_path, capsys):
    """pdADMM-G of 3 layers of 8 on 200 rows: p and q of 6,400 bytes, and q at the start."""
    run, table, picture = tmp_path / "run", tmp_path / "table.csv", tmp_path / "picture.png"
    words = ("--layers", 3, "--hidden", 8, "--hops", 1, "--grow", "none", "--epochs", 4)
    done = admm("train", *words, "--out", run, "--progress", "none", ranks=2)
    assert done.returncode == 0, done.stderr
    given = ["report", str(run), "--json", "--price", "1", "--csv", str(table)]
    assert main([*given, "--plot", str(picture)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    figures = found["figures"]
    assert figures["sent"]["value"] == 9 * 6400
    assert figures["sent_control"]["value"] > 0
    assert figures["energy"]["value"] is None or figures["energy"]["source"] == "measured"
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = {row["figure"]: row for row in csv.DictReader(table.read_text().splitlines())}
    assert (rows["sent"]["value"], rows["sent"]["unit"]) == (str(9 * 6400), "bytes")
    assert main(["report", str(run)]) == 0
    assert "sent (bytes)" in capsys.readouterr().out


def test_mistakes_of_the_command(capsys, runs):
    assert main(["report", str(runs / "plain"), "--price", "-2"]) == 2
    assert "--price must be finite and ≥ 0, got -2.0" in capsys.readouterr().err
    assert main(["report", str(runs / "plain"), "--noise", "1"]) == 2
    assert "--noise and --dropped are for --robustness" in capsys.readouterr().err
    assert main(["report", str(runs / "plain"), "--plot", "picture.xyz"]) == 2
    assert "--plot must end in one of .eps, " in capsys.readouterr().err
    assert main(["report", "nowhere"]) == 2
    assert "nowhere has no summary.json" in capsys.readouterr().err
