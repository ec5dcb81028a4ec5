"""The rule for labels that all classifiers and `checked_samples` keep."""

import numpy as np
import pytest
import scipy.sparse as sp

from admm import (
    GAMLPClassifier,
    SubnetworkClassifier,
    checked_samples,
    options,
    predict,
    train,
)
from admm.errors import InputError

ROWS = 60
KIND = np.arange(ROWS) % 3
X = np.random.default_rng(0).normal(size=(ROWS, 5)) + 3 * np.eye(3, 5)[KIND]
MODELS = [
    GAMLPClassifier(layers=2, hidden=8, epochs=20, random_state=0),
    SubnetworkClassifier(layers=2, hidden=8, epochs=10, lr=1e-2, random_state=0),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(
    "names", [(-1, 1), (-1, 0, 1), pytest.param((-7, -1, 2), marks=pytest.mark.slow)], ids=str
)
def test_minus_one_is_a_class_of_plain_rows(model, names):
    y = np.array(names)[KIND % len(names)]
    rows = X + 3 * np.eye(3, 5)[KIND % len(names)]
    model.fit(rows, y)
    assert model.classes_.tolist() == list(names)
    about = model.summary_["dataset"]
    assert about["train"] + about["val"] == ROWS
    assert model.predict_proba(rows).shape == (ROWS, len(names))
    right = model.predict(rows) == y
    assert right.mean() > 0.6
    assert model.score(rows, y) == right.mean()
    assert model.score(rows[:3], [-1, -1, -1]) == (model.predict(rows[:3]) == -1).mean()


def test_minus_one_is_a_class_of_samples(tmp_path):
    y = KIND - 1
    given = options("gsam", layers=2, hidden=8, epochs=2, batch=10, out=tmp_path)
    samples = checked_samples(X, y)
    result = train(given, data=samples)
    assert result.summary["dataset"]["class_names"] == [-1, 0, 1]
    assert result.summary["dataset"]["train"] == 54
    assert predict(tmp_path, data=samples).shape == (ROWS, 3)


@pytest.mark.parametrize(
    "y",
    [np.where(KIND, KIND, np.nan), np.ma.array(KIND, mask=KIND == 0), np.eye(4)[KIND, 1:]],
    ids=["NaN", "masked", "one-hot"],
)
@pytest.mark.parametrize("model", MODELS, ids=lambda each: type(each).__name__)
def test_plain_rows_need_a_label_each(model, y):
    message = "the data: 20 of 60 rows have no label, row 0 the first; only nodes of a graph may"
    with pytest.raises(InputError, match=message):
        model.fit(X, y)
    model.fit(X, KIND)
    with pytest.raises(InputError, match="row 0 has no label; score plain rows that have one"):
        model.score(X, y)


@pytest.mark.parametrize("form", [lambda y: np.eye(3)[y], lambda y: np.array(list("abc"))[y]])
@pytest.mark.parametrize("model", MODELS, ids=lambda each: type(each).__name__)
def test_labels_that_are_fitted_are_scored(model, form):
    y = form(KIND)
    assert model.fit(X, y).score(X, y) > 0.6


def test_samples_without_a_label_are_refused():
    y = np.array(["a", "b", ""])[KIND]
    with pytest.raises(InputError, match="20 of 60 rows have no label, row 2 the first; only node"):
        train(options("gsam", epochs=1, batch=10), data=checked_samples(X, y))


def test_nodes_of_a_graph_may_have_none():
    edges = sp.eye_array(ROWS, k=3)
    model = GAMLPClassifier(layers=2, hidden=8, epochs=2, random_state=0).fit(X, KIND - 1, edges)
    assert model.classes_.tolist() == [0, 1]
    about = model.summary_["dataset"]
    assert about["train"] + about["val"] == 40
    known = KIND > 0
    right = (model.predict(X, edges) == KIND - 1)[known].mean()
    assert model.score(X, KIND - 1, edges=edges) == right
