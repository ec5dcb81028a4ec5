"""SubnetworkClassifier and SubnetworkRegressor as scikit-learn's estimators."""

import io
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_friedman1
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from admm import SubnetworkClassifier, SubnetworkRegressor, options, patience, train
from admm.errors import InputError
from layers import mlp

SMALL = {"hidden": np.int64(16), "epochs": 8, "random_state": 0, "lr": 1e-2}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"], object)[y]


@pytest.fixture(scope="module")
def classifier(iris):
    return SubnetworkClassifier(**SMALL).fit(*iris)


@pytest.fixture(scope="module")
def regressor():
    X, y = make_friedman1(300, 6, random_state=0)
    return SubnetworkRegressor(**SMALL).fit(X, np.stack([1e3 * y + 5e4, y], axis=1)), X


@pytest.mark.slow
@parametrize_with_checks([SubnetworkClassifier(), SubnetworkRegressor()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_classes(classifier, iris):
    X, y = iris
    assert classifier.score(X, y) > 0.9
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    found = classifier.classes_[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(found, classifier.predict(X))
    assert classifier.n_features_in_ == 4
    assert len(classifier.history_) == classifier.n_iter_ == 8


def test_several_numbers_of_several_scales(regressor):
    fitted, X = regressor
    found = fitted.predict(X)
    assert found.shape == (300, 2)
    _, y = make_friedman1(300, 6, random_state=0)
    assert fitted.score(X, np.stack([1e3 * y + 5e4, y], axis=1)) > 0.7


def test_a_fit_is_the_same_again(classifier, iris):
    again = clone(classifier).fit(*iris)
    np.testing.assert_array_equal(again.predict_proba(iris[0]), classifier.predict_proba(iris[0]))


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_pickled_and_saved(name, classifier, regressor, iris, tmp_path):
    fitted, X = (classifier, iris[0]) if name == "classifier" else regressor
    fitted.save(tmp_path / "model")
    for again in (
        pickle.loads(pickle.dumps(fitted)),
        type(fitted).load(tmp_path / "model"),
    ):
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
        assert again.get_params() == fitted.get_params()
        assert again.history_ == fitted.history_
    other = SubnetworkRegressor if name == "classifier" else SubnetworkClassifier
    with pytest.raises(InputError, match=f"holds a {type(fitted).__name__}; expected a"):
        other.load(tmp_path / "model")


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(InputError, match="holds no trained network"):
        SubnetworkClassifier.load(tmp_path / "none")
    train(options("gsam", layers=2, hidden=4, epochs=1, out=tmp_path / "run"))
    with pytest.raises(InputError, match="holds a run, and no SubnetworkClassifier; admm.load_mod"):
        SubnetworkClassifier.load(tmp_path / "run")


def with_dropout(columns, outputs, key):
    return eqx.nn.Sequential(
        [
            eqx.nn.Linear(columns, 16, key=key),
            eqx.nn.Lambda(_rectified),
            eqx.nn.Dropout(0.1),
            eqx.nn.Linear(16, outputs, key=key),
        ]
    )


def _rectified(x):
    return x * (x > 0).astype(x.dtype)


def test_a_network_of_ones_own(iris, tmp_path):
    X, y = iris
    fitted = SubnetworkClassifier(**SMALL, network=with_dropout, workers=2).fit(X, y)
    assert fitted.score(X, y) > 0.7
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(X))
    fitted.save(tmp_path / "own")
    with pytest.raises(InputError, match="with a network of one's own; pass it along, as network"):
        SubnetworkClassifier.load(tmp_path / "own")
    again = SubnetworkClassifier.load(tmp_path / "own", network=with_dropout)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: mlp((4,), 8, 3, 2), id="Network"),
        pytest.param(
            lambda: eqx.nn.MLP(4, 3, 8, 1, key=jax.random.key(0)), id="MLP", marks=pytest.mark.slow
        ),
        pytest.param(
            lambda: [jnp.tanh, eqx.nn.Linear(4, 3, key=jax.random.key(0))],
            id="list",
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda: lambda n, m, key: mlp((n,), 8, m, 2), id="function"),
    ],
)
def test_networks_of_all_kinds(make, iris, tmp_path):
    X, y = iris
    fitted = clone(SubnetworkClassifier(**SMALL, network=make())).fit(X, y)
    assert fitted.score(X, y) > 0.7
    fitted.save(tmp_path)
    again = SubnetworkClassifier.load(tmp_path, network=make())
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.options_ == fitted.options_


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (mlp((5,), 8, 3, 2), r"takes samples of shape \(5,\) in float32; .* has \(4,\)"),
        (mlp((4,), 8, 2, 2), r"the last module returns \(2,\); expected \(3,\), the logits"),
        (lambda columns, outputs, key: None, "is a function that returned None; expected a net"),
        (eqx.nn.Linear(4, 3, key=jax.random.key(0)), "a Linear cannot be cut: pass its modules"),
    ],
)
def test_networks_that_do_not_fit(network, message, iris):
    with pytest.raises(InputError, match=message):
        SubnetworkClassifier(network=network).fit(*iris)


def test_callbacks_and_progress(iris):
    seen, text = [], io.StringIO()
    stop = patience(2, "val_accuracy")
    fitted = SubnetworkClassifier(**{**SMALL, "epochs": 40})
    fitted.fit(*iris, callback=[seen.append, stop], progress=text)
    assert len(seen) == fitted.n_iter_ < 40
    assert "val_accuracy" in seen[0]
    assert len(text.getvalue().splitlines()) > fitted.n_iter_


def test_what_picks_the_best_network(classifier, iris):
    lines = classifier.history_
    assert classifier.summary_["best"] == min(lines, key=lambda line: line["val_loss"])
    scored = clone(classifier).set_params(pick="score").fit(*iris)
    lines = scored.history_
    assert scored.summary_["best"] == max(lines, key=lambda line: line["val_accuracy"])


def test_pipelines(iris):
    pipeline = make_pipeline(StandardScaler(), SubnetworkClassifier(**SMALL))
    assert cross_val_score(pipeline, *iris, cv=2).mean() > 0.8


@pytest.mark.slow
def test_searches(iris):
    X, y = iris
    search = GridSearchCV(SubnetworkClassifier(**SMALL), {"solver": ["gsadmm", "gsam"]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.7


def test_patience_ends_a_fit(iris):
    X, y = iris
    fitted = SubnetworkClassifier(**{**SMALL, "epochs": 40}, patience=3).fit(X, y)
    assert fitted.n_iter_ < 40


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation_fraction": 0.0}, "validation_fraction= must be in .0, 1., got 0.0"),
        ({"epochs": 0}, "epochs= must be at least 1, got 0"),
        ({"epochs": "many"}, "epochs= must be a whole number, got 'many'"),
        ({"weight_decay": -1.0}, "weight_decay= must be finite and ≥ 0, got -1.0"),
        ({"patience": 0}, "patience= must be at least 1, got 0"),
        ({"pick": "r2"}, "pick= must be one of score, loss, got 'r2'"),
        ({"batch": 0}, "batch= must be at least 1, got 0"),
        ({"lr": -1e-2}, "lr= must be positive and finite, got -0.01"),
        ({"solver": "adam"}, "solver= must be one of gsadmm, gsam, got 'adam'"),
        ({"subnetworks": 4}, "got 4 subnetworks for 3 modules"),
    ],
)
def test_wrong_parameters(given, message, iris):
    with pytest.raises(InputError, match=message):
        SubnetworkClassifier(**given).fit(*iris)


def test_too_few_rows():
    with pytest.raises(ValueError, match="1 sample"):
        SubnetworkRegressor().fit([[1.0]], [1.0])


@pytest.mark.slow
def test_friedmans_function():
    """R² of noise alone would be .96."""
    X, y = make_friedman1(8000, 10, noise=1, random_state=0)
    found = SubnetworkRegressor(random_state=0).fit(X[:6400], y[:6400]).score(X[6400:], y[6400:])
    ridge = Ridge().fit(X[:6400], y[:6400]).score(X[6400:], y[6400:])
    assert found > 0.93 > 0.75 > ridge


def test_columns_that_are_constant_but_for_rounding(iris):
    X, y = iris
    fitted = SubnetworkClassifier(**SMALL).fit(np.c_[X, np.full(len(X), 0.1)], y)
    assert fitted.scale_[-1] == 1
    moved = fitted.predict(np.c_[X, np.full(len(X), 0.2)])
    assert (moved == fitted.predict(np.c_[X, np.full(len(X), 0.1)])).mean() > 0.9


def test_values_that_are_too_large(classifier, iris):
    X, y = iris
    with pytest.raises(InputError, match="X has values that are too large to be standardised"):
        classifier.predict(1e300 * X)
    with pytest.raises(InputError, match="X has values that are too large to be standardised"):
        SubnetworkClassifier(**SMALL).fit(1e200 * X, y)
    with pytest.raises(InputError, match="y has values that are too large to be standardised"):
        SubnetworkRegressor(**SMALL).fit(X, 1e200 * np.arange(len(X)))
