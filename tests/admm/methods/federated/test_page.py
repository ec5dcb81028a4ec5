"""The program of docs/federated.md."""

from pathlib import Path

from pages import programs

PAGE = Path(__file__).parents[4] / "docs" / "federated.md"


def test_the_program_runs():
    (program,) = programs(PAGE)
    names: dict[str, object] = {}
    exec(program, names)
    assert 0 < names["best"]["test_mae"] < 1.5
    assert names["alone"]["test_mae"] > 0
