"""The updates of stochastic ADMM against backpropagation and least squares."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from admm.errors import InputError
from admm.solvers.losses import binary_cross_entropy, cross_entropy, squared_error
from admm.solvers.stochastic import (
    MEMORY,
    WARM_UP,
    Place,
    StochasticADMM,
    Window,
    anchor,
    groups,
    groups_ahead,
)
from layers import Dense, forward

HIDDEN = Place(reads_data=False, is_last=False)
LAST = Place(reads_data=False, is_last=True)


def dense(rng, n_in, n_out):
    return Dense(jnp.asarray(rng.normal(size=(n_in, n_out))), jnp.asarray(rng.normal(size=n_out)))


def window(p, delta, s):
    return Window(p[None], delta[None], jnp.sum(s**2)[None])


LOSSES = {
    "cross_entropy": (cross_entropy, np.array([0, 2, 1, 2, 0])),
    "binary_cross_entropy": (binary_cross_entropy, np.array(5 * [[0.0, 1.0, 1.0]])),
    "squared_error": (squared_error, np.arange(15.0).reshape(5, 3)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_multiplier_is_the_gradient_of_backpropagation(name, x64):
    """At full consistency, where nothing has moved since a batch went up."""
    loss, targets = LOSSES[name][0], jnp.asarray(LOSSES[name][1])
    rng = np.random.default_rng(1)
    network = [dense(rng, n, m) for n, m in pairwise((4, 6, 6, 5, 3))]
    x, solver = jnp.asarray(rng.normal(size=(5, 4))), StochasticADMM(loss=loss)

    def total(network, x):
        return jnp.sum(loss(forward(network, x, jax.nn.relu), targets))

    gradients, at_input = jax.grad(total, (0, 1))(network, x)
    records, s = solver.up(network, x, last=True)
    delta, value = solver.at_top(s, targets)
    deltas, down = solver.down(network, records, delta)
    np.testing.assert_allclose(value, total(network, x), rtol=1e-12)
    np.testing.assert_allclose(down, at_input, atol=1e-10)
    for record, delta, gradient in zip(records, deltas, gradients, strict=True):
        np.testing.assert_allclose(record.p.T @ delta, gradient.W, atol=1e-10)
        np.testing.assert_allclose(delta.sum(axis=0), gradient.b, atol=1e-10)


def test_parts_of_a_network_hand_on_what_the_whole_has(x64):
    rng = np.random.default_rng(2)
    network = [dense(rng, 4, 4) for _ in range(4)]
    x, targets = jnp.asarray(rng.normal(size=(5, 4))), jnp.array([0, 1, 2, 3, 0])
    solver = StochasticADMM()
    records, s = solver.up(network, x, last=True)
    lower, q = solver.up(network[:2], x, last=False)
    upper, top = solver.up(network[2:], q, last=True)
    np.testing.assert_array_equal(top, s)
    deltas, _ = solver.down(network, records, solver.at_top(s, targets)[0])
    above, g = solver.down(network[2:], upper, solver.at_top(top, targets)[0])
    below, _ = solver.down(network[:2], lower, solver.pull(lower[-1].s, g))
    for one, other in zip(deltas, [*below, *above], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_w_step_solves_least_squares(x64):
    """η = 1, ω = 0, κ = ∞: the damped Newton step of a quadratic function."""
    rng = np.random.default_rng(3)
    p, y = jnp.asarray(rng.normal(size=(40, 6))), jnp.asarray(rng.normal(size=(40, 3)))
    solver = StochasticADMM(loss=squared_error, reach=None)
    layer = solver.init(dense(rng, 6, 3))
    W, b = layer.params
    s = p @ W + b
    delta, _ = solver.at_top(s, y)
    layer, bound = solver.step(layer, window(p, delta, s), 1, 1.0, 0.0, LAST)
    rows, before = np.c_[p, np.ones(40)], np.vstack([W, b])
    weight = np.sqrt(np.sum(rows**2) / 7 + 40e-6)  # √(40 ε) of the penalty of the change
    expected = np.linalg.lstsq(
        np.vstack([rows, weight * np.eye(7)]), np.vstack([y, weight * before]), rcond=None
    )[0]
    np.testing.assert_allclose(np.vstack(layer.params), expected, atol=1e-10)
    assert not bound


def explicit_step(solver, layer, p, delta, s, rate, decay, place, moment, k):
    """A W-step by the equations of the docstring, with the inverse of the whole matrix."""
    rows = np.c_[p, np.ones(len(p))]
    moment = MEMORY * moment + (1 - MEMORY) * rows.T @ rows / len(rows)
    A = moment / (1 - MEMORY**k)
    epsilon = solver.damping * np.trace(A) / len(A) + 1e-6
    D = rate * np.linalg.inv(A + epsilon * np.eye(len(A))) @ rows.T @ delta / len(rows)
    room = np.sqrt((s**2).sum() / len(s))
    room = solver.reach * (max(room, 1) if place.is_last else room)
    length = np.sqrt(np.trace(D.T @ A @ D))
    D = D * min(1, room / length)
    W0 = np.vstack([anchor(layer.params.W.shape, place, "float64"), np.zeros(delta.shape[1])])
    W = np.vstack(layer.params)
    moved = (W - D + rate * decay * W0) / (1 + rate * decay)
    moved[-1] = W[-1] - D[-1]  # b
    return moved, moment, room < length


@pytest.mark.parametrize("place", [HIDDEN, LAST])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_w_steps_are_those_of_the_equations(scale, place, x64):
    """Factorised anew every time; at the large scale κ binds."""
    rng = np.random.default_rng(4)
    solver = StochasticADMM(factor_every=1)
    layer, moment, bound = solver.init(dense(rng, 4, 4)), np.zeros((5, 5)), []
    for k in range(1, 4):
        p, delta, s = (rng.normal(size=(10, 4)) for _ in range(3))
        given = p, scale * delta, s
        expected, moment, capped = explicit_step(solver, layer, *given, 0.5, 0.1, place, moment, k)
        layer, found = solver.step(layer, window(*map(jnp.asarray, given)), 1, 0.5, 0.1, place)
        np.testing.assert_allclose(np.vstack(layer.params), expected, rtol=1e-9)
        assert bool(found) == capped
        bound.append(capped)
    assert all(bound) == (scale > 1)


def test_micro_batches_beyond_the_count_do_not_count(x64):
    rng = np.random.default_rng(5)
    solver, layer = StochasticADMM(), StochasticADMM().init(dense(rng, 4, 3))
    p, delta, s = (jnp.asarray(rng.normal(size=(3, 10, n))) for n in (4, 3, 3))
    squares = jnp.sum(s**2, axis=(1, 2))
    whole = solver.step(layer, Window(p[:2], delta[:2], squares[:2]), 2, 0.3, 0.0, HIDDEN)[0]
    part = solver.step(layer, Window(p, delta, squares), 2, 0.3, 0.0, HIDDEN)[0]
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_inverses_are_kept_after_the_first_steps(x64):
    rng = np.random.default_rng(6)
    solver = StochasticADMM(factor_every=4)
    layer, inverses = solver.init(dense(rng, 3, 2)), []
    for _ in range(WARM_UP + 8):
        p, delta = jnp.asarray(rng.normal(size=(8, 3))), jnp.asarray(rng.normal(size=(8, 2)))
        layer, _ = solver.step(layer, window(p, delta, delta), 1, 0.1, 0.0, HIDDEN)
        inverses.append(np.asarray(layer.inverse).copy())
    anew = [not np.array_equal(a, b) for a, b in pairwise(inverses)]
    assert all(anew[: WARM_UP - 1])
    assert [n + 1 for n, new in enumerate(anew) if new and n + 1 >= WARM_UP] == [
        WARM_UP,
        WARM_UP + 4,
    ]


def test_any_decay_is_stable(x64):
    """It is the proximal step of ω/2‖W − W⁰‖²: at most W⁰ itself."""
    solver, layer = StochasticADMM(), StochasticADMM().init(dense(np.random.default_rng(7), 3, 3))
    still = window(jnp.ones((4, 3)), jnp.zeros((4, 3)), jnp.ones((4, 3)))
    b = layer.params.b.copy()
    layer, _ = solver.step(layer, still, 1, 1.0, 1e9, HIDDEN)
    np.testing.assert_allclose(layer.params.W, np.eye(3), atol=1e-8)
    np.testing.assert_array_equal(layer.params.b, b)


@given(st.integers(1, 3000), st.integers(1, 100))
def test_an_epoch_is_a_whole_number_of_w_steps(batches, least):
    found = groups(batches, least)
    assert [n for group in found for n in group] == list(range(batches))
    sizes = [len(group) for group in found]
    assert max(sizes) - min(sizes) <= 1
    assert len(found) == max(1, batches // least)


@given(st.integers(1, 3000), st.integers(1, 100), st.integers(0, 100))
def test_groups_ahead_have_every_micro_batch_once(batches, least, ticks):
    found, ahead = groups(batches, least), groups_ahead(groups(batches, least), ticks)
    assert [n for group in ahead for n in group] == list(range(batches))
    assert len(ahead) == len(found)


def test_dropout_keeps_the_mean():
    x = jnp.ones((2000, 3))
    dropped = StochasticADMM(dropout=0.25).drop(x, jax.random.key(0))
    np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(dropped.mean(), 1, atol=0.05)
    assert StochasticADMM().drop(x, jax.random.key(0)) is x


@pytest.mark.parametrize(
    ("name", "value"),
    [("damping", 0.0), ("reach", 0.0), ("factor_every", 0), ("dropout", 1.0)],
)
def test_settings_out_of_range_are_told(name, value):
    with pytest.raises(InputError, match=f"{name}= must be"):
        StochasticADMM(**{name: value})
