"""The page of stored rows that the site is built with."""

from pathlib import Path

from pages import hook

ROOT = Path(__file__).parents[2]


def test_every_stored_file_is_listed_with_its_commands():
    rows = [line for line in hook("results").page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == sorted(
        path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")
    )
    for row in rows:
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        assert len(cells) == 6, row
        assert cells[1].startswith("20"), row  # a date
        assert cells[5].startswith("`"), row
