"""Federated solvers: what is the same to the bit, and a convex problem with a known optimum."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from admm.solvers.federated import LocalSolver, Pull, move_dual, weighted_mean
from quant import make_codec

CLIENTS, ROUNDS, RHO, RIDGE = 12, 1000, 0.01, 0.01


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


# Ridge regression over the stations of Beijing, with exact local solutions.

POLLUTANTS = ("PM2.5", "PM10", "NO2", "CO", "O3", "SO2")


def windows(series, wind, columns):
    """Rows of six hours of 15 inputs; the pollutants an hour later; where none is missing."""
    train = slice(0, 24 * (np.datetime64("2016-03-01") - np.datetime64("2013-03-01")).astype(int))
    raw = series.copy()
    logged = [list(columns).index(name) for name in (*POLLUTANTS, "RAIN")]
    raw[:, logged] = np.log1p(raw[:, logged])
    mean, deviation = np.nanmean(raw[train], axis=0), np.nanstd(raw[train], axis=0)
    raw = (raw - mean) / deviation
    filled, median = raw.copy(), np.nanmedian(raw[train], axis=0)
    for hour, row in enumerate(filled):
        gaps = np.isnan(row)
        row[gaps] = filled[hour - 1][gaps] if hour else median[gaps]
    angles = 2 * np.pi * np.stack([wind / 16, np.arange(len(wind)) % 24 / 24], axis=1)
    angles = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    angles[wind < 0, ::2] = 0
    inputs = np.concatenate([filled, angles], axis=1)
    starts = np.arange(0, train.stop - 6, 97)[:230]
    rows = np.stack([inputs[start : start + 6].ravel() for start in starts])
    targets = raw[starts + 6][:, logged[:-1]]
    return np.column_stack([rows, np.ones(len(rows))]), targets, ~np.isnan(targets).any(axis=1)


@pytest.fixture(scope="module")
def ridge(data_dir):
    """A_kᵀA_k/N + λ/K I and A_kᵀb_k/N of every client, and the centralised solution; float64."""
    with np.load(data_dir / "sensors" / "beijing_multisite.npz") as file:
        stations = zip(file["series"].astype(float), file["wind_direction"], strict=True)
        every = [windows(*station, file["columns"]) for station in stations]
    rng = np.random.default_rng(0)
    counts, chosen = rng.integers(20, 230, CLIENTS), []
    for (rows, targets, whole), count in zip(every, counts, strict=True):
        start = rng.integers(0, 231 - count)
        own = np.arange(start, start + count)
        own = own[whole[own]]
        chosen.append((rows[own], targets[own]))
    total = sum(len(rows) for rows, _ in chosen)
    unit = RIDGE / CLIENTS * np.eye(chosen[0][0].shape[1])
    A = np.stack([rows.T @ rows / total + unit for rows, _ in chosen])
    B = np.stack([rows.T @ targets / total for rows, targets in chosen])
    assert A.shape == (CLIENTS, 91, 91)
    return A, B, np.linalg.solve(A.sum(axis=0), B.sum(axis=0))


def consensus(ridge, codec, offline=0.0, rule="all"):
    """The relative distance to the centralised solution after every round."""
    A, B, optimum = ridge
    inverse = np.linalg.inv(A + RHO * np.eye(A.shape[1]))
    shape, codec = B.shape[1:], make_codec(codec)
    coded = jax.vmap(lambda x, last: codec.decode(codec.encode(x, last), last))

    @jax.vmap
    def solve(inverse, B, centre):
        return (inverse @ (B + RHO * centre.reshape(shape))).ravel()

    def one_round(carry, there):
        z, z_hat, m_hat, u = carry
        column, every = there[:, None], jnp.ones(CLIENTS)
        z_hat = jnp.where(column, coded(jnp.broadcast_to(z, z_hat.shape), z_hat), z_hat)
        w = solve(inverse, B, z_hat - u)
        u = jnp.where(column, jax.vmap(move_dual)(u, w, z_hat), u)
        answers = jnp.where(column, coded(w + u, m_hat), m_hat)
        if rule == "all":
            z = weighted_mean(answers, every)
        elif rule == "mean over the present":
            z = weighted_mean(answers, there.astype(float))
        else:
            z = z + weighted_mean(answers - m_hat, there.astype(float))
        return (z, z_hat, answers, u), jnp.linalg.norm(z - optimum.ravel())

    there = np.random.default_rng(0).random((ROUNDS, CLIENTS)) >= offline
    assert there.any(axis=1).all()
    zeros = jnp.zeros((CLIENTS, optimum.size))
    start = zeros[0], zeros, zeros, zeros
    _, errors = jax.jit(partial(jax.lax.scan, one_round))(start, jnp.asarray(there))
    return np.asarray(errors / jnp.linalg.norm(optimum))


@pytest.mark.parametrize("codec", ["float64", "float32", "delta8", "delta4", "delta2"])
def test_coded_consensus_reaches_the_centralised_solution(ridge, x64, codec):
    assert consensus(ridge, codec)[-1] <= 1e-3


def test_codes_without_a_memory_stall(ridge, x64):
    errors = consensus(ridge, "uniform4")
    assert errors[ROUNDS // 2 :].min() > 0.05


@pytest.mark.parametrize("codec", ["float64", "delta4"])
def test_consensus_converges_with_clients_offline(ridge, x64, codec):
    assert consensus(ridge, codec, offline=0.3)[-1] <= 3e-3


@pytest.mark.parametrize("rule", ["mean over the present", "mean change of the present"])
def test_other_server_rules_diverge_with_clients_offline(ridge, x64, rule):
    """They are no options: with all clients there, they are the rule that is.

    The second grows without end; the first strays to many times the distance of its start.
    """
    assert consensus(ridge, "float64", rule=rule)[-1] <= 1e-3
    errors = consensus(ridge, "float64", offline=0.3, rule=rule)
    assert not errors[ROUNDS // 2 :].max() < 10
