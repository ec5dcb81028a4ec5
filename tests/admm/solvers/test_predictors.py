"""Predictors on sequences whose next member is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from admm.errors import InputError
from admm.solvers.graph_network import Nodes, Part
from admm.solvers.predictors import LSTMGCN, Autoregression
from layers import sparse_matrix

OWN, HALO, WIDTH = 6, 4, 3


def part(dtype="float32", filling=0):
    """A ring of own nodes and halo; the last rows of the halo may be filling."""
    real = HALO - filling
    ring = np.roll(np.eye(OWN + real), 1, axis=0)
    S = np.zeros((OWN + HALO, OWN + HALO), dtype)
    S[: OWN + real, : OWN + real] = (np.eye(OWN + real) + ring + ring.T) / 3
    inner, outer, induced = (
        sparse_matrix(sp.csr_array(each)) for each in (S[:OWN, :OWN], S[:OWN, OWN:], S)
    )
    nodes = [Nodes(jnp.arange(n)) for n in (OWN, HALO)]
    return Part(inner, outer, *nodes, jnp.zeros(OWN, int), jnp.zeros(OWN, dtype), induced)


def rows(seed, n, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).uniform(1, 2, (n, WIDTH)), dtype)


def given(predictor, snapshots):
    """The state after snapshots of own nodes and halo."""
    state = predictor.init(1, *snapshots[0])
    for each in snapshots[1:]:
        state = predictor.pulled(state, *each)
    return state


def geometric(ratio, count, dtype="float32"):
    """Snapshots whose differences have a ratio, for own nodes and halo."""
    sums = np.cumsum([ratio**k for k in range(count)])
    return [tuple(rows(n, n, dtype) * float(each) for n in (OWN, HALO)) for each in sums]


@pytest.mark.parametrize("ratio", [-0.5, 0.5, 1.0, 1.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_autoregression_continues_geometric_sequences(ratio, dtype, x64):
    *known, (_, wanted) = geometric(ratio, 5, dtype)
    predictor = Autoregression()
    state, found = predictor.predicted(given(predictor, known), part(dtype), 1.0)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    newest = known[-1][1]
    np.testing.assert_array_equal(predictor.predicted(state, part(dtype), 0.0)[1], newest)
    halfway = predictor.predicted(state, part(dtype), 0.5)[1]
    np.testing.assert_allclose(halfway, (newest + wanted) / 2, rtol=1e-6)


def test_autoregression_is_bounded():
    predictor = Autoregression()
    state = given(predictor, geometric(3.0, 4))
    step = state.halo[1] - state.halo[0]
    grown = predictor.predicted(state, part(), 1.0)[1]
    np.testing.assert_allclose(grown, state.halo[1] + 1.2 * step, rtol=1e-6)


def test_autoregression_forgets():
    """Differences 1, 1, −1: products 1, −1 and squares 1, 1, the older ones by half."""
    predictor, one = Autoregression(ridge=0.0), jnp.ones((1, 1))
    state = given(predictor, [(one, one * each) for each in (4.0, 5.0, 6.0, 5.0)])
    assert (float(state.products), float(state.squares)) == (-0.5, 1.5)
    _, found = predictor.predicted(state, part(), 1.0)
    assert float(found[0, 0]) == pytest.approx(5 + 1 / 3)


def test_predictions_are_not_negative():
    predictor = Autoregression()
    falling = [(rows(0, OWN), rows(0, HALO) * each) for each in (4.0, 2.0, 0.0)]
    _, found = predictor.predicted(given(predictor, falling), part(), 1.0)
    np.testing.assert_array_equal(found, jnp.zeros_like(found))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_learns_a_linear_drift(dtype, x64):
    """A fifth of the stale value's error at the most, on a snapshot that it has not seen."""
    start = [rows(n, n, dtype) for n in (OWN, HALO)]
    snapshots = [tuple(each + 0.2 * k for each in start) for k in range(9)]
    predictor = LSTMGCN("residual")
    state = predictor.init(1, *snapshots[0])
    for each in snapshots[1:-1]:
        state = predictor.pulled(state, *each)
        for _ in range(10):
            state, found = predictor.predicted(state, part(dtype), 1.0)
    truth, stale = snapshots[-1][1], snapshots[-2][1]
    assert found.dtype == dtype
    assert jnp.linalg.norm(found - truth) < 0.2 * jnp.linalg.norm(stale - truth)


def test_the_absolute_form_learns_the_rows():
    predictor = LSTMGCN("absolute", learning_rate=0.05)
    own, halo = (jnp.tile(jnp.array([0.5, 1.0, 1.5]), (n, 1)) for n in (OWN, HALO))
    state, first = predictor.predicted(predictor.init(1, own, halo), part(), 1.0)
    for _ in range(60):
        state, found = predictor.predicted(state, part(), 1.0)
    assert jnp.linalg.norm(found - halo) < 0.1 * jnp.linalg.norm(first - halo)


@pytest.mark.parametrize("form", ["residual", "absolute"])
def test_a_snapshot_of_now_needs_no_prediction(form):
    predictor = LSTMGCN(form)
    state = given(predictor, geometric(0.5, 3))
    for _ in range(2):
        state, found = predictor.predicted(state, part(), 0.0)
        np.testing.assert_array_equal(found, state.halo[-1])


def test_rows_that_fill_up_change_nothing():
    """Neither what the predictor learns, nor the rows of nodes."""
    predictor = LSTMGCN("residual")
    changed = [(own, halo.at[-1].add(5.0)) for own, halo in geometric(0.5, 3)]
    found = []
    for snapshots in (geometric(0.5, 3), changed):
        state = given(predictor, snapshots)
        for _ in range(3):
            state, predicted = predictor.predicted(state, part(filling=1), 1.0)
        found.append((state.network, predicted[:-1]))
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_wrong_learning_rate_is_refused():
    with pytest.raises(InputError, match=r"learning_rate= must be positive and finite, got 0"):
        LSTMGCN(learning_rate=0)


def test_an_unknown_form_is_refused(unchecked):
    with pytest.raises(InputError, match="form= must be one of residual, absolute, got relative"):
        LSTMGCN(form="relative")
