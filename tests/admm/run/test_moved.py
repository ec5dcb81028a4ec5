"""Data that lie elsewhere now: known again by their fingerprint."""

import numpy as np
import pytest

from admm import evaluate, options, predict, resumed, train
from admm.datasets import load, save_graph
from admm.errors import InputError, MissingDataError


@pytest.fixture
def graph(tmp_path):
    rng = np.random.default_rng(0)
    place = tmp_path / "here" / "graph.npz"
    place.parent.mkdir()
    labels = np.where(np.arange(60) % 3, "blue", "red")
    edges = rng.random((60, 60)) < 0.05
    save_graph(place, edges.astype(float), rng.normal(size=(60, 5)), labels)
    return place


@pytest.fixture
def run(graph, tmp_path):
    given = options(layers=2, hidden=4, hops=1, grow="none", epochs=2, dataset=graph)
    train(given.__class__(**{**vars(given), "out": tmp_path / "run"}))
    return tmp_path / "run"


def test_a_run_goes_on_where_its_data_are_now(run, graph, tmp_path):
    before = evaluate(run)
    probabilities = predict(run)
    there = tmp_path / "there" / "renamed.npz"
    there.parent.mkdir()
    graph.rename(there)
    for ask in (evaluate, predict):
        with pytest.raises(MissingDataError, match="no such file") as missing:
            ask(run)
        assert (
            f"if the data of {run} have moved, dataset= or data_dir= says"
            in (missing.value.__notes__[0])
        )
    assert evaluate(run, dataset=there) == before
    np.testing.assert_array_equal(predict(str(run), dataset=str(there)), probabilities)
    again = train(resumed(run, epochs=3, dataset=there))
    assert again.summary["options"]["dataset"] == str(there)
    assert evaluate(run)["test"] == pytest.approx(again.summary["best"]["test_accuracy"])


def test_others_are_refused(run, graph, tmp_path):
    """Not only where the run goes on: old nodes are not answered for with new ones."""
    other = tmp_path / "other.npz"
    same = load(graph)
    save_graph(other, same.adjacency, 2 * same.features, same.labels)
    for ask in (evaluate, predict):
        with pytest.raises(InputError, match="not those that .* fingerprint"):
            ask(run, dataset=other)
        with pytest.raises(InputError, match="data_dir=.* is for data sets known by name"):
            ask(run, data_dir=tmp_path)
        with pytest.raises(InputError, match="unknown data set 'misspelt'"):
            ask(run, dataset="misspelt")
    with pytest.raises(InputError, match="not those that .* fingerprint"):
        train(resumed(run, epochs=3, dataset=other))
    with pytest.raises(InputError, match="data_dir=.* is for data sets known by name"):
        train(options(dataset=graph, data_dir=tmp_path))


def test_on_the_command_line(admm, command, run, graph, tmp_path, monkeypatch):
    there = tmp_path / "graph.npz"
    graph.rename(there)
    done = command("evaluate", run)
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert "--dataset or --data-dir says where to" in done.stderr
    assert command("evaluate", run, "--dataset", there).returncode == 0
    done = command("evaluate", run, "--dataset", there, "--data-dir", tmp_path)
    assert f"--data-dir {tmp_path} is for data sets known by name" in done.stderr
    out = tmp_path / "table.csv"
    assert admm("predict", run, "--dataset", there, "--out", out, ranks=2).returncode == 0
    head, *rows = out.read_text().splitlines()
    assert head == "row,class,pblue,pred"
    assert {row.split(",")[1] for row in rows} <= {"blue", "red"}
    assert len(rows) == 60
    monkeypatch.setenv("ADMM_DATA", "nowhere")
    done = command("train", "--resume", run, "--epochs", 3, "--dataset", there)
    assert done.returncode == 0, done.stderr
