"""Operations counted from shapes, against XLA's count of what is compiled.

XLA counts what is done element by element too; a loop over blocks of rows counts once, so that
there are no more rows here than a block has.
"""

from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import numpy as np
import pytest

from admm.methods.subnetworks.network import make_network
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.solvers import (
    PDADMMG,
    TSSM,
    Backprop,
    backprop_flops,
    dense_flops,
    pdadmm_g_flops,
    tssm_flops,
)
from layers import Dense, build, forward_costs
from quant import Levels

V, N_IN, N_OUT = 256, 384, 320


def array(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def counted(function, *arguments, **static):
    compiled = jax.jit(function, static_argnames=tuple(static)).lower(*arguments, **static)
    return compiled.compile().cost_analysis()["flops"]


def dense(n_in, n_out):
    return Dense(array(n_in, n_out), array(n_out))


@pytest.mark.parametrize(
    ("solver", "first"),
    [
        (PDADMMG(), False),
        (PDADMMG(), True),
        (PDADMMG(step_rule="joint"), False),
    ],
)
def test_a_layer_of_pdadmm_g(solver, first):
    below = None if first else array(V, N_IN)

    def update(layer, q_below, u_below, p_above, scalar):
        return solver.update_layer(layer, q_below, u_below, p_above, None, scalar, scalar)

    network = [dense(N_IN, N_OUT), dense(N_OUT, 4)]
    block = jax.eval_shape(
        lambda net, x, y: solver.init(net, x, y), network, array(V, N_IN), array(V, 4)
    )
    found = counted(update, block.layers[0], below, below, array(V, N_OUT), array())
    ours = pdadmm_g_flops(solver, V, N_IN, N_OUT, first)
    assert ours < found < 1.06 * ours


@pytest.mark.parametrize("extra", ["newton", "levels"])
def test_what_newton_and_levels_add(extra):
    """By hand: pᵀp and the factor with its solutions; one more product with W."""
    plain = pdadmm_g_flops(PDADMMG(), V, N_IN, N_OUT, first=False)
    assert plain == 4 * 2 * V * N_IN * N_OUT
    if extra == "newton":
        more = 2 * V * N_IN**2 + N_IN**3 / 3 + 2 * N_IN**2 * N_OUT
        solver = PDADMMG(step_rule="newton")
    else:
        more, solver = 2 * V * N_IN * N_OUT, PDADMMG(levels_p=Levels(0, 3))
    assert pdadmm_g_flops(solver, V, N_IN, N_OUT, first=False) == plain + more


def test_a_step_of_backpropagation():
    solver, widths = Backprop("gd", 0.1), (N_IN, N_OUT, N_OUT, 8)
    network = tuple(dense(*sizes) for sizes in pairwise(widths))
    state = jax.eval_shape(solver.init, network, array(V, N_IN), array(V, 8))
    found = counted(solver.step, state)
    sizes = pairwise(widths)
    ours = sum(backprop_flops(V, *pair, first=n == 0) for n, pair in enumerate(sizes))
    assert ours < found < 1.05 * ours


def test_a_forward_pass_is_what_xla_counts_of_its_modules():
    given = SubnetworkOptions(layers=3, hidden=N_OUT)
    costs = forward_costs(make_network(given, (N_IN,), 10))
    products = dense_flops(1, (N_IN, N_OUT, N_OUT, 10))
    assert products < sum(costs) < 1.02 * products


@pytest.mark.parametrize("part", ["lowest", "lower", "top"])
def test_a_visit_of_a_subnetwork(part):
    """A lower subnetwork evaluates f once more; nobody needs the gradient at the data."""
    solver = TSSM()
    network = make_network(SubnetworkOptions(layers=3, hidden=N_OUT), (N_IN,), N_OUT)
    subnetwork = eqx.filter_eval_shape(lambda: build(network, range(3), seed=0))
    params, static = eqx.partition(subnetwork, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    trained, x, f = jax.eval_shape(solver.init, params), array(V, N_IN), array(V, N_OUT)
    once = counted(partial(solver.forward, static), params, x)
    if part == "top":
        found = counted(partial(solver.fit_top, static), trained, x, array(V, dtype="int32"))
    else:
        needed = slice(0, 3, 2 if part == "lowest" else 1)  # without the gradient at x
        found = once + counted(lambda *a: solver.fit(static, *a)[needed], trained, x, f, f)
    lowest = V * forward_costs(network)[0] if part == "lowest" else 0.0
    np.testing.assert_allclose(found, tssm_flops(solver, once, lowest, part == "top"), rtol=0.05)
