import jax.numpy as jnp
import numpy as np
import pytest

from admm.solvers import (
    PDADMMG,
    PenaltySchedule,
    PenaltyState,
    class_codes,
    default_stages,
    stage_layers,
    stage_network,
)
from layers import Dense, widths

SEED = 0


@pytest.mark.parametrize(
    ("layers", "stages"),
    [(1, (1,)), (2, (2,)), (3, (3,)), (4, (2, 4)), (10, (2, 5, 10)), (16, (2, 4, 8, 16))],
)
def test_default_stages(layers, stages):
    assert default_stages(layers) == stages


def test_every_layer_of_a_stage_has_one_owner_and_hidden_layers_stay():
    split = [(1, 2), (3, 5), (6, 10)]
    owners = {}
    for depth in (2, 5, 10):
        owned = stage_layers(split, depth)
        assert sorted(n for layers in owned for n in layers) == list(range(1, depth + 1))
        assert depth in owned[-1]
        for worker, layers in enumerate(owned):
            for n in layers:
                if n < depth:
                    assert owners.setdefault(n, worker) == worker


def test_growth_keeps_trained_layers_and_adds_identities():
    shape = widths(6, 4, 3, layers=4)
    trained = {1: Dense(np.full((6, 4), 2.0), np.full(4, 3.0))}
    network = stage_network(SEED, [1, 2, 3, 4], shape, trained, 6, "float32")
    assert network[0] is trained[1]
    for layer in network[1:]:
        np.testing.assert_array_equal(layer.W, np.eye(*layer.W.shape))
        assert not layer.b.any()


def test_the_first_stage_is_the_same_however_it_is_split():
    shape = widths(6, 4, 3, layers=3)
    whole = stage_network(SEED, [1, 2, 3], shape, None, 50, "float32")
    parts = [stage_network(SEED, [n], shape, None, 50, "float32")[0] for n in (1, 2, 3)]
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.W, b.W)


def test_a_coded_stage_starts_without_residual_after_layer_1():
    """Its hidden layers pass the code on as it is, whatever the split."""
    shape, labels = widths(6, 40, 3, layers=4), np.array([0, 1, 2, 1])
    network = stage_network(SEED, [1, 2, 3, 4], shape, None, 6, "float32", coded=True)
    random = stage_network(SEED, [1, 2, 3, 4], shape, None, 6, "float32")
    for index in (0, 3):
        np.testing.assert_array_equal(network[index].W, random[index].W)
    codes = class_codes(SEED, [1, 2, 3, 4], shape, labels, 1.0, "float32")
    x = jnp.asarray(np.random.default_rng(0).random((4, 6)), "float32")
    state = PDADMMG().init(network, x, jnp.eye(3)[labels], codes)
    assert state.layers[0].r.any()
    for layer in state.layers[1:3]:
        assert not layer.r.any()


def test_codes_tell_classes_apart_and_do_not_depend_on_the_split():
    shape, labels = widths(6, 40, 3, layers=3), np.array([0, 1, 2, 1])
    first, second = class_codes(SEED, [1, 2, 3], shape, labels, 0.5, "float32")
    assert first.shape == (4, 40)
    assert set(np.unique(first)) == {0, 0.5}
    np.testing.assert_array_equal(first[1], first[3])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (first[a] != first[b]).any()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(class_codes(SEED, [2], shape, labels, 0.5, "float32")[0], second)


def test_penalties_rise_after_two_stalls_and_no_further_than_the_limit():
    schedule, state = PenaltySchedule(), PenaltyState(rho=0.05, nu=2.0)
    seen = []
    for loss in (1.0, 0.9, 0.8999, 0.8998, 0.8997, 0.8996, 0.5):
        state = schedule.update(state, {"loss": loss})
        seen.append((state.rho, state.nu))
    assert seen == [(0.05, 2.0)] * 3 + [(0.5, 2.0)] + [(0.5, 2.0)] + [(1.0, 2.0)] * 2


def test_a_rising_loss_is_a_stall():
    state = PenaltyState(rho=0.01, nu=0.01)
    for loss in (1.0, 2.0, 3.0):
        state = PenaltySchedule().update(state, {"loss": loss})
    assert state.rho == pytest.approx(0.1)
