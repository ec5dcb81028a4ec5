"""Losses that skip missing targets: they are those of the rest, and never NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers.masked import bce, cross_entropy, l1, squared_error

OUTPUTS = jnp.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])
LABELS = jnp.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
THERE = jnp.array([[True, False], [True, True], [False, True]])
CLASSES, KNOWN = jnp.array([1, 0, 1]), jnp.array([True, False, True])
CASES = {
    "l1": (l1, LABELS, THERE, lambda y, t: np.abs(y - t)),
    "squared_error": (squared_error, LABELS, THERE, lambda y, t: 0.5 * (y - t) ** 2),
    "bce": (bce, LABELS, THERE, lambda y, t: np.log1p(np.exp(y)) - t * y),
    "cross_entropy": (
        cross_entropy,
        CLASSES,
        KNOWN,
        lambda y, t: np.log(np.exp(y).sum(axis=1)) - y[np.arange(len(t)), t],
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_a_loss_is_the_mean_over_the_targets_that_are_there(case):
    loss, targets, there, each = case
    losses = each(np.asarray(OUTPUTS, float), np.asarray(targets))
    expected = losses[np.asarray(there)].mean()
    assert loss(OUTPUTS, targets, there) == pytest.approx(expected, rel=1e-6)


def test_value_and_gradient_do_not_see_what_stands_for_a_missing_target(case):
    loss, targets, there, _ = case
    missing = -7 if targets.dtype == jnp.int32 else jnp.nan
    others = jnp.where(there, targets, missing)
    value, gradient = jax.value_and_grad(loss)(OUTPUTS, targets, there)
    assert loss(OUTPUTS, others, there) == value
    assert (jax.grad(loss)(OUTPUTS, others, there) == gradient).all()
    rows = there if there.ndim == 2 else there[:, None]
    assert (jnp.where(rows, 0, gradient) == 0).all()
    assert (gradient != 0).any()


def test_without_any_target_loss_and_gradient_are_zero(case):
    loss, targets, there, _ = case
    none, missing = jnp.zeros_like(there), jnp.full_like(targets, -1)
    value, gradient = jax.value_and_grad(loss)(OUTPUTS, missing, none)
    assert value == 0
    assert (gradient == 0).all()


def test_a_network_that_is_not_finite_shows_in_the_loss(case):
    loss, targets, there, _ = case
    assert jnp.isnan(loss(jnp.full_like(OUTPUTS, jnp.nan), targets, there))


def test_outputs_of_float64_meet_targets_of_float32(x64, case):
    loss, targets, there, each = case
    outputs = OUTPUTS.astype("float64") / 3
    losses = each(np.asarray(outputs), np.asarray(targets))
    found = loss(outputs, targets, there)
    assert found.dtype == "float64"
    assert float(found) == pytest.approx(losses[np.asarray(there)].mean(), rel=1e-14)
