"""Cells of the fault matrix: real processes, real signals. `make faults` prints all of them."""

import pytest

from tests.faults import Cell, cells, run_cell, run_reference

_QUICK = (Cell("kill", "iteration", 2),)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, id=cell.name, marks=() if cell in _QUICK else pytest.mark.slow)
        for cell in cells()
    ],
)
def test_nothing_is_lost(cell, tmp_path):
    outcome = run_cell(cell, tmp_path, run_reference(cell.ranks, tmp_path))
    assert not outcome.problems
