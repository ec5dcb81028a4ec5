from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers import SoftmaxCrossEntropy, SquaredError


def problem(nodes=40, classes=7, scale=3.0):
    keys = jax.random.split(jax.random.key(0), 3)
    s = scale * jax.random.normal(keys[0], (nodes, classes))
    z = scale * jax.random.normal(keys[1], (nodes, classes))
    targets = jax.nn.one_hot(jax.random.randint(keys[2], (nodes,), 0, classes), classes)
    return s, z, targets.astype(s.dtype)


@pytest.mark.parametrize("nu", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("risk", [SoftmaxCrossEntropy(tolerance=1e-10), SquaredError()])
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


def test_nan_is_not_hidden():
    s, z, targets = problem()
    s = s.at[0, 0].set(jnp.nan)
    solved = SoftmaxCrossEntropy().solve(s, targets, jnp.float32(1.0), z)
    assert np.isnan(solved[0]).any()
    assert np.isfinite(solved[1:]).all()
