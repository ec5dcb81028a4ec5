"""Every update against the definition of its subproblem."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.solvers import updates
from layers import SoftmaxCrossEntropy
from quant import Levels

V, N_IN, N_OUT = 12, 7, 5
RHO, NU, MU = 0.3, 0.05, 0.02
LEVELS = Levels(-1, 20)


@pytest.fixture
def layer(x64):
    keys = iter(jax.random.split(jax.random.key(0), 9))
    shapes = {"p": (V, N_IN), "W": (N_IN, N_OUT), "b": (N_OUT,), "z": (V, N_OUT)}
    shapes |= {"q": (V, N_IN), "u": (V, N_IN), "q_own": (V, N_OUT), "u_own": (V, N_OUT)}
    values = {name: jax.random.normal(next(keys), shape) for name, shape in shapes.items()}
    return with_residual(values)


def with_residual(v):
    return {**v, "r": v["p"] @ v["W"] + v["b"] - v["z"]}


RULES = get_args(updates.StepRule)


def p_objective(v, p):
    s = p @ v["W"] + v["b"]
    gap = p - v["q"]
    return NU / 2 * (s - v["z"]) ** 2 @ jnp.ones(N_OUT) + (
        v["u"] * gap + RHO / 2 * gap**2
    ) @ jnp.ones(N_IN)


def W_objective(v, W):
    s = v["p"] @ W + v["b"]
    return NU / 2 * jnp.sum((s - v["z"]) ** 2, axis=0) + MU / 2 * jnp.sum(W**2, axis=0)


def update_p(v, rule, levels=None, row_block=V):
    rho, nu = jnp.asarray(RHO), jnp.asarray(NU)
    given = v["p"], v["W"], v["r"], (v["q"], v["u"]), rho, nu
    return updates.update_p(*given, rule, levels, row_block)[:2]


def update_W(v, rule):
    W, _, _ = update_Wb(v, rule)
    return (W,)


def update_Wb(v, rule, row_block=V, nu=NU, mu=MU):
    p, W, b, r, nu = v["p"], v["W"], v["b"], v["r"], jnp.asarray(nu, v["W"].dtype)
    *_, sums = updates.update_p(p, W, r, None, nu, nu, rule, None, row_block, with_sums=True)
    W, b, change = updates.update_Wb(p, W, b, r, sums, nu, mu, rule, row_block)
    return W, b, change.of(r, change.D)


@pytest.mark.parametrize("rule", RULES)
def test_the_residual_is_carried_along(layer, rule):
    p, r = update_p(layer, rule)
    np.testing.assert_allclose(r, with_residual({**layer, "p": p})["r"], atol=1e-12)
    W, b, r = update_Wb(layer, rule)
    np.testing.assert_allclose(r, with_residual({**layer, "W": W, "b": b})["r"], atol=1e-12)


@pytest.mark.parametrize("levels", [None, LEVELS])
@pytest.mark.parametrize("row_block", [1, 4, 5])
def test_row_blocks_change_nothing(layer, row_block, levels):
    if levels is not None:
        layer = with_residual({**layer, "p": levels.project(5 * layer["p"])})
    whole = *update_p(layer, "exact", levels), *update_Wb(layer, "exact")
    parts = *update_p(layer, "exact", levels, row_block), *update_Wb(layer, "exact", row_block)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("row_block", [1, 4, 5, V])
def test_the_output_layer_goes_in_blocks(layer, row_block):
    """r and z after the step of W: z minimises R(z; y) + ν/2 ‖z − s‖², and r is s − z."""
    targets, nu = jax.nn.one_hot(jnp.arange(V) % N_OUT, N_OUT), jnp.asarray(NU)
    p, r = layer["p"], layer["r"]
    *_, sums = updates.update_p(p, layer["W"], r, None, nu, nu, "exact", None, V, with_sums=True)
    W, b, change = updates.update_Wb(p, layer["W"], layer["b"], r, sums, nu, MU, "exact", V)
    risk = SoftmaxCrossEntropy()
    z, left = updates.update_z_last(change, r, layer["z"], targets, nu, risk, row_block)
    s = layer["p"] @ W + b
    gradient = jax.nn.softmax(z) - targets + NU * (z - s)
    np.testing.assert_allclose(gradient, jnp.zeros_like(z), atol=1e-9)
    np.testing.assert_allclose(left, s - z, atol=1e-12)


@pytest.mark.parametrize("variable", ["p", "W"])
def test_exact_steps_are_the_best_along_the_gradient(layer, variable):
    """Each row of p, each column of W, against a fine scan of step lengths."""
    objective = {"p": p_objective, "W": W_objective}[variable]
    start = layer[variable]
    gradient = jax.grad(lambda x: objective(layer, x).sum())(start)
    new = {"p": update_p, "W": update_W}[variable](layer, "exact")[0]
    scan = jnp.linspace(0, 30, 30001)
    best = jax.lax.map(lambda t: objective(layer, start - t * gradient), scan).min(axis=0)
    assert (objective(layer, new) <= best + 1e-12).all()
    assert (objective(layer, new) < objective(layer, start)).all()


@pytest.mark.parametrize("row_block", [1, 4, 5])
def test_newton_takes_W_and_b_to_their_minimiser(layer, row_block):
    """Against least squares of the stacked system."""
    W, b, r = update_Wb(layer, "newton", row_block)
    rows = np.hstack([layer["p"], np.ones((V, 1))]) * np.sqrt(NU)
    decay = np.hstack([np.eye(N_IN), np.zeros((N_IN, 1))]) * np.sqrt(MU)
    wanted = np.vstack([layer["z"] * np.sqrt(NU), np.zeros((N_IN, N_OUT))])
    best = np.linalg.lstsq(np.vstack([rows, decay]), wanted, rcond=None)[0]
    np.testing.assert_allclose(np.vstack([W, b]), best, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(r, with_residual({**layer, "W": W, "b": b})["r"], atol=1e-12)


def test_newton_needs_no_weight_decay(layer):
    """Rows that span less than the columns leave a singular system."""
    p = jnp.concatenate([layer["p"], layer["p"], layer["p"]], axis=1)
    W = jnp.concatenate([layer["W"]] * 3)
    layer = with_residual({**layer, "p": p, "W": W})
    new, _, r = update_Wb(layer, "newton", mu=0.0)
    assert np.isfinite(new).all()
    rows = np.hstack([layer["p"], np.ones((V, 1))])
    best = np.linalg.lstsq(rows, layer["z"], rcond=None)[0]
    np.testing.assert_allclose(r, rows @ best - layer["z"], atol=1e-6)


@pytest.mark.parametrize("mu", [0.0, 0.02])
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_newton_in_float32_with_large_means_and_low_rank(mu, mean):
    """Of p and z that vary little about a large mean, only the variation counts."""
    keys = jax.random.split(jax.random.key(0), 4)
    p = 10 + 0.01 * jax.random.normal(keys[0], (2000, 8)) @ jax.random.normal(keys[1], (8, 64))
    W, z = jax.random.normal(keys[2], (64, 5)) / 8, mean + jax.random.normal(keys[3], (2000, 5))
    layer = {"p": p, "W": W, "b": jnp.zeros(5), "r": p @ W - z}
    new, _, r = update_Wb(layer, "newton", 512, nu=0.003, mu=mu)
    assert np.isfinite(new).all()
    assert np.isfinite(r).all()
    assert jnp.sum(r**2) <= 0.997 * jnp.sum((z - z.mean(axis=0)) ** 2)


@pytest.mark.parametrize("variable", ["p", "W"])
def test_the_joint_step_is_the_best_single_one(layer, variable):
    objective = {"p": p_objective, "W": W_objective}[variable]
    start = layer[variable]
    gradient = jax.grad(lambda x: objective(layer, x).sum())(start)
    new = {"p": update_p, "W": update_W}[variable](layer, "joint")[0]
    t = jnp.mean((start - new) / gradient)
    np.testing.assert_allclose(new, start - t * gradient, rtol=1e-9)
    slope = jax.grad(lambda t: objective(layer, start - t * gradient).sum())(t)
    assert abs(float(slope)) < 1e-9


@pytest.mark.parametrize("variable", ["p", "W"])
def test_backtracking_finds_the_first_tau_that_majorises(layer, variable):
    """The paper's loop, carried out: double τ from 20 until the model lies above the objective."""
    scale = 30.0  # curvatures beyond 20, so that there is something to double
    layer = with_residual({**layer, "W": scale * layer["W"], "p": scale * layer["p"]})
    objective = {"p": p_objective, "W": W_objective}[variable]
    start = layer[variable]
    gradient = jax.grad(lambda x: objective(layer, x).sum())(start)
    tau, value = 20.0, objective(layer, start).sum()
    while True:
        new = start - gradient / tau
        model = value - jnp.sum(gradient**2) / tau + jnp.sum(gradient**2) / (2 * tau)
        if objective(layer, new).sum() <= model:
            break
        tau *= 2
    assert tau > 20
    updated = {"p": update_p, "W": update_W}[variable](layer, "backtracking")[0]
    np.testing.assert_allclose(updated, new, rtol=1e-9)


@pytest.mark.parametrize("levels", [LEVELS, Levels(-1, 1, 0.1)], ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_projected_p_is_in_the_set_and_no_worse(layer, rule, levels):
    p = levels.project(5 * layer["p"])
    layer = with_residual({**layer, "p": p})
    new, r = update_p(layer, rule, levels)
    np.testing.assert_array_equal(new, levels.project(new))
    np.testing.assert_allclose(r, with_residual({**layer, "p": new})["r"], atol=1e-10)
    before, after = p_objective(layer, p), p_objective(layer, new)
    assert after.sum() <= before.sum()
    if rule == "exact":  # row by row, and long enough to reach other levels
        assert (after <= before).all()
        assert after.sum() < before.sum()


@pytest.mark.slow
def test_fine_levels_in_float32_stay_members_for_many_steps():
    """Rounding must neither move p off Δ nor keep the line search running for ever."""
    levels = Levels(0, 2, 0.1)
    keys = jax.random.split(jax.random.key(0), 4)
    p, W = levels.project(jax.random.normal(keys[0], (40, 9))), jax.random.normal(keys[1], (9, 5))
    z, q = jax.random.normal(keys[2], (40, 5)), jax.random.normal(keys[3], (40, 9))
    r = p @ W - z
    rho, nu = jnp.float32(0.3), jnp.float32(0.2)
    for _ in range(20):
        below = q, jnp.zeros_like(q)
        p, r, _ = updates.update_p(p, W, r, below, rho, nu, "exact", levels, 16)
        np.testing.assert_array_equal(p, levels.project(p))


def test_a_vanishing_gradient_makes_no_step(layer):
    still = {**layer, "r": jnp.zeros((V, N_OUT)), "q": layer["p"], "u": jnp.zeros((V, N_IN))}
    for rule in RULES:
        np.testing.assert_array_equal(update_p(still, rule)[0], layer["p"])


@pytest.mark.parametrize("rule", RULES)
def test_bias_is_the_minimiser(layer, rule):
    _, _, r = update_Wb(layer, rule)
    np.testing.assert_allclose(jnp.mean(r, axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("levels", [None, LEVELS])
def test_q_is_the_minimiser(layer, levels):
    p, u, fz = layer["z"], layer["u_own"], layer["q_own"]

    def objective(q):
        return u * (p - q) + RHO / 2 * (p - q) ** 2 + NU / 2 * (q - fz) ** 2

    q = updates.update_q(p, u, fz, jnp.asarray(RHO), jnp.asarray(NU), levels)
    grid = np.arange(-1, 21) if levels else np.linspace(-30, 30, 60001)
    best = np.min([objective(float(value)) for value in grid[:: 1 if levels else 40]], axis=0)
    assert (objective(q) <= best + 1e-12).all()


def test_dual_ascent_by_hand():
    u = updates.update_u(
        jnp.array([[1.0]]), jnp.array([[3.0]]), jnp.array([[2.5]]), jnp.float32(0.2)
    )
    np.testing.assert_allclose(u, [[1.1]], rtol=1e-6)
