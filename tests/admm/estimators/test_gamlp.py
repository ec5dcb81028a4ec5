"""The GA-MLP as scikit-learn knows estimators, on graphs and on rows."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from admm import GAMLPClassifier, datasets, options, patience, train
from admm.errors import InputError
from admm.methods.layerwise.options import PDADMMGOptions
from layers import RELU, forward, hop_inputs

SMALL = {"layers": 2, "hidden": np.int64(8), "epochs": 5, "random_state": 0}
NODES = 60


@parametrize_with_checks([GAMLPClassifier(layers=2, hidden=16, epochs=80, eval_every=10)])
@pytest.mark.slow
def test_scikit_learn_takes_it_for_an_estimator(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def graph():
    """Two classes, most edges within them; features tell little."""
    rng = np.random.default_rng(0)
    y = np.arange(NODES) % 2
    near = rng.random((NODES, NODES)) < np.where(y[:, None] == y, 0.2, 0.02)
    edges = sp.csr_array(np.triu(near, 1).astype(float))
    X = rng.normal(size=(NODES, 6)) + 0.7 * y[:, None]
    return X, y, edges + edges.T


@pytest.fixture(scope="module")
def model(graph):
    X, y, edges = graph
    return GAMLPClassifier(**SMALL).fit(X, y, edges)


def test_defaults_are_those_of_the_options():
    model, known = GAMLPClassifier().get_params(), PDADMMGOptions()
    own = {"hops", "normalize", "weights", "validation_fraction", "patience", "random_state"}
    assert {n: v for n, v in model.items() if n not in own} == {
        name: getattr(known, name) if name not in ("start", "grow") else None
        for name in model
        if name not in own
    }


def test_cora_in_memory_is_cora_by_name(data_dir):
    given = {"layers": 4, "hidden": 16, "epochs": 10}
    run = train(options(dataset="cora", data_dir=data_dir, **given))
    cora = datasets.load("cora", data_dir)
    ends = np.stack(cora.adjacency.nonzero())
    masks = {f"{part}_mask": rows for part, rows in cora.split._asdict().items()}
    model = GAMLPClassifier(random_state=0, **given).fit(cora.features, cora.labels, ends, **masks)
    timed = ("seconds", "iterate_seconds")
    for ours, theirs in zip(model.history_, run.history, strict=True):
        assert {n: v for n, v in ours.items() if n not in timed} == {
            n: v for n, v in theirs.items() if n not in timed
        }
    known = run.summary["dataset"]["fingerprint"]
    assert model.summary_["dataset"]["fingerprint"] == known
    test = model.score(cora.features, cora.labels, edges=ends, rows=cora.split.test)
    assert test == pytest.approx(run.summary["best"]["test_accuracy"])


def test_workers_do_not_change_it(graph, model):
    X, y, edges = graph
    other = GAMLPClassifier(**SMALL, workers=2).fit(X, y, edges)
    np.testing.assert_array_equal(
        other.predict_proba(X, edges), model.predict_proba(X, edges), strict=True
    )


def test_nodes_that_come_later(graph, model):
    """The forward pass of training on the whole new graph, of the rows that are asked for."""
    X, _, edges = graph
    rng = np.random.default_rng(1)
    more = np.vstack([X, rng.normal(size=(5, X.shape[1]))])
    links = sp.block_diag([edges, np.zeros((5, 5))], format="lil")
    links[-5:, :5] = links[:5, -5:] = np.eye(5)
    new = np.arange(NODES, NODES + 5)
    inputs = hop_inputs(sp.csr_array(more), sp.csr_array(links), new, hops=4)
    logits = forward(model.network_, jnp.asarray(inputs), RELU)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = model.predict_proba(more, links, rows=new)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    mask = np.isin(np.arange(len(more)), new)
    np.testing.assert_array_equal(model.predict_proba(more, links, rows=mask), found)
    np.testing.assert_allclose(model.predict_proba(more, links)[new], found, rtol=1e-6)


def test_labels_that_are_missing_and_names(graph):
    X, y, edges = graph
    names = np.where(y, "spam", "ham").astype(object)
    names[::3] = None
    model = GAMLPClassifier(**SMALL).fit(X, names, edges)
    assert model.classes_.tolist() == ["ham", "spam"]
    assert set(model.predict(X, edges)) <= {"ham", "spam"}
    assert model.summary_["dataset"]["train"] + model.summary_["dataset"]["val"] == 40
    assert model.summary_["dataset"]["test"] == 0
    assert "test_accuracy" not in model.history_[0]


def test_masks_and_numbers_are_the_same_split(graph):
    X, y, edges = graph
    node = np.arange(NODES)
    by_mask = GAMLPClassifier(**SMALL).fit(
        X, y, edges, train_mask=node < 30, val_mask=(node >= 30) & (node < 40), test_mask=node >= 40
    )
    by_number = GAMLPClassifier(**SMALL).fit(
        X, y, edges, train_mask=node[:30], val_mask=node[30:40], test_mask=node[40:]
    )
    assert by_mask.history_[-1]["test_accuracy"] == by_number.history_[-1]["test_accuracy"]
    assert by_mask.summary_["dataset"] == by_number.summary_["dataset"]


def test_saved_and_loaded_without_the_data(graph, model, tmp_path):
    X, _, edges = graph
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")  # over itself
    np.savez(tmp_path / "data.npz", X=X, edges=np.stack(edges.nonzero()))
    code = (
        "import sys, numpy as np; from admm import GAMLPClassifier; from pathlib import Path\n"
        "here = Path(sys.argv[1]); data = np.load(here / 'data.npz')\n"
        "model = GAMLPClassifier.load(here / 'm')\n"
        "np.save(here / 'p.npy', model.predict_proba(data['X'], data['edges']))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    expected = model.predict_proba(X, edges)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), expected)
    again = GAMLPClassifier.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    assert again.history_ == model.history_
    assert again.classes_.tolist() == model.classes_.tolist()
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict_proba(X, edges), expected
    )


def test_a_run_of_the_command_line_is_a_model(graph, tmp_path):
    X, y, edges = graph
    file = tmp_path / "graph.npz"
    datasets.save_graph(file, edges, X, np.where(y, "b", "a"))
    given = options(dataset=file, layers=3, hidden=8, epochs=5, out=tmp_path / "run")
    train(given)
    from admm import predict

    model = GAMLPClassifier.load(tmp_path / "run")
    assert model.classes_.tolist() == ["a", "b"]
    np.testing.assert_allclose(model.predict_proba(X, edges), predict(tmp_path / "run"), rtol=1e-5)


def test_plain_rows_in_a_pipeline():
    X, y = load_iris(return_X_y=True)
    model = GAMLPClassifier(layers=2, hidden=32, epochs=60, hops=1, random_state=0)
    scores = cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=2)
    assert scores.mean() > 0.85
    search = GridSearchCV(clone(model), {"epochs": [1, 60]}, cv=2)
    search.fit(X - X.mean(axis=0), y)
    assert search.best_params_["epochs"] == 60


def test_the_scale_of_rows_does_not_matter():
    X, y = make_blobs(60, n_features=3, random_state=0)
    one = GAMLPClassifier(**SMALL).fit(X, y)
    other = GAMLPClassifier(**SMALL).fit(1024 * X, y)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(1024 * X))


def test_callbacks_stop_it(graph):
    X, y, edges = graph
    model = GAMLPClassifier(**{**SMALL, "epochs": 200})
    seen = []
    model.fit(X, y, edges, callback=[patience(3), seen.append])
    assert len(model.history_) == len(seen) == model.n_iter_ < 200


def test_columns_of_a_table_have_names():
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = GAMLPClassifier(**SMALL).fit(X, y)
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    table = pandas.DataFrame(model.history_)
    assert table["epoch"].tolist() == [1, 2, 3, 4, 5]


NODE = np.arange(NODES)
NAN = np.where(np.eye(NODES, 6), np.nan, 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": NAN}, "Input X contains NaN"),
        ({"y": None}, "requires y to be passed"),
        ({"y": np.full(NODES, np.inf)}, "y has infinity at row 0"),
        ({"y": np.arange(7) % 2}, r"one label for each of 60 rows, got shape \(7,\)"),
        ({"y": np.zeros(NODES, int)}, "expected at least two classes"),
        ({"y": np.linspace(0, 1, NODES)}, "Unknown label type"),
        ({"edges": np.array([[0], [60]])}, "edges must be of nodes 0…59, .* got 0…60"),
        ({"edges": np.array([[-1], [3]])}, "edges must be of nodes 0…59"),
        ({"edges": np.zeros((7, 2), int)}, "pass edges.T"),
        ({"edges": np.eye(NODES)}, "pass scipy.sparse.csr_array"),
        ({"edges": sp.eye_array(3)}, "edges among 3 nodes"),
        ({"edges": "cora"}, "expected a sparse matrix"),
        ({"train_mask": NODE < 40, "val_mask": NODE > 30}, "in the split more than once"),
        ({"train_mask": NODE < 0}, "train_mask has no node with a label"),
        ({"val_mask": NODE < 0}, "val_mask has no node with a label"),
        ({"val_mask": NODE[:5] + 70}, "val_mask= must be of nodes 0…59, got 70…74"),
        ({"val_mask": NODE / 2}, "val_mask= must be a mask of 60 nodes or numbers"),
        ({"train_mask": NODE[NODE % 2 == 0]}, "no class has|no training node is of class"),
        ({"train_mask": NODE[::2], "val_mask": NODE[1::2]}, "no training node is of class 1"),
        ({"parameters": {"layers": 0}}, "layers= must be in 1…10,000, got 0"),
        ({"parameters": {"codec": "zip"}}, "codec= must be one of"),
        ({"parameters": {"validation_fraction": 1.5}}, "fraction= must be in .0, 1., got 1.5"),
        (
            {"parameters": {"validation_fraction": "0.1"}},
            "validation_fraction= must be a number, in .0, 1., got '0.1'",
        ),
        ({"parameters": {"weights": "guess"}}, "weights= must be use or ignore"),
        ({"parameters": {"dtype": "float64"}}, "float64 needs JAX's 64-bit mode"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_fitted(graph, changes, message):
    X, y, edges = graph
    given = {"X": X, "y": y, "edges": edges, **changes}
    model = GAMLPClassifier(**{**SMALL, **given.pop("parameters", {})})
    if "train_mask" in changes and len(changes) == 1 and "no class" in message:
        given["val_mask"] = NODE[NODE % 2 == 1]
    with pytest.raises(ValueError, match=message):
        model.fit(**given)


def test_what_cannot_be_predicted(graph, model):
    X, y, edges = graph
    with pytest.raises(ValueError, match="X has 5 features, but GAMLPClassifier is expecting 6"):
        model.predict(X[:, :5], edges)
    with pytest.raises(InputError, match="was fitted on a graph; pass edges="):
        model.predict(X)
    with pytest.raises(InputError, match="rows= must be of nodes 0…59, got 60…60"):
        model.predict(X, edges, rows=[60])
    rows = GAMLPClassifier(**SMALL).fit(X, y)
    with pytest.raises(InputError, match="fitted on rows without edges; leave edges= out"):
        rows.predict(X, edges)


def test_a_model_is_saved_beside_hidden_files(model, tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".DS_Store").touch()
    model.save(tmp_path)
    assert GAMLPClassifier.load(tmp_path).get_params() == model.get_params()


def test_parameters_of_numpy_are_saved(graph, tmp_path):
    X, y, edges = graph
    numbers = {"grow": np.array([2, 4]), "layers": np.int64(4), "rho": np.float32(0.5)}
    model = GAMLPClassifier(**{**SMALL, **numbers}).fit(X, y, edges)
    model.save(tmp_path / "m")
    known = GAMLPClassifier.load(tmp_path / "m").get_params()
    assert {name: known[name] for name in numbers} == {"grow": [2, 4], "layers": 4, "rho": 0.5}


def test_foreign_files(model, graph, tmp_path):
    with pytest.raises(InputError, match="holds no trained network"):
        GAMLPClassifier.load(tmp_path / "nothing")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        GAMLPClassifier.load(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="holds notes.txt; save a model into a folder of its own"):
        model.save(tmp_path)
    train(options("gsam", layers=2, hidden=4, epochs=1, out=tmp_path / "run"))
    with pytest.raises(InputError, match="a network of gsam, which is no GAMLPClassifier's"):
        GAMLPClassifier.load(tmp_path / "run")
    model.save(tmp_path / "m")
    file = next((tmp_path / "m" / "models").rglob("layer_001.npz"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="does not match its checksum"):
        GAMLPClassifier.load(tmp_path / "m")


def test_scores_are_those_of_labelled_rows_in_any_form(graph, model):
    X, y, edges = graph
    right = model.predict(X, edges) == y
    assert model.score(X, y[:, None], edges=edges) == right.mean()
    assert model.score(X, np.eye(2)[y], edges=edges) == right.mean()
    some = NODE % 3 == 0
    known = right[some].mean()
    assert model.score(X, np.where(some, y, -1), edges=edges) == known
    assert model.score(X, np.ma.array(y, mask=~some), edges=edges) == known
    weights = np.where(NODE % 2, 0.0, 1.0)
    weighed = model.score(X, y, sample_weight=weights, edges=edges)
    assert weighed == pytest.approx(right[::2].mean())
    with pytest.raises(InputError, match="requires y to be passed"):
        model.score(X, edges=edges)
    with pytest.raises(InputError, match="none of the rows has a label"):
        model.score(X, np.full(NODES, -1), edges=edges)


def test_attributes_of_edges_that_are_ignored_are_so_in_scores(graph):
    X, y, edges = graph
    ends = np.stack(edges.nonzero())
    data = SimpleNamespace(x=X, y=y, edge_index=ends, edge_attr=np.ones((ends.shape[1], 3)))
    model = GAMLPClassifier(**SMALL, weights="ignore").fit(data)
    assert model.score(data) == (model.predict(data) == y).mean()


def test_masked_labels_are_not_trained_on(graph):
    X, y, edges = graph
    masked = GAMLPClassifier(**SMALL).fit(X, np.ma.array(y, mask=NODE < 30), edges)
    about = masked.summary_["dataset"]
    assert about["train"] + about["val"] == 30


def test_masks_that_leave_nothing(graph):
    X, y, edges = graph
    with pytest.raises(InputError, match="the masks leave no row to train on"):
        GAMLPClassifier(**SMALL).fit(X, y, edges, test_mask=NODE >= 0)
