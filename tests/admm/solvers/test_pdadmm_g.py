"""Whole solvers: the paper's theorems, known optima, the quantised variants."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.errors import InputError
from admm.solvers import PDADMMG, StepRule
from layers import IDENTITY, RELU, LeakyReLU, SquaredError, init_dense
from quant import Levels

SHAPE = (6, 8, 8, 3)
# ρ > max(4ν, (√17 + 1)/2·ν): inside the bound of Theorems 1 to 4.
INSIDE = PDADMMG(rho=0.5, nu=0.1)


def problem(solver, seed=0, nodes=25, shape=SHAPE):
    key = jax.random.key(seed)
    x = jax.random.normal(key, (nodes, shape[0]))
    labels = jax.random.randint(jax.random.fold_in(key, 1), (nodes,), 0, shape[-1])
    targets = jax.nn.one_hot(labels, shape[-1], dtype=x.dtype)
    network = [
        init_dense(seed, n, (shape[n - 1], shape[n]), (2 / shape[n - 1]) ** 0.5, str(x.dtype))
        for n in range(1, len(shape))
    ]
    return solver.init(network, x, targets)


def run(solver, steps, state=None, **kwargs):
    state = problem(solver, **kwargs) if state is None else state
    infos = []
    for _ in range(steps):
        state, info = solver.step(state)
        infos.append(info)
    return state, jax.tree.map(lambda *values: np.array(values), *infos)


@pytest.mark.parametrize("step_rule", get_args(StepRule))
@pytest.mark.parametrize("activation", [RELU, LeakyReLU(0.1)])
def test_lagrangian_never_rises_inside_the_bound(step_rule, activation, x64):
    solver = replace(INSIDE, step_rule=step_rule, activation=activation)
    _, info = run(solver, 300)
    rises = np.diff(info.lagrangian)
    assert rises.max() <= 1e-7 * abs(info.lagrangian[0])


@pytest.fixture(scope="module")
def limit():
    """The state after 3,000 steps in 64-bit mode, and what they measured."""
    jax.config.update("jax_enable_x64", True)
    try:
        return run(INSIDE, 3000)
    finally:
        jax.config.update("jax_enable_x64", False)


def test_residuals_vanish_inside_the_bound(limit):
    _, info = limit
    for residual in (info.primal_residual, info.dual_residual):
        assert residual[300] < 1e-2 * residual.max()
        assert residual[-1] < 1e-5 * residual.max()


def test_dual_is_the_gradient_of_the_penalty(x64):
    """Lemma 4: u_l = ν (q_l − f(z_l)) after every iteration."""
    state = problem(INSIDE)
    for _ in range(5):
        state, _ = INSIDE.step(state)
        for layer in state.layers[:-1]:
            np.testing.assert_allclose(layer.u, INSIDE.nu * (layer.q - RELU(layer.z)), atol=1e-12)


def test_ridge_regression_is_solved_to_its_optimum(x64):
    """One linear layer with squared error: the optimum is known in closed form."""
    solver = PDADMMG(rho=1.0, nu=1.0, weight_decay=0.5, risk=SquaredError(), activation=IDENTITY)
    state, _ = run(solver, 2000, shape=(6, 3))
    x, y = np.asarray(state.layers[0].p), np.asarray(state.targets)
    # Minimising over z leaves ½·ν/(1 + ν) ‖y − xW − b‖² + μ/2 ‖W‖²; b takes the means.
    x0, y0 = x - x.mean(axis=0), y - y.mean(axis=0)
    weight = solver.nu / (1 + solver.nu)
    W = np.linalg.solve(weight * x0.T @ x0 + 0.5 * np.eye(6), weight * x0.T @ y0)
    np.testing.assert_allclose(state.layers[0].W, W, atol=1e-7)
    np.testing.assert_allclose(state.layers[0].b, y.mean(0) - x.mean(0) @ W, atol=1e-7)


def test_fixed_point_is_stationary(limit, x64):
    """At the limit, the gradient of the Lagrangian vanishes in every smooth variable."""
    state, _ = limit
    nu, mu = INSIDE.nu, INSIDE.weight_decay
    for lower, layer in pairwise(state.layers):
        r = layer.r
        assert float(jnp.abs(nu * layer.p.T @ r + mu * layer.W).max()) < 1e-2
        assert float(jnp.abs(nu * r @ layer.W.T + lower.u).max()) < 1e-2
        assert float(jnp.abs(layer.p - lower.q).max()) < 1e-2


def test_the_residual_equals_its_definition_after_many_steps():
    state, _ = run(INSIDE, 200)
    for layer in state.layers:
        s = layer.p @ layer.W + layer.b
        np.testing.assert_allclose(layer.r, s - layer.z, atol=1e-4)


def test_a_step_leaves_its_argument_alone():
    state = problem(INSIDE)  # no NumPy view of it may exist: that would keep its buffers alive
    INSIDE.step(state)
    assert not any(array.is_deleted() for array in jax.tree.leaves(state))
    for a, b in zip(jax.tree.leaves(problem(INSIDE)), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_steps_reuse_buffers():
    layer = problem(INSIDE).layers[0]
    INSIDE.update_layer(layer, None, None, None, None, jnp.float32(1), jnp.float32(1))
    assert [array.is_deleted() for array in (layer.p, layer.z, layer.r, layer.u)] == [True] * 4
    assert not any(array.is_deleted() for array in (layer.W, layer.b, layer.q))


def test_an_iteration_costs_four_products_a_hidden_layer():
    """And two for layer 1, whose input is fixed; counted in what is compiled."""
    state = problem(INSIDE, nodes=7, shape=(5, 5, 5, 5))
    below, layer, above = state.layers
    moving = (layer.p, layer.z, layer.r, layer.u)
    for given, products in (((below.q, below.u), 4), (None, 2)):
        text = INSIDE._update_layer.lower(
            INSIDE, moving, layer.W, layer.b, layer.q, given, above.p, None, state.rho, state.nu
        ).as_text()
        operands = re.findall(r"dot_general.*: \(tensor<(\w+)xf32>, tensor<(\w+)xf32>\)", text)
        matrices = [pair for pair in operands if all("x" in shape for shape in pair)]
        assert len(matrices) == products


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="earlier versions of XLA copy three")
@pytest.mark.parametrize("kind", ["between layers", "below a cut", "output"])
def test_no_whole_array_is_copied(kind):
    """Every new array is computed in the buffer of an old one."""
    nodes, width = 1100, 16
    array, W = jax.ShapeDtypeStruct((nodes, width), "float32"), jnp.zeros((width, width))
    solver, scalar = PDADMMG(), jnp.float32(0.1)
    output = kind == "output"
    moving, q = ((array, array, array, None), None) if output else ((array,) * 4, array)
    above = array if kind == "between layers" else None
    text = (
        solver._update_layer.lower(
            *(solver, moving, W, W[0], q, (array, array)),
            *(above, array if output else None, scalar, scalar),
        )
        .compile()
        .as_text()
    )
    assert f"f32[{nodes},{width}]" in text
    assert not re.findall(rf"f32\[{nodes},{width}\]\S* copy\(", text)


def test_quantised_variables_stay_in_their_set():
    levels = Levels(-1, 20)
    solver = PDADMMG(rho=0.1, nu=0.1, levels_p=levels, levels_q=levels)
    state, info = run(solver, 30)
    for layer in state.layers[1:]:
        np.testing.assert_array_equal(layer.p, levels.project(layer.p))
    for layer in state.layers[:-1]:
        np.testing.assert_array_equal(layer.q, levels.project(layer.q))
    assert np.isfinite(info.lagrangian).all()


def test_contract():
    """Types, shapes and weak types survive a step, and a second step compiles nothing."""
    state, _ = run(INSIDE, 2)
    before = jax.tree.map(jax.typeof, state)
    compiled = PDADMMG._update_layer._cache_size()
    state, _ = INSIDE.step(state)
    assert jax.tree.map(jax.typeof, state) == before
    assert PDADMMG._update_layer._cache_size() == compiled


def test_penalties_do_not_recompile():
    state, _ = run(INSIDE, 1)
    compiled = PDADMMG._update_layer._cache_size()
    INSIDE.step(state._replace(rho=state.rho * 10))
    assert PDADMMG._update_layer._cache_size() == compiled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": 0.0}, "rho= must be positive and finite, got 0.0"),
        ({"nu": float("nan")}, "nu= must be positive and finite, got nan"),
        ({"weight_decay": -1.0}, "weight_decay= must be finite and ≥ 0, got -1.0"),
        ({"step_rule": "exakt"}, "step_rule= must be one of exact, joint, backtracking, newton"),
        ({"step_rule": 1}, "step_rule= must be text, one of exact, joint, .*, got 1"),
        ({"row_block": 0}, "row_block= must be at least 1, got 0"),
        ({"row_block": 2.5}, "row_block= must be a whole number, at least 1, got 2.5"),
        ({"rho": "1e-3"}, "rho= must be a number, positive and finite, got '1e-3'"),
        ({"nu": jnp.ones(2)}, "nu= must be a number, positive and finite, got Array"),
    ],
)
def test_refuses_bad_hyperparameters(unchecked, options, message):
    with pytest.raises(InputError, match=message) as error:
        PDADMMG(**options)
    assert isinstance(error.value, ValueError)
