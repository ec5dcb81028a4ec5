"""The programs of docs/solve.md, as they stand there, and that each of its parts converges."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from pages import programs

from admm import solve
from admm.solvers import PDADMMG, PenaltySchedule
from layers import SquaredError, forward, prox

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "solve.md"


@pytest.fixture(scope="module")
def page():
    """The names that the programs of the page leave behind."""
    names = {}
    for program in programs(PAGE):
        exec(compile(program, str(PAGE), "exec"), names)
    return names


def test_classes_converge(page):
    assert page["classified"].status == "converged"


def test_examples_of_protocols_have_at_most_ten_lines():
    text = PAGE.read_text()
    for name in ("HardTanh", "AbsoluteError", "Sign", "Balanced"):
        program = re.search(rf"(@dataclass\S*\n)?class {name}:\n((?: .*)?\n)*?(?=```)", text)
        lines = [line for line in program.group().splitlines() if line.strip()]
        assert 5 < len(lines) <= 10 + lines[0].startswith("@"), (name, lines)


def realizable(page, risk=None, activation=None, **given):
    """The problem of the page's first program, whose optimum is 0."""
    activation = activation or page["tanh"]
    y = forward(page["teacher"], page["x"], activation)
    solver = PDADMMG(10.0, 2.0, 0.0, "newton", activation, risk or SquaredError())
    return solve(solver, page["network"], page["x"], y, steps=300, every=100, **given)


def test_tanh_by_its_numerical_step_reaches_the_optimum(page):
    result = page["result"]
    assert result.trace["lagrangian"][-1] < 1e-3
    fit = SquaredError()(forward(result.network, page["x"], page["tanh"]), page["y"])
    assert float(fit) < 1e-3 * float(jnp.sum(page["y"] ** 2))


def test_one_bit_with_error_feedback_reaches_the_optimum(page):
    result = realizable(page, codec=page["Sign"](), workers=2)
    assert result.trace["lagrangian"][-1] < 1e-3
    assert result.trace["primal_residual"][-1] < 1e-3


def test_an_activation_of_ones_own_reaches_the_optimum(page):
    assert realizable(page, activation=page["HardTanh"]()).trace["lagrangian"][-1] < 1e-3


def test_an_activation_in_closed_form_is_its_numerical_step(page):
    s, q, z = jnp.asarray(2 * np.random.default_rng(0).normal(size=(3, 500)), "float32")
    known = page["HardTanh"]()
    values = [
        (z_ - s) ** 2 + (q - known(z_)) ** 2 + (z_ - z) ** 2
        for z_ in (known.solve(s, q, z), prox(known).solve(s, q, z))
    ]
    np.testing.assert_allclose(*values, atol=1e-5)


@pytest.mark.parametrize("name", ["AbsoluteError", "huber"])
def test_a_risk_of_ones_own_reaches_the_optimum(page, name):
    risk = page[name] if name == "huber" else page[name]()
    assert realizable(page, risk=risk).trace["lagrangian"][-1] < 1e-2


def test_its_parts_work_together(page):
    first, last = page["first"].trace, page["last"].trace
    assert last["step"].tolist() == list(range(10, 81, 10))
    assert last["loss"][-1] < last["loss"][0] < first["loss"][0]


def test_the_schedule_of_the_page_balances_residuals(page):
    result = realizable(page, schedule=page["Balanced"]())
    assert result.trace["rho"].tolist() != [10.0] * 3
    assert result.trace["lagrangian"][-1] < 1e-2
    raised = realizable(page, schedule=PenaltySchedule(patience=1, limit=100))
    assert raised.trace["rho"][-1] == 100
