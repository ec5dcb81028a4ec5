"""Windows of a series: where they lie, what fills gaps, and that nothing of later parts is seen."""

import numpy as np
import pytest

from admm.datasets.windows import Cut, chronological, forecast
from admm.errors import InputError

CUT = Cut(length=3, stride=(2, 1, 1), horizon=2)
PARTS = (range(20), range(20, 30), range(30, 40))
COLUMNS = ("a", "b")


def series(seed=0):
    return np.random.default_rng(seed).normal(3, 2, (40, 2))


def client(values, outputs=("b",)):
    return forecast("one", values, COLUMNS, outputs, PARTS, CUT)


def scaled(values):
    return (values - values[:20].mean(axis=0)) / values[:20].std(axis=0)


def test_a_window_and_its_target_lie_in_one_part():
    found = client(series())
    for part, steps, stride in zip(found[1:], PARTS, CUT.stride, strict=True):
        starts = [s for s in range(steps.start, steps.stop, stride) if s + 4 < steps.stop]
        assert part.inputs.shape == (len(starts), 3, 2)
        for window, target, start in zip(part.inputs, part.targets, starts, strict=True):
            assert window == pytest.approx(scaled(series())[start : start + 3], abs=1e-6)
            assert target == pytest.approx(scaled(series())[start + 4, 1:], abs=1e-6)
    assert found.train.inputs.dtype == found.train.targets.dtype == np.float32


def test_training_windows_do_not_see_what_comes_later():
    changed = series()
    changed[20:] = 1e6
    for mine, other in zip(client(series()).train, client(changed).train, strict=True):
        assert np.array_equal(mine, other)


def test_a_gap_takes_the_last_value_or_the_median_of_training():
    values = series()
    values[0, 0], values[7:9, 0], values[25, 1] = np.nan, np.nan, np.nan
    found = client(values)
    filled = values.copy()
    filled[0, 0] = np.nanmedian(values[:20, 0])
    filled[7:9, 0], filled[25, 1] = values[6, 0], values[24, 1]
    assert found.train.inputs[0] == pytest.approx(scaled(filled)[:3], abs=1e-6)
    assert found.train.inputs[3] == pytest.approx(scaled(filled)[6:9], abs=1e-6)
    assert found.val.present.ravel().tolist() == [True, False, *[True] * 4]  # hours 24, 25, …
    assert found.train.present.all()


@pytest.mark.parametrize("value", [5, 0.1])  # the mean of many .1 is not .1
def test_a_constant_column_is_zero(value):
    values = series()
    values[:, 0] = value
    assert abs(client(values).train.inputs[..., 0]).max() < 1e-12


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((slice(0, 20), 1), np.nan, "client one: column b has no value in the training part"),
        ((5, 0), np.inf, "client one: infinite values; expected finite ones, NaN where missing"),
    ],
)
def test_a_series_that_cannot_be_used_is_refused(place, value, message):
    values = series()
    values[place] = value
    with pytest.raises(InputError, match=message):
        client(values)


@pytest.mark.parametrize(("stride", "hours"), [(24, 1), (12, 2), (8, 3), (9, 8), (48, 1)])
def test_a_stride_that_misses_hours_of_the_day_is_warned_of(stride, hours):
    message = f"stride={stride} shares a factor with the 24 steps of a day: training windows "
    with pytest.warns(UserWarning, match=f"{message}start at {hours} of them only"):
        Cut(stride=(stride, 1, 1), period=24)


@pytest.mark.parametrize("stride", [1, 5, 11, 23])
def test_other_strides_see_every_hour(stride):
    """Warnings are errors in these tests."""
    cut = Cut(stride=(stride, 24, 24), period=24)
    assert {start % 24 for start in cut.starts(range(2000), stride)} == set(range(24))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length= must be at least 1, got 0"),
        ({"horizon": -1}, "horizon= must be 0 or more, got -1"),
        ({"stride": (1, 0, 1)}, "stride= must be at least 1, got 0"),
        ({"length": 2.5}, "length= must be a whole number"),
    ],
)
def test_windows_that_cannot_be_cut_are_refused(options, message, unchecked):
    with pytest.raises(InputError, match=message):
        Cut(**options)


def test_parts_are_in_the_order_of_time_and_leave_nothing_out():
    for steps in (0, 1, 7, 100, 1001):
        parts = chronological(steps)
        assert [step for part in parts for step in part] == list(range(steps))
