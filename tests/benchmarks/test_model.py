"""The model of the time of an epoch, against numbers worked out by hand."""

import pytest

from benchmarks import model
from benchmarks.messages import Link, fit_link
from layers import layer_costs

SHAPE = (4, 4, 4, 2)
COSTS = layer_costs(SHAPE)  # 32, 64, 32


def test_layers():
    assert model.backprop_costs(SHAPE) == [32, 48, 24]
    assert model.layer_elements(SHAPE, nodes=10) == [40 + 16, 80 + 16, 60 + 8]


def test_the_speed_reproduces_the_epoch_it_comes_from():
    # 10 nodes: 1,280 multiply-adds and 220 elements
    speed = model.calibrate(COSTS, SHAPE, 10, epoch=1.5, products=1.28)
    assert speed == pytest.approx((0.001, 0.001))
    seconds = model.layer_seconds(speed, COSTS, SHAPE, 10)
    assert seconds == pytest.approx([0.32 + 0.056, 0.64 + 0.096, 0.32 + 0.068])
    # Another network: 10 nodes × 2 × 3 × 3 multiply-adds, 30 + 9 elements.
    assert model.layer_seconds(speed, [18], (3, 3), 10) == pytest.approx([0.18 + 0.039])


def test_layer_parallel():
    costs = seconds = [2, 4, 4, 4]  # split 2 + 4 | 4 + 4, and 2 + 4 | 4 | 4
    assert model.layer_parallel(costs, seconds, 1, message=9, coding=9) == 14
    # Eight of work; p and q hide behind half of it each.
    assert model.layer_parallel(costs, seconds, 2, message=1, coding=0) == 8
    assert model.layer_parallel(costs, seconds, 2, message=5, coding=0) == 8 + 2 * (5 - 4)
    # A rank with one layer needs q at once; one between two cuts codes at both.
    assert model.layer_parallel(costs, seconds, 3, message=1, coding=0) == 6 + 1
    assert model.layer_parallel(costs, [2, 4, 6, 4], 3, message=0, coding=0.5) == 6 + 1


def test_pipeline():
    costs, seconds = [1, 1, 1, 1], [4, 6, 6, 6]
    assert model.pipeline(costs, seconds, 1, 1, message=9) == pytest.approx(22)
    # A single micro-batch: one rank after the other, with the way up and down between them.
    assert model.pipeline(costs, seconds, 2, 1, message=0.5) == pytest.approx(22 + 2 * 0.5)
    # Two: each takes 2 forward and 3 backward below, 2 and 4 above. The upper rank waits for the
    # first activation, the lower one for the last gradient.
    below, above = (4 / 2 + 6 / 3) / 2, (6 + 6) / 2
    last = below + 2 * above
    assert model.pipeline(costs, seconds, 2, 2, message=0) == pytest.approx(last + 10 / 2 - below)
    # Long messages set the pace: the second activation arrives 20 after the first.
    paced = below + 40 + above + 20 + 10 / 2 - below
    assert model.pipeline(costs, seconds, 2, 2, message=20) == pytest.approx(paced)


def test_data_parallel():
    link = Link(latency=0.5, bandwidth=100)
    assert model.data_parallel(3, 1, 400, link) == 3
    # Six messages of 100 bytes.
    assert model.data_parallel(3, 4, 400, link) == 3 + 6 * (0.5 + 1)


def test_a_link_is_found_from_its_messages():
    true = Link(latency=1e-4, bandwidth=1e9)
    link = fit_link({size: true.seconds(size) for size in (1024, 2**16, 2**20, 2**24)})
    assert link == pytest.approx(true)
