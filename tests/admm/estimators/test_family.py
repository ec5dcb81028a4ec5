"""What the three estimators have in common."""

import inspect
import re

import numpy as np
import pytest
from sklearn.datasets import load_iris

from admm import GAMLPClassifier, SubnetworkClassifier, SubnetworkRegressor

SMALL = {"layers": 2, "hidden": 8, "epochs": 6, "random_state": 0}
FAMILY = [GAMLPClassifier, SubnetworkClassifier, SubnetworkRegressor]
X, Y = load_iris(return_X_y=True)

every = pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)


def documented(kind, section):
    """Names that a section of a docstring explains."""
    found = re.search(rf"^{section}:\n((?:    .*\n?)+)", inspect.getdoc(kind), re.MULTILINE)
    return set(re.findall(r"^    (\w+):", found[1], re.MULTILINE))


@every
def test_every_parameter_and_attribute_is_documented(kind, tmp_path):
    """And a loaded model has the attributes of the fitted one."""
    fitted = kind(**SMALL, patience=3).fit(X, Y)
    assert documented(kind, "Args") == set(fitted.get_params())
    attributes = {name for name in vars(fitted) if name.endswith("_") and name[0] != "_"}
    assert documented(kind, "Attributes") == attributes - {"seed_"} | {"feature_names_in_"}
    fitted.save(tmp_path)
    assert set(vars(kind.load(tmp_path))) == set(vars(fitted))


@every
def test_they_share_parameters_attributes_and_fit(kind):
    shared = set.intersection(*(documented(each, "Args") for each in FAMILY))
    assert shared == {
        *("layers", "hidden", "epochs", "weight_decay", "workers", "dtype", "random_state"),
        *("validation_fraction", "patience"),
    }
    known = {"n_iter_", "n_features_in_", "feature_names_in_", "history_", "summary_", "options_"}
    assert known | {"network_", "scale_"} <= documented(kind, "Attributes")
    named = inspect.signature(kind.fit).parameters
    assert {"callback", "progress"} < set(named)


@every
def test_patience_and_epochs(kind):
    """Both stop at the value that picks the best network; epochs are those of all stages."""
    given = {**SMALL, "epochs": 60}
    if kind is GAMLPClassifier:
        given |= {"eval_every": 2, "layers": 3, "grow": (2, 3)}
    noise = np.random.default_rng(0).permutation(Y)  # there is little to learn
    fitted = kind(**given, patience=2).fit(X, noise)
    lines = fitted.history_
    every_stage = [line["epoch"] for line in lines if line["stage"] == lines[-1]["stage"]]
    assert fitted.n_iter_ == 60 * lines[-1]["stage"] + every_stage[-1]
    assert fitted.n_iter_ < 60 * (1 + lines[-1]["stage"])
    select = fitted.options_.select
    sign = -1 if select.endswith("loss") else 1
    values = sign * np.array([line[select] for line in lines])
    assert values[-3] >= values[-2:].max()
