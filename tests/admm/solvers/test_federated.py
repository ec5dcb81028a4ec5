"""Federated solvers: what is the same to the bit, and a convex problem with a known optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from admm.solvers.federated import LocalSolver, Pull, weighted_mean
from benchmarks.federated_convex import distances, ridge_problem, summed_distances


def pull(rho=0.0, centre=0.0, correction=0.0):
    return Pull(jnp.float32(rho), jnp.full(3, centre), jnp.zeros(3) + correction)


def squares(w, v, batch):
    return jnp.sum((w + v - batch) ** 2)


def test_the_local_steps_are_those_of_the_optimiser():
    solver = LocalSolver(squares, optax.adam(0.1))
    w, v = jnp.arange(3.0), jnp.ones(3)
    batches = jax.random.normal(jax.random.key(0), (4, 3))
    factors = jnp.linspace(1, 0.5, 4)
    given = pull(0.5, 2.0, 0.25)
    found = solver.solve(solver.init(w, v), given, batches, factors)
    pair, memory = (w, v), optax.adam(0.1).init((w, v))
    gradients, losses = [], []
    for batch, factor in zip(batches, factors, strict=True):
        g, h = jax.grad(squares, (0, 1))(*pair, batch)
        losses.append(squares(*pair, batch))
        gradients.append(g)
        with jax.numpy_dtype_promotion("standard"):
            moves, memory = optax.adam(0.1).update((g + 0.5 * (pair[0] - 2) + 0.25, h), memory)
        pair = jax.tree.map(lambda x, move, by=factor: x + by * move, pair, moves)
    np.testing.assert_allclose(found.client.w, pair[0], rtol=1e-5)
    np.testing.assert_allclose(found.client.v, pair[1], rtol=1e-5)
    np.testing.assert_allclose(found.gradient, np.mean(gradients, axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.loss, np.mean(losses), rtol=1e-5)


def test_the_mean_gradient_is_option_two_of_scaffold():
    """(z − w)/(E η) + c_k − c, for gradient descent."""
    rate, steps, correction = 0.05, 7, jnp.array([0.5, -1.0, 2.0])
    solver = LocalSolver(squares, optax.sgd(rate))
    z = jnp.arange(3.0)
    batches = jax.random.normal(jax.random.key(0), (steps, 3))
    found = solver.solve(
        solver.init(z, jnp.zeros(3)), pull(correction=correction), batches, jnp.ones(steps)
    )
    wanted = (z - found.client.w) / (steps * rate) - correction
    np.testing.assert_allclose(found.gradient, wanted, rtol=1e-4)


def test_one_function_serves_all_methods():
    solver = LocalSolver(squares, optax.sgd(0.1))
    client, batches = solver.init(jnp.zeros(3), jnp.zeros(3)), jnp.zeros((2, 3))
    solver.solve(client, pull(), batches, jnp.ones(2))
    compiled = LocalSolver.solve._cache_size()
    solver.solve(client, pull(0.1, 1.0, 2.0), batches, jnp.zeros(2))
    assert LocalSolver.solve._cache_size() == compiled


def test_an_absent_client_adds_nothing():
    arrays = jax.random.normal(jax.random.key(0), (5, 300))
    present = jnp.array([0, 2, 3])
    some = weighted_mean(arrays, jnp.array([1.0, 0, 1, 1, 0]))
    np.testing.assert_array_equal(some, weighted_mean(arrays[present], jnp.ones(3)))


# A problem with a known optimum, with exact local solutions.

HALF = 500  # rounds


@pytest.fixture(scope="module")
def problem(data_dir):
    found = ridge_problem(data_dir)
    assert found.A.shape == (12, 91, 91)
    assert np.linalg.cond(found.A.sum(axis=0)) > 2000
    return found


@pytest.mark.parametrize(
    "codec",
    [
        *("float64", "delta4", "delta2"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("float32", "delta8")),
    ],
)
def test_coded_consensus_reaches_the_centralised_solution(problem, x64, codec):
    assert distances(problem, codec)[-1] <= 1e-3


def test_sums_of_fine_codes_are_means(problem, x64):
    few = {"offline": 0.3, "rounds": 30}
    found = summed_distances(problem, "common16", **few)
    np.testing.assert_allclose(found, distances(problem, "float64", **few), rtol=1e-3)


def test_codes_without_a_memory_stall(problem, x64):
    assert distances(problem, "uniform4")[HALF:].min() > 0.05


@pytest.mark.parametrize("codec", ["float64", "delta4"])
def test_consensus_converges_with_clients_offline(problem, x64, codec):
    assert distances(problem, codec, offline=0.3)[-1] <= 3e-3


@pytest.mark.parametrize("rule", ["present", "change"])
def test_other_server_rules_diverge_with_clients_offline(problem, x64, rule):
    """They are no options: with all clients there, they are the rule that is.

    The second grows without end; the first strays to many times the distance of its start.
    """
    assert distances(problem, "float64", rule=rule)[-1] <= 1e-3
    assert not distances(problem, "float64", offline=0.3, rule=rule)[HALF:].max() < 10
