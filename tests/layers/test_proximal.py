"""Numerical proximal steps, against brute force, closed forms and each other."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers import RELU, LeakyReLU, SigmoidCrossEntropy, SoftmaxCrossEntropy, prox, prox_risk

FUNCTIONS = {
    "tanh": (jnp.tanh, np.tanh),
    "sigmoid": (jax.nn.sigmoid, lambda z: 1 / (1 + np.exp(-z))),
    "sin": (jnp.sin, np.sin),
    "softplus": (jax.nn.softplus, lambda z: np.logaddexp(z, 0)),
}
SMOOTH = {name: prox(fun) for name, (fun, _) in FUNCTIONS.items()} | {"gelu": prox(jax.nn.gelu)}


@partial(jax.jit, static_argnums=0)
def solve(activation_or_risk, *given):
    return activation_or_risk.solve(*given)


def triples(scale, dtype, count=4000):
    random = np.random.default_rng(0)
    return [jnp.asarray(scale * random.normal(size=count), dtype) for _ in range(3)]


def objective(fun, z, s, q, z_old):
    """In float64, whatever the arrays."""
    z, s, q, z_old = (np.asarray(x, np.float64) for x in (z, s, q, z_old))
    return (z - s) ** 2 + (q - np.asarray(fun(z))) ** 2 + (z - z_old) ** 2


@pytest.mark.parametrize("scale", [0.1, 3, 10])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_grid_finds_a_better_point(name, scale, x64):
    _, plain = FUNCTIONS[name]
    s, q, z_old = triples(scale, "float64", 400)
    solved = solve(SMOOTH[name], s, q, z_old)
    grid = np.linspace(-6 * scale, 6 * scale, 20_001)[:, None]
    value = objective(plain, solved, s, q, z_old)
    assert (value <= objective(plain, grid, s, q, z_old).min(axis=0) + 1e-9 * scale**2).all()
    assert (value <= objective(plain, z_old, s, q, z_old) * (1 + 1e-14)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SMOOTH)
def test_the_derivative_vanishes_to_rounding(name, dtype, x64):
    s, q, z_old = triples(3, dtype)
    z = solve(SMOOTH[name], s, q, z_old)
    f, slope = jax.jvp(SMOOTH[name], (z,), (jnp.ones_like(z),))
    terms = (z - s, z - z_old, -(q - f) * slope)
    size = sum(map(jnp.abs, (*terms, z, q, f)))
    assert float((jnp.abs(sum(terms)) / size).max()) < 32 * jnp.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("closed", [RELU, LeakyReLU(0.1), LeakyReLU(-0.5)], ids=str)
def test_a_numerical_step_is_the_closed_form(closed, dtype, x64):
    s, q, z_old = triples(3, dtype)
    expected, solved = closed.solve(s, q, z_old), solve(prox(closed), s, q, z_old)
    eps = jnp.finfo(dtype).eps

    def plain(z):
        return np.where(z >= 0, z, closed.slope * z)

    best = objective(plain, expected, s, q, z_old)
    assert (objective(plain, solved, s, q, z_old) <= best + 50 * eps * (1 + best)).all()
    apart = jnp.abs(solved - expected) > 20 * eps * (1 + jnp.abs(expected))
    assert int(apart.sum()) <= 1  # two minima of the same value


def test_a_solution_stays_where_it_is():
    s, q, z_old = triples(3, "float32")
    z = solve(SMOOTH["tanh"], s, q, z_old)
    for _ in range(200):  # z → z is a proximal point iteration for (z − s)² + (q − f(z))²
        z = solve(SMOOTH["tanh"], s, q, z)
    assert float(jnp.abs(solve(SMOOTH["tanh"], s, q, z) - z).max()) < 1e-5


def test_functions_that_overflow_or_end():
    """exp of 100 is infinite in float32, and log of a negative number is NaN."""
    far = jnp.array([200.0, 100.0])
    z = solve(prox(jnp.exp), far, jnp.array([1.0, 2.0]), jnp.zeros(2))
    assert np.isfinite(z).all()
    assert (jnp.exp(z) < 100).all()
    z = solve(prox(jnp.log), jnp.array([-3.0]), jnp.array([0.5]), jnp.array([1.0]))
    assert float(z[0]) > 0


def test_nan_is_not_hidden():
    nan, one = jnp.array([jnp.nan, 1.0]), jnp.ones(2)
    for given in ((nan, one, one), (one, nan, one), (one, one, nan)):
        assert np.isnan(solve(SMOOTH["tanh"], *given)).tolist() == [True, False]


@pytest.mark.parametrize("fun", [jax.nn.softmax, lambda x: (x, x), lambda x: x > 0])
def test_refuses_what_is_no_scalar_function(fun):
    with pytest.raises(ValueError, match="prox takes a JAX function of an array, element by elem"):
        prox(fun)


def test_refuses_no_cells_and_no_steps():
    with pytest.raises(ValueError, match="cells= must be at least 1, got 0"):
        prox(jnp.tanh, cells=0)
    with pytest.raises(ValueError, match="max_steps= must be at least 1, got 0"):
        prox_risk(lambda z, y: jnp.sum(z), max_steps=0)


def rows(dtype="float64", count=50, classes=5):
    random = np.random.default_rng(1)
    s, z = (jnp.asarray(3 * random.normal(size=(count, classes)), dtype) for _ in range(2))
    return s, jax.nn.one_hot(jnp.arange(count) % classes, classes, dtype=dtype), z


@pytest.mark.parametrize("nu", [1e-3, 30.0])
def test_a_numerical_risk_is_the_one_of_the_toolkit(nu, x64):
    s, y, z = rows()
    softmax = prox_risk(lambda z, y: jax.nn.logsumexp(z) - jnp.sum(y * z))
    labels = prox_risk(lambda z, y: jnp.sum(jax.nn.softplus(z) - y * z))
    pairs = ((softmax, SoftmaxCrossEntropy(max_steps=100)), (labels, SigmoidCrossEntropy()))
    for numerical, known in pairs:
        assert float(numerical(z, y)) == pytest.approx(float(known(z, y)), rel=1e-12)
        given = (s, y, jnp.asarray(nu), z)
        np.testing.assert_allclose(solve(numerical, *given), solve(known, *given), atol=1e-8)


def test_a_risk_that_is_not_convex_never_rises(x64):
    """cos has saddles and maxima, where Newton's method alone would go."""
    s, y, z = rows()
    wild = prox_risk(lambda z, y: jnp.sum(4 * jnp.cos(2 * z) - y * z), max_steps=1)
    nu = jnp.asarray(0.1)

    def values(z):
        return 4 * jnp.cos(2 * z).sum(1) - (y * z).sum(1) + 0.05 * ((z - s) ** 2).sum(1)

    found = [values(z)]
    for _ in range(60):
        z = solve(wild, s, y, nu, z)
        found.append(values(z))
    assert all((b <= a + 1e-12).all() for a, b in pairwise(found))
    z = solve(prox_risk(wild.fun), s, y, nu, z)
    gradient = -8 * jnp.sin(2 * z) - y + nu * (z - s)
    assert float(jnp.abs(gradient).max()) < 1e-9


def test_a_numerical_risk_shows_nan():
    s, y, z = rows("float32")
    squared = prox_risk(lambda z, y: jnp.sum((z - y) ** 2))
    solved = solve(squared, s.at[3, 0].set(jnp.nan), y, jnp.float32(1), z)
    assert np.isnan(solved).any(axis=1).nonzero()[0].tolist() == [3]
