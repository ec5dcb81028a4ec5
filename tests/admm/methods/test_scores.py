"""Scores of a client against scikit-learn, a column at a time."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, mean_absolute_error

from admm.methods.scores import client_scores, column_scores, smape

RANDOM = np.random.default_rng(0)


def test_errors_are_those_of_each_column_over_all_windows():
    y, f = RANDOM.normal(size=(2, 30, 4))
    present = RANDOM.random((30, 4)) < 0.7
    found = column_scores("regression", f, np.where(present, y, np.nan), present)
    for n, there in enumerate(present.T):
        expected = mean_absolute_error(y[there, n], f[there, n])
        assert found["mae"][n] == pytest.approx(expected, rel=1e-12)
    assert found["smape"].shape == (4,)


def test_smape_by_hand():
    y, f = np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([[3.0, 0.0], [2.0, 1.0]])
    assert smape(f, y, np.ones((2, 2), bool)).tolist() == [0.5, 1.0]  # (1 + 0)/2, (0 + 2)/2


def test_classes_have_the_scores_of_scikit_learn():
    y, logits = RANDOM.integers(0, 4, 60), RANDOM.normal(size=(60, 4))
    present = np.arange(60) < 50
    answers = logits.argmax(axis=1)
    found = client_scores("classes", logits, np.where(present, y, 0), present)
    for name, score in {
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda y, f: f1_score(y, f, average="macro"),
    }.items():
        assert found[name] == pytest.approx(score(y[:50], answers[:50]), rel=1e-12)


def test_a_class_that_is_answered_and_not_there_counts_in_f1_alone():
    logits = np.eye(3)[[0, 1, 2, 2]]
    found = client_scores("classes", logits, np.array([0, 1, 1, 1]), np.ones(4, bool))
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["macro_f1"] == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_labels_are_scored_each_on_its_own():
    y = RANDOM.integers(0, 2, (40, 2)).astype(np.float32)
    logits, present = RANDOM.normal(size=(40, 2)), RANDOM.random((40, 2)) < 0.8
    found = column_scores("multilabel", logits, y, present)
    for n, there in enumerate(present.T):
        expected = balanced_accuracy_score(y[there, n], logits[there, n] > 0)
        assert found["balanced_accuracy"][n] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_a_column_without_targets_has_no_part_in_the_mean(task):
    y, f = np.ones((5, 2), np.float32), RANDOM.normal(size=(5, 2))
    present = np.ones((5, 2), bool)
    present[:, 1] = False
    columns = column_scores(task, f, y, present)
    assert all(np.isnan(column[1]) for column in columns.values())
    assert client_scores(task, f, y, present) == {name: c[0] for name, c in columns.items()}


def test_without_any_target_there_is_no_score():
    with pytest.raises(ValueError, match="all targets are missing: there is nothing to score"):
        client_scores("regression", np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1), bool))
