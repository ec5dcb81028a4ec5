"""Generated graphs: the distribution of every part, parts against the whole, and names."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from pages import programs

from admm import evaluate, options, predict, train
from admm.cli import main
from admm.cli.train import _new_folder
from admm.datasets import SBM, identifying, load, load_images
from admm.datasets.fingerprint import fingerprint
from admm.errors import AdmmError, InputError
from admm.memory import Available

PAGE = Path(__file__).parents[3] / "docs" / "sbm.md"


def test_pieces_are_those_of_the_whole():
    model = SBM(nodes=2500, seed=4)
    graph = load(model.name)
    nodes = np.random.default_rng(0).choice(2500, 700)  # in no order, some twice
    rows = model.rows(nodes)
    assert rows.features.dtype == graph.features.dtype == np.float32
    assert np.array_equal(rows.features, graph.features.toarray()[nodes])
    assert np.array_equal(rows.labels, graph.labels[nodes])
    for number, part in enumerate(graph.split):
        assert np.array_equal(rows.parts == number, np.isin(nodes, part))
    adjacency = model.adjacency()
    assert fingerprint(adjacency) == fingerprint(graph.adjacency)
    assert adjacency.indices.dtype == np.int32
    assert model.rows(np.zeros(0, int)).features.shape == (0, 32)


@pytest.mark.parametrize(
    "name", ["sbm:nodes=300", "sbm:nodes=2500", "sbm:communities=3000,anywhere=0"]
)
def test_an_outline_is_known_as_the_whole(name):
    """By provenance and fingerprint, from few of its features."""
    outline, graph = SBM.of_name(name).outline(), load(name)
    assert fingerprint(*identifying(outline)) == fingerprint(*identifying(graph))
    assert [*outline.provenance.items()] == [*graph.provenance.items()]
    assert outline.features.shape == graph.features.shape
    assert outline.features.nnz <= 1024 * 32
    other = replace(graph, features=graph.features * 2)
    assert fingerprint(*identifying(other)) != fingerprint(*identifying(graph))


def test_the_adjacency_has_every_link_once_each_way():
    model = SBM(nodes=400, seed=1)
    ends = np.concatenate(list(model.links()), axis=1)
    assert ends.shape[1] == 200 * (8 + 6)
    pairs = {(a, b) for a, b in ends.T.tolist() if a != b}
    pairs |= {(b, a) for a, b in pairs}
    adjacency = model.adjacency().tocoo()
    assert Counter(zip(*adjacency.coords, strict=True)) == Counter(pairs)
    assert (adjacency.data == 1).all()


def test_expected_degrees_follow_a_power_law_up_to_the_root_of_the_nodes():
    weights = SBM(nodes=40_000, seed=2)._drawn().weights
    assert weights.min() >= 1
    assert weights.max() == 200
    for degree in (2, 5, 20, 100):
        share, expected = (weights > degree).mean(), degree**-1.5
        assert abs(share - expected) < 4 * np.sqrt(expected / len(weights))


def test_nodes_have_a_class_a_community_and_a_part_independently():
    model = SBM(nodes=30_000, seed=5)
    labels, communities, parts, _ = model._drawn()
    assert np.bincount(labels).tolist() == [3000] * 10
    assert np.bincount(communities).tolist() == [75] * 400
    assert np.bincount(parts).tolist() == [6000, 3000, 21_000]
    for one, other in ((labels, communities // 40), (labels, parts), (communities // 40, parts)):
        table = scipy.stats.contingency.crosstab(one, other).count
        assert scipy.stats.chi2_contingency(table).pvalue > 0.01


def test_features_are_means_of_unit_length_and_noise():
    model = SBM(nodes=60_000, classes=3, features=16, seed=1)
    features, labels, _ = model.rows(np.arange(model.nodes))
    means = np.stack([features[labels == each].mean(axis=0) for each in range(3)])
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1, atol=0.03)
    noise = features - means[labels]
    np.testing.assert_allclose(np.cov(noise.T), np.eye(16), atol=0.03)
    blocks = noise[: 1024 * 58].reshape(58, 1024, 16)
    assert len({block.tobytes() for block in blocks}) == 58
    assert scipy.stats.kstest(noise[:5000].ravel(), "norm").pvalue > 0.01


def test_seeds_make_other_graphs():
    one, other = (load(f"sbm:nodes=500,seed={seed}") for seed in (0, 1))
    assert one.edges != other.edges
    assert (one.labels != other.labels).any()
    assert (one.features != other.features).nnz


def test_links_to_anywhere_decide_the_cut():
    few, many = (SBM(nodes=3000, anywhere=number) for number in (0, 6))
    communities = few._drawn().communities
    for model, low, high in ((few, 0, 0), (many, 0.4, 0.6)):
        row, column = model.adjacency().nonzero()
        assert low <= (communities[row] != communities[column]).mean() <= high


def test_rows_of_a_part_do_not_need_the_memory_of_all():
    model = SBM(nodes=200_000, features=256)
    tracemalloc.start()
    try:
        rows = model.rows(np.arange(100_000, 104_000))
        assert tracemalloc.get_traced_memory()[1] < 4 * rows.features.nbytes  # of all: 50 times
    finally:
        tracemalloc.stop()


def test_the_default_graph_stays_as_it_is():
    graph = load("sbm")
    assert (graph.name, graph.nodes, graph.edges) == ("sbm:nodes=3000,seed=0", 3000, 33_058)
    assert graph.provenance["generator"].endswith("stochastic block model, 40 communities")
    expected = "ca67b2481ba16ba3"
    assert fingerprint(graph.adjacency, graph.features, graph.labels, *graph.split) == expected


@pytest.mark.parametrize(
    "model",
    [
        SBM(),
        SBM(nodes=50_000, seed=7),
        SBM(nodes=90, communities=2, classes=3, features=4, anywhere=0.5, train=0.5, val=0.25),
    ],
)
def test_names(model):
    assert SBM.of_name(model.name) == model
    assert SBM.of_name("sbm") == SBM.of_name("sbm:") == SBM()


@pytest.mark.parametrize(("nodes", "count"), [(50, 1), (3000, 40), (30_000, 400), (50_000, 400)])
def test_number_of_communities(nodes, count):
    assert SBM(nodes=nodes, classes=2).community_count == count


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sbm:node=3", "expected options as nodes=3000,seed=0, .*got 'node=3'; did you mean nodes"),
        ("sbm:nodes", "expected options as nodes=3000,seed=0, .*got 'nodes'$"),
        ("sbm:nodes=300,", "expected options as nodes=3000,seed=0, .*got ''"),
        ("sbm:nodes=300,nodes=400", "nodes is given twice; leave one out"),
        ("sbm:nodes=3e3", "nodes must be a whole number, got '3e3'"),
        ("sbm:train=half", "train must be a number, got 'half'"),
        ("sbm:nodes=0", "nodes must be at least 1, got 0"),
        ("sbm:nodes=1000000000", "must be below 2³¹, got 14,000,000,000; lower"),
        ("sbm:communities=0", "communities must be at least 1, got 0"),
        ("sbm:nodes=300,communities=301", "301 communities are more than the nodes"),
        ("sbm:classes=1", "classes must be at least 2, got 1"),
        ("sbm:features=0", "features must be at least 1, got 0"),
        ("sbm:anywhere=-1", "anywhere must be finite and ≥ 0, got -1"),
        ("sbm:anywhere=inf", "anywhere must be finite and ≥ 0, got inf"),
        ("sbm:train=0", r"train must be in \(0, 1\), got 0"),
        ("sbm:val=nan", r"val must be in \(0, 1\), got nan"),
        ("sbm:train=.9,val=.1", "train 0.9 and val 0.1 leave no nodes for the test"),
        ("sbm:nodes=40", "a training node for each of 10 classes.*got 8, 4 and 28; raise nodes"),
        ("sbm:seed=-1", "seed must be in 0…2³²−1, got -1"),
        ("sbn:nodes=300", "unknown data set 'sbn:nodes=300'; .*; did you mean sbm"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(InputError, match=message):
        load(name)


def test_bad_use(tmp_path, unchecked):
    with pytest.raises(InputError, match="nodes must be a whole number, at least 1, got 300.5"):
        SBM(nodes=300.5)
    with pytest.raises(InputError, match="has one split, number 0; got split=1"):
        load("sbm:nodes=300", split=1)
    with pytest.raises(InputError, match="unknown image data set 'sbm:'"):
        load_images("sbm:", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sbm:nodes=90000,features=2", "the edges of sbm:.* need .* lower nodes or anywhere$"),
        ("sbm:features=2000", "the features of sbm:.* need .* lower nodes or features$"),
    ],
)
def test_a_graph_that_does_not_fit(name, message, monkeypatch):
    monkeypatch.setattr("admm.memory.available_memory", lambda: Available(2**24, "a test"))
    with pytest.raises(AdmmError, match=message):
        load(name)


def test_features_in_place_of_those_that_are_there():
    assert load("sbm:nodes=300", features="identity").features.shape == (300, 300)


def test_commands_know_the_name(capsys, tmp_path):
    assert main(["datasets", "list", "--data-dir", str(tmp_path)]) == 0
    assert "sbm               graph   generated, as sbm:nodes=3000,seed=0\n" in (
        capsys.readouterr().out
    )
    assert main(["datasets", "download", "sbm"]) == 0
    assert capsys.readouterr().out == "sbm is generated, as sbm:nodes=3000,seed=0\n"
    assert main(["datasets", "check", "sbm:nodes=300,seed=2"]) == 0
    head, how = capsys.readouterr().out.splitlines()
    assert head.startswith("sbm:nodes=300,seed=2: graph of 300 nodes, ")
    assert head.endswith("60 nodes for training, 30 for validation, 210 for the test; generated")
    assert "split: random, 0.2 of the nodes for training, 0.1 for validation" in how
    assert main(["datasets", "check", "sbm:seeds=2"]) == 2
    assert "did you mean seed?" in capsys.readouterr().err


def test_a_run_knows_its_graph_again(tmp_path):
    given = options(dataset="sbm:nodes=200,classes=4", layers=2, epochs=2, hidden=8, out=tmp_path)
    summary = train(given).summary
    assert summary["dataset"]["name"] == "sbm:nodes=200,classes=4,seed=0"
    assert summary["dataset"]["provenance"]["generator"].endswith("2 communities")
    scores = evaluate(tmp_path)
    assert scores["test"] == summary["best"]["test_accuracy"]
    assert predict(tmp_path).shape == (200, 4)
    with pytest.raises(InputError, match="the data are not those that .* was trained on"):
        evaluate(tmp_path, dataset="sbm:nodes=200,classes=4,seed=1")


def test_a_folder_of_a_run_has_a_plain_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _new_folder("sbm:nodes=200,train=.3").name.startswith("sbm-2")


def test_the_page_runs():
    """But for the program that needs METIS."""
    (program,) = [each for each in programs(PAGE) if "rows" in each]
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    graph = load(names["model"].name)
    assert np.array_equal(names["training"], np.intersect1d(graph.split.train, names["mine"]))


@pytest.mark.slow
def test_a_bad_name_under_mpi_ends_every_rank_with_one_message(admm):
    done = admm("train", "--dataset", "sbm:node=300", ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("did you mean nodes?") == 1
