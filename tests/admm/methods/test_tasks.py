"""Scores of real numbers and of several labels, against scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from admm.methods.tasks import Measured, MultiLabelled

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_r2(shape):
    y = RANDOM.normal(size=(60, *shape))
    f = (y + RANDOM.normal(size=y.shape)).astype("float32")
    found = Measured({}, y, (30, 20, 10)).main_scores(jnp.asarray(f))
    for part, rows in (("train", slice(30)), ("val", slice(30, 50)), ("test", slice(50, 60))):
        expected = r2_score(y[rows].reshape(len(y[rows]), -1), f[rows].reshape(len(y[rows]), -1))
        assert found[part] == pytest.approx(expected, rel=1e-5)


def test_r2_of_numbers_that_are_all_the_same():
    y = np.ones((4, 2))
    f = y.astype("float32") + np.array([0, 1], "float32")
    assert Measured({}, y, (4, 0, 0)).main_scores(jnp.asarray(f)) == {"train": 0.5}
    assert r2_score(y, f) == 0.5


def test_r2_of_what_is_not_finite():
    task = Measured({}, np.arange(4.0), (2, 2, 0))
    assert not np.isfinite(list(task.main_scores(jnp.full(4, jnp.inf)).values())).any()
    assert np.isnan(list(task.main_scores(jnp.full(4, jnp.nan)).values())).all()


def test_labels_of_which_a_part_has_one_kind():
    y = RANDOM.integers(0, 2, (30, 3))
    y[10:20, 1] = 0
    y[20:, :] = 1
    logits = RANDOM.normal(size=(30, 3)).astype("float32")
    task = MultiLabelled({}, y, (10, 10, 10))
    assert task.main_scores(jnp.asarray(logits))["val"] == ((logits > 0) == y)[10:20].mean()
    areas = [roc_auc_score(y[10:20, n], logits[10:20, n]) for n in (0, 2)]
    found = task.other_scores(jnp.asarray(logits))
    assert found == {"val_roc_auc": pytest.approx(np.mean(areas))}
