"""The benchmark of convergence: what it measures against the serial solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm import PDADMMGOptions
from admm.methods.layerwise.data import training_inputs
from admm.solvers import PDADMMG, stage_network
from benchmarks import convergence
from benchmarks.convergence import follow, summarize

OPTIONS = PDADMMGOptions(layers=3, hidden=6, rho=5e-2, nu=1e-2, epochs=4, grow=(3,))


@pytest.mark.slow
def test_curves_are_those_of_the_serial_solver():
    """On two workers, all by hand: the objective from its definition, the change of every array."""
    curves = follow(OPTIONS)
    facts, inputs = training_inputs(OPTIONS)
    targets = jnp.asarray(np.eye(10)[facts.labels[: facts.training_rows]], "float32")
    shape = (facts.columns, 6, 6, 10)
    network = stage_network(0, [1, 2, 3], shape, None, facts.features, "float32")
    solver = PDADMMG(rho=5e-2, nu=1e-2)
    state = solver.init(network, jnp.asarray(inputs.rows[: facts.training_rows]), targets)
    for k in range(4):
        before = state
        state, info = solver.step(state)
        change = sum(
            float(jnp.sum((a - b) ** 2))
            for old, new in zip(before.layers, state.layers, strict=True)
            for a, b in zip(
                jax.tree.leaves(old._replace(r=None, u=None)),
                jax.tree.leaves(new._replace(r=None, u=None)),
                strict=True,
            )
        )
        objective = sum(
            float(5e-3 * jnp.sum(layer.r**2) + 1e-2 * jnp.sum(layer.W**2)) for layer in state.layers
        )
        for layer in state.layers[:-1]:
            objective += float(5e-3 * jnp.sum((layer.q - jax.nn.relu(layer.z)) ** 2))
        objective += float(solver.risk(state.layers[-1].z, targets))
        expected = {
            "lagrangian": info.lagrangian,
            "objective": objective,
            "primal": info.primal_residual**0.5,
            "dual": info.dual_residual**0.5,
            "change": change,
        }
        for name, value in expected.items():
            assert curves[name][k] == pytest.approx(float(value), rel=1e-3), name


def test_inside_the_bound_the_lagrangian_never_rises():
    row = summarize(
        follow(PDADMMGOptions(layers=3, hidden=6, rho=5e-2, nu=1e-2, epochs=60, grow=(3,)))
    )
    assert row["rises"] == 0


def test_figures_of_a_row():
    """A Lagrangian that rises once, and changes that fall as k⁻² but for one."""
    curves = {name: [1.0] * 40 for name in ("objective", "primal", "dual")}
    curves["lagrangian"] = [*range(40, 20, -1), 22.0, *range(20, 1, -1)]
    curves["change"] = [k**-2.0 for k in range(1, 41)]
    curves["change"][30] = 5.0
    row = summarize(curves)
    assert (row["rises"], row["lagrangian"], row["primal"]) == (1, 2, 1)
    assert row["rate"] == pytest.approx(-2, abs=0.05)


def test_mistakes(capsys):
    with pytest.raises(SystemExit):
        convergence.main(["--layers", "1"])
    assert "argument --layers: must be at least 2, got 1" in capsys.readouterr().err
