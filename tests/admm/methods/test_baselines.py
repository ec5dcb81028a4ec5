"""Baselines: ridge regressions against scikit-learn, and sums over clients against all rows."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from admm.datasets.clients import read_federation
from admm.datasets.windows import Client, Windows
from admm.methods.baselines import (
    add_equations,
    design,
    last_value,
    linear_scores,
    normal_equations,
    ridge,
    ridge_per_client,
    ridge_pooled,
)

FEDERATION = read_federation("sensors:clients=3,missing=.1")
CLIENTS = [FEDERATION.client(number) for number in range(3)]


def test_ridge_is_that_of_scikit_learn_on_the_targets_that_are_there():
    train = CLIENTS[0].train
    weights = ridge(normal_equations(FEDERATION, train), penalty=3.0)
    x = design("regression", train.inputs)[:, :-1]
    for n, there in enumerate(train.present.T):
        model = Ridge(alpha=3.0).fit(x[there], train.targets[there, n].astype(float))
        assert weights[:-1, n] == pytest.approx(model.coef_, abs=1e-8)
        assert weights[-1, n] == pytest.approx(model.intercept_, abs=1e-8)


def test_sums_of_clients_are_those_of_all_their_windows():
    together = Windows(*(np.concatenate(a) for a in zip(*(c.train for c in CLIENTS), strict=True)))
    pooled = add_equations(normal_equations(FEDERATION, client.train) for client in CLIENTS)
    for mine, whole in zip(pooled, normal_equations(FEDERATION, together), strict=True):
        assert mine == pytest.approx(whole, rel=1e-10, abs=1e-10)


def test_pooled_of_one_client_is_its_own():
    assert ridge_pooled(FEDERATION, CLIENTS[:1]) == [ridge_per_client(FEDERATION, CLIENTS[0])]


def test_the_last_value_is_the_forecast():
    inputs, targets, present, _ = CLIENTS[1].test
    errors = np.where(present, np.abs(inputs[:, -1] - targets), np.nan)
    expected = np.nanmean(np.nanmean(errors, axis=0))
    assert last_value(FEDERATION, CLIENTS[1])["mae"] == pytest.approx(expected, rel=1e-6)


def classes(seed):
    """Windows whose class is the column with the larger deviation."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 80)
    inputs = random.normal(size=(80, 20, 2)) * np.where(np.eye(2)[labels] > 0, 2, 1)[:, None]
    return Windows(inputs.astype(np.float32), labels.astype(np.int32), np.ones(80, bool))


@pytest.mark.parametrize("task", ["classes", "multilabel"])
def test_labels_are_learned_from_the_statistics_of_windows(task):
    def part(seed):
        own = classes(seed)
        if task == "classes":
            return own
        labels = np.eye(2, dtype=np.float32)[own.targets]
        return own._replace(targets=labels, present=np.ones((80, 2), bool))

    class Mine:
        name, clients, columns, outputs = "mine", ("ann", "bob"), (), ("left", "right")
        steps, features = 20, 2

        def client(self, number):
            return Client(self.clients[number], *(part(3 * number + n) for n in range(3)))

    Mine.task = task
    found = read_federation(Mine())
    clients = [found.client(0), found.client(1)]
    assert last_value(found, clients[0]) is None
    scores = [ridge_per_client(found, clients[0]), *ridge_pooled(found, clients)]
    assert all(each["macro_f1"] > 0.9 for each in scores)


def test_an_output_that_nobody_has_seen_has_no_weights():
    train = CLIENTS[0].train
    present = train.present.copy()
    present[:, 2] = False
    weights = ridge(normal_equations(FEDERATION, train._replace(present=present)), penalty=1.0)
    assert (weights[:, 2] == 0).all()
    assert linear_scores(FEDERATION, weights, CLIENTS[0].test)["mae"] > 0
