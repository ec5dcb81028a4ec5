from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError, prox_risk


def problem(nodes=40, classes=7, scale=3.0):
    keys = jax.random.split(jax.random.key(0), 3)
    s = scale * jax.random.normal(keys[0], (nodes, classes))
    z = scale * jax.random.normal(keys[1], (nodes, classes))
    targets = jax.nn.one_hot(jax.random.randint(keys[2], (nodes,), 0, classes), classes)
    return s, z, targets.astype(s.dtype)


@pytest.mark.parametrize("nu", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("risk", [SoftmaxCrossEntropy(), SquaredError()])
def test_the_proximal_problem_is_solved(risk, nu, x64):
    s, start, targets = problem()
    solved = risk.solve(s, targets, jnp.asarray(nu), start)
    gradient = jax.grad(lambda z: risk(z, targets) + nu / 2 * jnp.sum((z - s) ** 2))(solved)
    assert float(jnp.abs(gradient).max()) < 1e-9


@pytest.mark.parametrize("nu", [1e-4, 1e-2, 1.0])
def test_a_confidently_wrong_start_recovers(nu):
    s, _, targets = problem()
    start = 30 * jnp.roll(targets, 1, axis=1)  # certain of a wrong class: a vanishing Hessian
    risk = SoftmaxCrossEntropy(max_steps=60)
    solved = risk.solve(s, targets, jnp.float32(nu), start)
    gradient = jax.nn.softmax(solved) - targets + nu * (solved - s)
    assert float(jnp.abs(gradient).max()) < 1e-3


def test_the_objective_never_rises():
    s, z, targets = problem()
    nu = jnp.float32(1e-3)
    risk = SoftmaxCrossEntropy(max_steps=1)

    def objective(z):
        return float(risk(z, targets) + nu / 2 * jnp.sum((z - s) ** 2))

    values = [objective(z)]
    for _ in range(20):
        z = risk.solve(s, targets, nu, z)
        values.append(objective(z))
    assert all(b <= a * (1 + 1e-6) for a, b in pairwise(values))


@pytest.mark.parametrize(
    ("s", "targets", "nu"),
    [
        # A full Newton step is no better, within rounding, and far from the minimum.
        ([2.1402, 0.1954, -0.0995, 0.0956, -1.0231, 0.2875, 0.4589], [0, 0, 1, 0, 0, 0, 0], 1e-5),
        # A full Newton step lands where the gradient says little.
        ([2.2, -1.4], [0.02, 0.98], 1e-3),
    ],
)
def test_small_penalties_are_solved_from_s(s, targets, nu):
    s, targets = (jnp.asarray([row], "float32") for row in (s, targets))
    solved = SoftmaxCrossEntropy().solve(s, targets, jnp.float32(nu), s)
    gradient = jax.nn.softmax(solved) - targets + nu * (solved - s)
    assert float(jnp.abs(gradient).max()) < 1e-6


@pytest.mark.parametrize("where", ["s", "targets"])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_what_is_not_finite_is_not_hidden(where, value):
    s, z, targets = problem()
    given = {"s": s, "targets": targets}
    given[where] = given[where].at[0, 0].set(value)
    solved = SoftmaxCrossEntropy().solve(given["s"], given["targets"], jnp.float32(1.0), z)
    assert np.isnan(solved[0]).any()
    assert np.isfinite(solved[1:]).all()


@pytest.mark.parametrize("nu", [1e-3, 1.0])
def test_a_row_does_not_depend_on_the_others(nu):
    """Not on those for which a full Newton step goes too far either."""
    s, z, targets = problem(nodes=12)
    start = z.at[:3].set(30 * jnp.roll(targets, 1, axis=1)[:3])
    risk = SoftmaxCrossEntropy(max_steps=3)
    together = risk.solve(s, targets, jnp.float32(nu), start)
    for node in range(12):
        own = slice(node, node + 1)
        alone = risk.solve(s[own], targets[own], jnp.float32(nu), start[own])
        np.testing.assert_allclose(alone[0], together[node], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nu", [1e-4, 1.0, 100.0])
def test_labels_are_solved_to_rounding(nu, dtype, x64):
    s, start, _ = problem(scale=10.0)
    s, start = s.astype(dtype), start.astype(dtype)
    targets = (s + start > 0).astype(dtype)
    z = SigmoidCrossEntropy().solve(s, targets, jnp.asarray(nu, dtype), 10 * start)
    gradient = jax.nn.sigmoid(z) - targets + nu * (z - s)
    size = 1 + nu * (jnp.abs(z) + jnp.abs(s))
    assert float((jnp.abs(gradient) / size).max()) < 8 * jnp.finfo(dtype).eps


def test_risks_say_where_to_start():
    s, _, targets = problem()
    for risk in (SoftmaxCrossEntropy(), SigmoidCrossEntropy()):
        np.testing.assert_array_equal(risk.start(s, targets), jnp.where(targets == 1, 1.0, -1.0))
    np.testing.assert_array_equal(SquaredError().start(s, 7 * s), 7 * s)
    np.testing.assert_array_equal(prox_risk(lambda z, y: jnp.sum(z)).start(s, targets), s)
