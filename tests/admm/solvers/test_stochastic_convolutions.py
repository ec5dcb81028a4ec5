"""The updates of stochastic ADMM on convolutions, against backpropagation and least squares."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.solvers.losses import cross_entropy
from admm.solvers.stochastic import Place, StochasticADMM, Window
from layers import Dense, Stage, activate, build, cnn, patches, sides, weights, with_weights

FIRST = Place(reads_data=True, is_last=False)
HIDDEN = Place(reads_data=False, is_last=False)
ROWS, SHAPE = 6, (8, 9, 2)


def network():
    """Five layers, with biases."""
    rng, layers = np.random.default_rng(0), []
    for module in build(cnn(SHAPE, 3, 4, 5, "float64"), range(5), seed=0).modules:
        layer = module if isinstance(module, Stage) else Dense(module.W, module.b)
        W, b = weights(layer)
        layers.append(with_weights(layer, Dense(W, jnp.asarray(0.1 * rng.normal(size=b.shape)))))
    return layers


def images(channels=SHAPE[-1]):
    shape = ROWS, *SHAPE[:-1], channels
    return jnp.asarray(np.random.default_rng(1).normal(size=shape))


def test_the_multiplier_is_the_gradient_of_backpropagation(x64):
    """At full consistency; the network is that of the modules which read what is saved."""
    solver, layers, x = StochasticADMM(), network(), images()
    targets = jnp.array([0, 2, 1, 1, 0, 2])

    def total(layers, x):
        modules = build(cnn(SHAPE, 3, 4, 5, "float64"), range(5), seed=0)
        leaves = jax.tree.leaves([[each] for each in layers])
        filled = jax.tree.unflatten(jax.tree.structure(modules), leaves)
        return jnp.sum(cross_entropy(filled(x), targets))

    gradients, at_input = jax.grad(total, (0, 1))(layers, x)
    records, s = solver.up(layers, x, last=True)
    delta, value = solver.at_top(s, targets)
    deltas, down = solver.down(layers, records, delta)
    np.testing.assert_allclose(value, total(layers, x), rtol=1e-12)
    np.testing.assert_allclose(down, at_input, atol=1e-10)
    for layer, record, delta, gradient in zip(layers, records, deltas, gradients, strict=True):
        W, b = weights(gradient)
        p = patches(layer, record.p).reshape(-1, sides(layer)[0])
        delta = delta.reshape(len(p), -1)
        np.testing.assert_allclose(p.T @ delta, W, atol=1e-10)
        np.testing.assert_allclose(delta.sum(axis=0), b, atol=1e-10)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_parts_of_a_network_hand_on_what_the_whole_has(cut, x64):
    solver, layers, x, targets = StochasticADMM(), network(), images(), jnp.zeros(ROWS, "int32")
    records, s = solver.up(layers, x, last=True)
    deltas, _ = solver.down(layers, records, solver.at_top(s, targets)[0])
    lower, q = solver.up(layers[:cut], x, last=False)
    upper, top = solver.up(layers[cut:], q, last=True)
    above, g = solver.down(layers[cut:], upper, solver.at_top(top, targets)[0])
    assert g.shape == q.shape
    own = solver.pull(lower[-1].s, g, partial(activate, layers[cut - 1]))
    below, _ = solver.down(layers[:cut], lower, own)
    for one, other in zip(deltas, [*below, *above], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def moved(solver, layer, x, delta, s, rate, decay, place, count=1, slots=1):
    """A W-step on the first micro-batches; the others are full of what must not count."""
    size = len(x) // count

    def window(rows):
        kept = rows.reshape(count, size, *rows.shape[1:])
        return jnp.concatenate([kept, jnp.full((slots - count, *kept.shape[1:]), 7.0)])

    squares = jnp.sum(window(s) ** 2, axis=tuple(range(1, s.ndim + 1)))
    given = Window(window(x), window(delta), squares)
    return solver.step(solver.init(layer), given, count, rate, decay, place)


def test_a_w_step_solves_least_squares_of_patches(x64):
    """η = 1, ω = 0, κ = ∞: rows times positions are the equations, damped."""
    rng = np.random.default_rng(3)
    layer, x = network()[0], images()
    W, b = weights(layer)
    p = patches(layer, x)
    s = p @ W + b
    y = jnp.asarray(rng.normal(size=s.shape))
    solver = StochasticADMM(reach=None)
    found, bound = moved(solver, layer, x, s - y, s, 1.0, 0.0, FIRST)
    flat = np.asarray(p).reshape(-1, sides(layer)[0])
    rows, before = np.c_[flat, np.ones(len(flat))], np.vstack([W, b])
    columns = rows.shape[1]
    weight = np.sqrt(np.sum(rows**2) / columns + ROWS * 1e-6)  # √(rows ε)
    penalised = np.vstack([rows, weight * np.eye(columns)])
    wanted = np.vstack([y.reshape(len(flat), -1), weight * before])
    expected = np.linalg.lstsq(penalised, wanted)[0]
    np.testing.assert_allclose(np.vstack(weights(found.params)), expected, atol=1e-10)
    assert found.params.convolution.W.shape == layer.convolution.W.shape
    assert not bound


@pytest.mark.parametrize("slots", [2, 4])
@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_w_steps_are_those_of_the_equations(scale, slots, x64):
    """Sums over positions, means over rows; layers that read images are pulled to 0."""
    rng, layer, rate, decay = np.random.default_rng(4), network()[1], 0.5, 0.1
    x = images(channels=4)
    s, delta = (jnp.asarray(rng.normal(size=(*x.shape[:-1], 4))) for _ in range(2))
    delta = scale * delta
    solver = StochasticADMM()
    found, bound = moved(solver, layer, x, delta, s, rate, decay, FIRST, count=2, slots=slots)

    flat = np.asarray(patches(layer, x)).reshape(-1, sides(layer)[0])
    p = np.c_[flat, np.ones(len(flat))]
    A = p.T @ p / ROWS
    epsilon = np.trace(A) / len(A) + 1e-6
    G = p.T @ np.asarray(delta).reshape(len(p), -1) / ROWS
    D = rate * np.linalg.solve(A + epsilon * np.eye(len(A)), G)
    room = solver.reach * np.sqrt(np.sum(s**2) / ROWS)
    length = np.sqrt(np.trace(D.T @ A @ D))
    D = D * min(1, room / length)
    W, b = weights(layer)
    expected = np.vstack([(W - D[:-1]) / (1 + rate * decay), b - D[-1]])
    np.testing.assert_allclose(np.vstack(weights(found.params)), expected, atol=1e-10)
    assert bool(bound) == (room < length) == (scale > 1)


def test_a_dense_layer_of_images_is_pulled_to_zero(x64):
    layer = network()[2]
    x = jnp.asarray(np.random.default_rng(5).normal(size=(ROWS, 2, 2, 4)))
    still = jnp.zeros((ROWS, 5))
    found, _ = moved(StochasticADMM(), layer, x, still, still + 1, 1.0, 1e9, FIRST)
    np.testing.assert_allclose(found.params.W, 0, atol=1e-8)
