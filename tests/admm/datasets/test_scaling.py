"""Standard deviations of columns, and what they are of constant ones."""

import numpy as np
import pytest

from admm.datasets.scaling import scale_of, unless_constant


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1e5 / 3, -7.3, 0.0])
def test_a_constant_column_has_the_scale_one(value, dtype):
    """Though the mean of many rows is not its value."""
    columns = np.full((100_000, 1), value, dtype)
    assert scale_of(columns).tolist() == [1]
    columns[::3] = np.nextafter(columns[::3], dtype(np.inf))
    assert scale_of(columns).tolist() == [1]


def test_a_small_deviation_of_many_rows_is_one():
    rows = np.random.default_rng(0).normal(10, 0.01, (100_000, 2)).astype(np.float32)
    np.testing.assert_allclose(scale_of(rows), 0.01, rtol=0.02)
    np.testing.assert_array_equal(scale_of(rows), rows.std(axis=0))


def test_a_deviation_that_rounding_has_taken_is_none():
    found = unless_constant(np.array([0.0, np.nan, 3.0]), np.zeros(3), np.ones(3))
    assert found.tolist() == [1, 1, 3]
