"""gsADMM and gsAM: updates against brute force, and what gradient the subnetwork below sees."""

import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies as st

from admm.errors import InputError
from admm.solvers.losses import cross_entropy, squared_error
from admm.solvers.tssm import TSSM, Coupling, Kept, batches
from layers import Subnetwork, build, from_modules

BATCH, INPUTS, WIDTH, CLASSES = 7, 5, 4, 3
LABELS = jnp.arange(BATCH) % CLASSES


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def dense(n_in, n_out, activation=jnp.tanh):
    """A smooth layer: differences are taken of it."""
    return (
        lambda key: jax.random.normal(key, (n_in, n_out)),
        lambda W, x: activation(x @ W),
    )


def lower(dtype="float64") -> Subnetwork:
    network = from_modules([dense(INPUTS, 6), dense(6, WIDTH)], (INPUTS,), dtype)
    return build(network, range(2), seed=0)


def top() -> Subnetwork:
    network = from_modules([dense(WIDTH, CLASSES, lambda x: x)], (WIDTH,), "float64")
    return build(network, range(1), seed=1)


def risk(logits):
    """Σ of the cross-entropy, written out."""
    right = logits[jnp.arange(BATCH), LABELS]
    return jnp.sum(jnp.log(jnp.exp(logits).sum(axis=1)) - right)


def step(solver, module, x, sent=None, wanted=None):
    """A step of a lower subnetwork, or of the top one: the module after it, gradient, value."""
    _, static = eqx.partition(module, eqx.is_inexact_array)
    trained = solver.init(module)
    if wanted is None:
        trained, gradient, value = solver.fit_top(static, trained, x, LABELS)
    else:
        trained, gradient, value = solver.fit(static, trained, x, sent, wanted)
    return eqx.combine(trained.params, static), gradient, value


def inner_product(a, b):
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)))


# The variables of a cut.

CASES = list(itertools.product([0, 1], [0.1, 3.0], [0.05, 2.0]))


@pytest.mark.parametrize(("seed", "alpha", "rho"), CASES)
def test_updates_of_gsadmm_against_their_definitions(seed, alpha, rho, x64):
    """p and q minimise convex functions: where the gradient vanishes."""
    p, q, u, f, g = (normal([seed, n], BATCH, WIDTH) for n in range(5))
    solver = TSSM("gsadmm", alpha, rho, relaxation=1.0)
    new, used = solver.couple(Coupling(p, q, u), f, g)
    assert used == pytest.approx(alpha)

    def of_p(x):  # the term above linearised, and the coupling
        return jnp.sum(g * x + u * (x - q) + rho / 2 * (x - q) ** 2)

    def of_q(x):
        return jnp.sum(alpha / 2 * (x - f) ** 2 + u * (new.p - x) + rho / 2 * (new.p - x) ** 2)

    np.testing.assert_allclose(jax.grad(of_p)(new.p), 0, atol=1e-12)
    np.testing.assert_allclose(jax.grad(of_q)(new.q), 0, atol=1e-12)
    np.testing.assert_allclose(new.u, u + rho * (new.p - new.q), rtol=1e-12)
    np.testing.assert_allclose(new.u, solver.wanted(new, f, used), atol=1e-12)  # q is a minimum
    half, _ = TSSM("gsadmm", alpha, rho, relaxation=0.5).couple(Coupling(p, q, u), f, g)
    step = -(g + u + rho * (p - q)) / (2 * rho)
    np.testing.assert_allclose(half.p - p, step, rtol=1e-9)


@pytest.mark.parametrize(
    ("seed", "alpha", "relaxation"), list(itertools.product([0, 1], [0.1, 3.0], [0.5, 1.0]))
)
def test_update_of_gsam_is_a_gradient_step(seed, alpha, relaxation, x64):
    p, f, g = (normal([seed, n], BATCH, WIDTH) for n in range(3))
    solver = TSSM("gsam", alpha, relaxation=relaxation)
    new, _ = solver.couple(Coupling(p, None, None), f, g)

    def objective(x):
        return jnp.sum(g * x + alpha / 2 * (x - f) ** 2)

    np.testing.assert_allclose(p - new.p, relaxation / alpha * jax.grad(objective)(p), rtol=1e-9)
    if relaxation == 1:
        np.testing.assert_allclose(jax.grad(objective)(new.p), 0, atol=1e-12)
    assert new.q is None
    assert new.u is None
    assert solver.target(new) is new.p


def test_residuals(x64):
    p, q, u, f = (normal(n, BATCH, WIDTH) for n in range(4))
    sums = TSSM("gsadmm", 0.2, 0.3).residuals(Coupling(p, q, u), f, jnp.asarray(0.2))
    expected = [np.linalg.norm(x) ** 2 for x in (q - f, f, p - q, q)]
    np.testing.assert_allclose(sums, [*expected, 0.15 * expected[2], BATCH * 0.2], rtol=1e-12)
    sums = TSSM("gsam").residuals(Coupling(p, None, None), f, jnp.asarray(0.4))
    expected = [np.linalg.norm(x) ** 2 for x in (p - f, f, 0 * p, p)]
    np.testing.assert_allclose(sums, [*expected, 0, BATCH * 0.4], rtol=1e-12)


@pytest.mark.parametrize("method", ["gsadmm", "gsam"])
@pytest.mark.parametrize("refresh", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_where_a_visit_starts(method, refresh, first):
    """Anew, unless the last visit is to be gone on with."""
    solver = TSSM(method, 0.1, refresh=refresh)
    dual = method == "gsadmm"
    kept = solver.init_kept(lambda: jnp.ones((BATCH, WIDTH)))
    expected = [not refresh, dual and not refresh, dual and not refresh]
    assert [rows is not None for rows in kept] == expected
    f = jnp.full((BATCH, WIDTH), 2.0)
    state = solver.start(kept, f, first)
    anew = first or refresh
    assert (state.p == (2 if anew else 1)).all()
    if dual:
        assert (state.q == (2 if anew else 1)).all()
        assert (state.u == (0 if anew else 1)).all()
    else:
        assert (state.q, state.u) == (None, None)


# The rule for α.


@pytest.mark.parametrize(("method", "share"), [("gsam", 1.0), ("gsadmm", 0.5)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("relaxation", [0.5, 1.0])
def test_alpha_puts_the_target_at_its_distance(method, share, scale, relaxation, x64):
    """At κ‖f‖ from f, whatever the scales are; and its pull is that of the gradient."""
    f, g = normal(0, BATCH, WIDTH), scale * normal(1, BATCH, WIDTH)
    solver = TSSM(method, reach=0.2, relaxation=relaxation)
    kept = solver.init_kept(lambda: f)
    state, alpha = solver.couple(solver.start(kept, f, first=False), f, g)
    move = solver.target(state) - f
    assert jnp.linalg.norm(move) == pytest.approx(0.2 * float(jnp.linalg.norm(f)), rel=1e-9)
    wanted = solver.wanted(state, f, alpha)
    np.testing.assert_allclose(wanted, -share * relaxation * g, rtol=1e-9)
    if method == "gsadmm":
        np.testing.assert_allclose(state.u, wanted, rtol=1e-9)  # q is a minimum, and ρ = α
    # The subnetwork below finds the same α, and with it the same penalty.
    below, x = lower(), normal(2, BATCH, INPUTS)
    _, _, value = step(solver, below, x, f, wanted)
    target = solver.target(state)
    expected = float(alpha / 2 * jnp.sum((target - below(x)) ** 2))
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", ["gsam", "gsadmm"])
def test_without_a_gradient_nothing_moves(method):
    """In float32, where squares of small numbers are 0: no NaN, no infinity."""
    f = jnp.asarray(normal(0, BATCH, WIDTH), "float32")
    solver = TSSM(method)
    start = solver.start(solver.init_kept(lambda: f), f, first=True)
    for g in (0 * f, jnp.full_like(f, 1e-30), jnp.full_like(f, 1e-18)):
        state, alpha = solver.couple(start, f, g)
        wanted = solver.wanted(state, f, alpha)
        assert np.isfinite(solver.residuals(state, f, alpha)).all()
        assert jnp.linalg.norm(solver.target(state) - f) <= 0.51 * jnp.linalg.norm(f)
        assert jnp.abs(wanted).max() <= 1.1e-18
        x = jnp.ones((BATCH, INPUTS))
        assert np.isfinite(step(solver, lower("float32"), x, f, wanted)[2])


@pytest.mark.parametrize("method", ["gsam", "gsadmm"])
def test_a_cut_whose_units_are_dead_pins_nothing(method, x64):
    """f = 0 in the whole mini-batch: α is that of a small f, not infinite."""
    f, g = jnp.zeros((BATCH, WIDTH)), normal(0, BATCH, WIDTH)
    solver = TSSM(method)
    start = solver.start(solver.init_kept(lambda: f), f, first=True)
    state, alpha = solver.couple(start, f, g)
    assert alpha <= jnp.linalg.norm(g) / (0.5 * 1e-3 * f.size**0.5) * (1 + 1e-9)
    assert jnp.linalg.norm(solver.target(state)) == pytest.approx(0.5e-3 * f.size**0.5)


# Steps of the subnetworks.


OBJECTIVES = {
    "lower": (
        lower,
        INPUTS,
        lambda f: (
            0.15 * jnp.sum((normal(2, BATCH, WIDTH) + normal(1, BATCH, WIDTH) / 0.3 - f) ** 2)
        ),
    ),
    "top": (top, WIDTH, risk),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_step_follows_the_gradient_of_the_objective(kind, x64):
    """Value, gradient at x and step of the parameters, against central differences."""
    make, n_in, objective = OBJECTIVES[kind]
    module, x, rate = make(), normal(0, BATCH, n_in), 0.2
    solver = TSSM(alpha=0.3, optimizer=optax.sgd(rate))
    sent, wanted = (normal(n, BATCH, WIDTH) if kind == "lower" else None for n in (2, 1))
    new, at_x, value = step(solver, module, x, sent, wanted)
    assert value == pytest.approx(float(objective(module(x))), rel=1e-12)
    # Gradient descent on the mean: its step tells the gradient of the sum.
    at_params = jax.tree.map(lambda old, new: (old - new) * BATCH / rate, module, new)
    for seed in range(3):
        way = jax.tree.map(lambda leaf, seed=seed: normal(seed, *leaf.shape), (module, x))

        def moved(t, way=way):
            at, x_at = jax.tree.map(lambda leaf, way: leaf + t * way, (module, x), way)
            return objective(at(x_at))

        slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
        assert inner_product((at_params, at_x), way) == pytest.approx(float(slope), rel=1e-6)


def test_losses_of_samples(x64):
    logits = normal(0, BATCH, CLASSES)
    assert cross_entropy(logits, LABELS).shape == (BATCH,)
    assert cross_entropy(logits, LABELS).sum() == pytest.approx(float(risk(logits)), rel=1e-12)
    images, targets = normal(0, BATCH, 2, 3), normal(1, BATCH, 2, 3)
    expected = [np.linalg.norm(each) ** 2 / 2 for each in images - targets]
    np.testing.assert_allclose(squared_error(images, targets), expected, rtol=1e-12)


def test_a_frozen_subnetwork_stays_and_passes_its_gradient_down(x64):
    module, x = lower(), normal(0, BATCH, INPUTS)
    what = normal(1, BATCH, WIDTH), normal(2, BATCH, WIDTH)
    same, frozen, _ = step(TSSM(frozen_lower=True), module, x, *what)
    other, gradient, _ = step(TSSM(), module, x, *what)
    jax.tree.map(np.testing.assert_array_equal, module, same)
    np.testing.assert_array_equal(frozen, gradient)
    assert (module.modules[0].params != other.modules[0].params).all()
    above = TSSM(frozen_lower=True)  # the last subnetwork learns all the same
    learned = step(above, top(), normal(2, BATCH, WIDTH))[0]
    assert (learned.modules[0].params != top().modules[0].params).all()


# The gradient of the subnetwork below, against backpropagation through both.


@pytest.mark.parametrize("method", ["gsadmm", "gsam"])
def test_stationary_p_carries_the_gradient_of_the_risk(method, x64):
    """For a fixed f: α(f − target) = ∇R(p), so that the subnetwork below sees Jᵀ∇R(p)."""
    module, f, alpha = top(), normal(0, BATCH, WIDTH), jnp.asarray(5.0)
    solver = TSSM(method, alpha=5.0, rho=5.0, relaxation=0.5)
    zeros = jnp.zeros_like(f) if method == "gsadmm" else None
    state = Coupling(f, None if zeros is None else f, zeros)
    at_p = jax.jit(jax.grad(lambda p: risk(module(p))))
    for _ in range(300):
        state, _ = solver.couple(state, f, at_p(state.p))
    wanted = solver.wanted(state, f, alpha)
    np.testing.assert_allclose(-wanted, at_p(state.p), atol=1e-10)
    assert solver.residuals(state, f, alpha).gap <= 1e-20
    # and a step below has the gradient of backpropagation, evaluated at p
    below, x = lower(), normal(1, BATCH, INPUTS)
    seen = step(solver, below, x, below(x), wanted)[1]
    np.testing.assert_allclose(seen, jax.vjp(below, x)[1](at_p(state.p))[0], atol=1e-10)


@pytest.mark.parametrize("alpha", [1, 1e-2, 1e-4, None])
@pytest.mark.parametrize(("method", "share"), [("gsam", 1.0), ("gsadmm", 0.5)])
def test_what_the_subnetwork_below_sees(method, share, alpha, x64):
    """Jᵀ(θ∇R + α(f − f')): exactly for any α, and f' only matters where f has moved since."""
    theta, below, x = 0.5, lower(), normal(0, BATCH, INPUTS)
    solver = TSSM(method, alpha, relaxation=theta)
    sent = below(x)
    risk_at_f = step(solver, top(), sent)[1]
    state = solver.start(Kept(None, None, None), sent, first=False)
    state, used = solver.couple(state, sent, risk_at_f)
    wanted = solver.wanted(state, sent, used)

    seen = step(solver, below, x, sent, wanted)[1]
    backprop = jax.grad(lambda x: risk(top()(below(x))))(x)
    np.testing.assert_allclose(seen, share * theta * backprop, rtol=1e-9, atol=1e-12)

    moved = jax.tree.map(lambda leaf: leaf + 0.01 * normal(3, *leaf.shape), below)
    now, pull = jax.vjp(moved, x)
    seen = step(solver, moved, x, sent, wanted)[1]
    proximal = seen - share * theta * pull(risk_at_f)[0]
    np.testing.assert_allclose(proximal, used * pull(now - sent)[0], rtol=1e-9, atol=1e-12)
    assert jnp.linalg.norm(proximal) > 0


# Mini-batches and mistakes.


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 300), st.data())
def test_batches_hold_every_sample_once(seed, epoch, samples, data):
    size = data.draw(st.integers(1, samples))
    parts = batches(seed, epoch, samples, size)
    sizes = [len(part) for part in parts]
    assert sorted(np.concatenate(parts)) == list(range(samples))
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-samples // size)
    for part, again in zip(parts, batches(seed, epoch, samples, size), strict=True):
        np.testing.assert_array_equal(part, again)


def test_batches_of_epochs_and_seeds_differ():
    orders = [np.concatenate(batches(s, e, 50, 10)).tolist() for s in (0, 1) for e in (1, 2)]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 0.0}, "alpha= must be positive and finite, got 0.0"),
        ({"rho": -1.0}, "rho= must be positive and finite, got -1.0"),
        ({"alpha": float("nan")}, "alpha= must be positive and finite, got nan"),
        ({"reach": 0.0}, "reach= must be positive and finite, got 0.0"),
        ({"rho": 0.1}, "rho= needs alpha=; without, both follow from the gradient"),
        ({"relaxation": 0.0}, "relaxation= must be in (0, 1], got 0.0"),
        ({"relaxation": 1.1}, "relaxation= must be in (0, 1], got 1.1"),
        ({"inner": 2}, "inner= above 1 and refresh=False need alpha=: that which follows"),
        ({"refresh": False}, "inner= above 1 and refresh=False need alpha=: that which follows"),
        ({"inner": 0}, "inner= must be at least 1, got 0"),
    ],
)
def test_parameters_out_of_range(given, message):
    with pytest.raises(InputError, match=re.escape(message)):
        TSSM(**given)
