"""Scores of labelled rows, against scikit-learn."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from admm import checked_graph, evaluate, options, predict, train
from admm.datasets import Split
from admm.methods.labelled import Labelled
from admm.methods.tasks import roc_auc


def labelled(train, val, test, classes):
    labels = np.concatenate([train, val, test])
    return Labelled({"classes": classes}, labels, (len(train), len(val), len(test)))


def softmax(logits):
    given = np.asarray(logits, np.float64)
    powers = np.exp(given - given.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def skewed(random, classes, rows):
    weights = 2.0 ** -np.arange(classes)
    return random.choice(classes, rows, p=weights / weights.sum())


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_against_scikit_learn(classes):
    """Rounded logits: many rows tie."""
    random = np.random.default_rng(classes)
    parts = [np.r_[np.arange(classes), skewed(random, classes, 400)] for _ in range(3)]
    facts = labelled(*parts, classes)
    logits = random.normal(size=(len(facts.labels), classes)).round(1)
    logits = (logits + np.eye(classes)[facts.labels]).astype(np.float32)
    found = facts.other_scores(jnp.asarray(logits))
    every = zip(("train", "val", "test"), parts, np.split(logits, 3), strict=True)
    for name, labels, own in list(every)[1:]:
        balanced = balanced_accuracy_score(labels, own.argmax(axis=1))
        ranked = softmax(own)
        ranked = ranked[:, 1] if classes == 2 else ranked
        assert found[f"{name}_balanced_accuracy"] == pytest.approx(balanced)
        auc = roc_auc_score(labels, ranked, multi_class="ovr")
        assert found[f"{name}_roc_auc"] == pytest.approx(auc, abs=1e-6)
    assert set(found) == {
        f"{p}_{s}" for p in ("val", "test") for s in ("balanced_accuracy", "roc_auc")
    }


def test_classes_that_a_part_lacks():
    """Its mean is over those that it has; with one class it has no area under a curve."""
    facts = labelled([0, 1, 2], [0, 0, 2, 2, 2], [1, 1], classes=3)
    random = np.random.default_rng(0)
    logits = random.normal(size=(10, 3))
    found = facts.other_scores(jnp.asarray(logits))
    val = slice(3, 8)
    right = logits[val].argmax(axis=1) == [0, 0, 2, 2, 2]
    assert found["val_balanced_accuracy"] == pytest.approx(
        (right[:2].mean() + right[2:].mean()) / 2
    )
    areas = [
        roc_auc_score(facts.labels[val] == each, softmax(logits)[val, each]) for each in (0, 2)
    ]
    assert found["val_roc_auc"] == pytest.approx(np.mean(areas))
    assert "test_roc_auc" not in found
    assert found["test_balanced_accuracy"] == (logits[8:].argmax(axis=1) == 1).mean()


def test_a_majority_that_is_always_named_is_no_skill():
    labels = np.repeat([0, 1], [97, 3])
    facts = labelled(labels, labels, labels, classes=2)
    logits = jnp.asarray(np.tile([5.0, 0.0], (300, 1)))
    found = facts.scores(logits)
    assert found["val_accuracy"] == pytest.approx(0.97)
    assert (found["val_balanced_accuracy"], found["val_roc_auc"]) == (0.5, 0.5)


def test_logits_that_are_not_finite():
    """They show in the loss; the scores are numbers all the same."""
    facts = labelled([0, 1], [0, 1], [0, 1], classes=2)
    for value in (jnp.nan, jnp.inf):
        found = facts.other_scores(jnp.full((6, 2), value))
        assert len(found) == 4
        assert np.isfinite(list(found.values())).all()


def test_roc_auc_by_hand():
    positive = np.array([True, True, False, False, False])
    assert roc_auc(positive, np.array([3.0, 1, 2, 1, 0])) == pytest.approx((3 + 1.5) / 6)


def skewed_rows(part_of_one_class=False):
    random = np.random.default_rng(0)
    labels = skewed(random, 3, 600)
    features = random.normal(size=(600, 6)) + 2 * np.eye(3, 6)[labels]
    nodes = np.arange(600)
    if not part_of_one_class:
        return checked_graph("skewed", None, features, labels)
    test = np.flatnonzero(labels == 0)[:50]
    rest = np.setdiff1d(nodes, test)
    return checked_graph("skewed", None, features, labels, Split(rest[:200], rest[200:400], test))


@pytest.mark.parametrize("solver", ["pdadmm-g", "adam", "gsam"])
def test_every_line_of_a_history_has_them(solver, tmp_path):
    data = skewed_rows()
    given = {"layers": 2, "hidden": 8, "epochs": 4, "out": tmp_path}
    result = train(
        options(solver, **given, **({"batch": 20} if solver == "gsam" else {})), data=data
    )
    names = {f"{p}_{s}" for p in ("val", "test") for s in ("balanced_accuracy", "roc_auc")}
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert all(names <= set(line) for line in lines)
    probabilities = predict(tmp_path, data=data)
    found, best = evaluate(tmp_path, data=data), result.summary["best"]
    assert list(found) == ["train", "val", "test", *sorted(names, key=list(best).index)]
    for part in ("val", "test"):
        own = getattr(data.split, part)
        labels, ranked = data.labels[own], probabilities[own]
        area = roc_auc_score(labels, ranked / ranked.sum(axis=1, keepdims=True), multi_class="ovr")
        assert found[f"{part}_roc_auc"] == pytest.approx(area, abs=1e-3)
        assert best[f"{part}_roc_auc"] == pytest.approx(area, abs=1e-3)
        balanced = balanced_accuracy_score(labels, ranked.argmax(axis=1))
        assert found[f"{part}_balanced_accuracy"] == pytest.approx(balanced, abs=1e-3)


def test_a_part_of_one_class_in_a_run(tmp_path):
    """The key is missing in every line, and the run is not taken for one that diverges."""
    given = options("adam", layers=2, hidden=8, epochs=3, out=tmp_path)
    result = train(given, data=skewed_rows(part_of_one_class=True))
    assert all("test_roc_auc" not in line and "val_roc_auc" in line for line in result.history)
    assert result.summary["status"] == "done"
