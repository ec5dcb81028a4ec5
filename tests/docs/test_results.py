"""The page of stored rows that the site is built with."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_stored_file_is_listed_with_its_commands():
    path = ROOT / "docs" / "hooks" / "results.py"
    spec = importlib.util.spec_from_file_location("results_hook", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = [line for line in module.page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == sorted(
        path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")
    )
    for row in rows:
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        assert len(cells) == 6, row
        assert cells[1].startswith("20"), row  # a date
        assert cells[5].startswith("`"), row
