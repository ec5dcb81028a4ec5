"""Backpropagation against automatic differentiation, optax on the whole network, known optima."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from admm.errors import InputError
from admm.solvers import LEARNING_RATES, Backprop
from admm.solvers.backprop import make_optimizer
from layers import IDENTITY, RELU, LeakyReLU, SquaredError, forward, init_dense

SHAPE = (6, 8, 7, 3)
OPTIMIZERS = {
    "gd": optax.sgd,
    "adadelta": optax.adadelta,
    "adagrad": optax.adagrad,
    "adam": optax.adam,
}


def problem(shape=SHAPE, nodes=25, dtype="float64"):
    x = jax.random.normal(jax.random.key(0), (nodes, shape[0])).astype(dtype)
    x = x.at[:3].set(0)  # as b starts at 0, these nodes meet the kink of f in every layer
    targets = jax.nn.one_hot(jnp.arange(nodes) % shape[-1], shape[-1], dtype=dtype)
    network = [init_dense(0, n, pair, 0.5, dtype) for n, pair in enumerate(pairwise(shape), 1)]
    return tuple(network), x, targets


def objective(solver, network, x, targets):
    risk = solver.risk(forward(network, x, solver.activation), targets) / len(x)
    return risk + solver.weight_decay / 2 * jnp.stack([jnp.sum(W**2) for W, _ in network]).sum()


@pytest.mark.parametrize(
    "solver",
    [
        Backprop("gd", 0.1),
        Backprop("gd", 0.1, activation=LeakyReLU(0.1)),
        Backprop("gd", 0.1, risk=SquaredError()),
    ],
    ids=["relu", "leaky", "squared"],
)
def test_gradients_are_those_of_automatic_differentiation(solver, x64):
    network, x, targets = problem()
    loss, gradients = solver.loss_and_gradients(network, x, targets, nodes=len(x))
    expected = jax.value_and_grad(lambda net: objective(solver, net, x, targets))(network)
    for a, b in zip(jax.tree.leaves((loss, gradients)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_shares_of_rows_add_up(x64):
    solver = Backprop("gd", 0.1)
    network, x, targets = problem()
    whole = solver.loss_and_gradients(network, x, targets, nodes=25)
    parts = [
        solver.loss_and_gradients(network, x[rows], targets[rows], nodes=25)
        for rows in (slice(10), slice(10, 25))
    ]
    total = jax.tree.map(jnp.add, *parts)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(total), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_optax_on_the_whole_network(name, weight_decay, x64):
    solver = Backprop(name, LEARNING_RATES[name], weight_decay)
    network, x, targets = problem()
    state, rule = solver.init(network, x, targets), OPTIMIZERS[name](LEARNING_RATES[name])
    memory = rule.init(network)
    for _ in range(10):
        state, loss = solver.step(state)
        value, gradients = jax.value_and_grad(lambda net: objective(solver, net, x, targets))(
            network
        )
        assert float(loss) == pytest.approx(float(value - solver.decay(network)), rel=1e-12)
        with jax.numpy_dtype_promotion("standard"):
            changes, memory = rule.update(gradients, memory, network)
        network = optax.apply_updates(network, changes)
    for a, b in zip(jax.tree.leaves(state.segment.network), jax.tree.leaves(network), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_a_step_leaves_its_argument_alone_and_compiles_once():
    solver = Backprop("adam", 1e-2)
    start = solver.init(*problem(dtype="float32"))
    first, _ = solver.step(start)
    again, _ = solver.step(start)
    np.testing.assert_array_equal(first.segment.network[0].W, again.segment.network[0].W)
    compiled = Backprop._step._cache_size()
    assert jax.tree.structure(solver.step(first)[0]) == jax.tree.structure(first)
    assert Backprop._step._cache_size() == compiled


def products(function, *args):
    return str(jax.make_jaxpr(function)(*args)).count("dot_general[")


def test_no_product_is_computed_twice():
    """Three for every layer, two for layer 1 of a network; three for layer 1 of a segment."""
    solver = Backprop("gd", 0.1)
    network, x, targets = problem(dtype="float32")

    def segment(network, x):
        y, records = solver.forward(network, x, top=False)
        return solver.backward(network, records, y, None, first=False)

    assert products(segment, network, x) == 9
    assert products(lambda *data: solver.loss_and_gradients(*data, 25), network, x, targets) == 8


def test_ridge_regression_is_solved_to_its_optimum(x64):
    solver = Backprop("gd", 0.5, 0.5, activation=IDENTITY, risk=SquaredError())
    network, x, targets = problem(shape=(6, 3))
    state = solver.init(network, x, targets)
    for _ in range(500):
        state, _ = solver.step(state)
    x0, y0 = x - x.mean(axis=0), targets - targets.mean(axis=0)
    W = np.linalg.solve(x0.T @ x0 / 25 + 0.5 * np.eye(6), x0.T @ y0 / 25)
    np.testing.assert_allclose(state.segment.network[0].W, W, atol=1e-10)
    b = targets.mean(axis=0) - x.mean(axis=0) @ W
    np.testing.assert_allclose(state.segment.network[0].b, b, atol=1e-10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer= must be one of gd, adadelta, adagrad, adam, got sgd"),
        ({"learning_rate": 0.0}, "learning_rate= must be positive and finite, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay= must be finite and ≥ 0, got -1.0"),
    ],
)
def test_bad_hyperparameters(unchecked, given, message):
    with pytest.raises(InputError, match=message):
        replace(Backprop("gd", 0.1, activation=RELU), **given)


def test_an_unknown_optimizer_is_refused(unchecked):
    with pytest.raises(InputError, match="optimizer= must be one of gd, adadelta, .*, got sgd"):
        make_optimizer("sgd", 0.1)
