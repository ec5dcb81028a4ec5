"""The tables of the pages, the stored rows that they are made of, and the commands of both."""

import json
import re
from pathlib import Path

import pytest
from pages import commands

from docs import tables

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FILES = sorted(path.stem for path in tables.RESULTS.glob("*.json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_have_the_stored_rows(page):
    """If this fails: `python -m docs.tables`."""
    text = page.read_text()
    assert text.count("<!-- table:") == len(tables._TABLE.findall(text))
    assert tables.filled(text) == text


def test_every_stored_file_is_shown():
    text = "\n".join(page.read_text() for page in PAGES)
    shown = {word for words in re.findall("<!-- table: (.*?) -->", text) for word in words.split()}
    assert set(FILES) <= shown, set(FILES) - shown


def plain(words):
    """The words of a command, without its folder of data."""
    return " ".join(word for word in words if word not in ("--data-dir", "DIR")).removesuffix(" --")


def stored_command(file):
    content = json.loads((tables.RESULTS / f"{file}.json").read_text())
    return content["command"].removeprefix("python -m benchmarks ")


def test_every_stored_command_stands_on_a_page():
    found = {plain(words) for page in PAGES for words, _ in commands(page, "benchmarks")}
    missing = {file for file in FILES if stored_command(file) not in found}
    assert not missing


def test_a_table_is_filled(tmp_path, monkeypatch):
    row = {"halo": "stale", "gradient": 0.61449}
    content = {"command": "python -m benchmarks partitions -- --rho 1", "rows": [row]}
    (tmp_path / "some.json").write_text(json.dumps(content))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    text = "Text.\n\n<!-- table: gradients some -->\n\n| a | b |\n|---|---|\n{}\nMore.\n"
    assert tables.filled(text.format("| old | 1 |\n")) == text.format("| stale | .614 |\n")
    assert tables.stored("some") == [row | {"file": "some", "options": "--rho 1"}]
    assert tables.lines("gradients some halo=exact") == []


def test_cells():
    rows = [
        {"codec": "a", "offline": 0.0, "x": 1},
        {"codec": "a", "offline": 0.3, "x": 2},
        {"codec": "b", "offline": 0.3, "x": 3},
    ]
    found = tables.pivot(rows, lambda row: [row["codec"]], "offline", lambda row: str(row["x"]))
    assert found == [["a", "1", "2"], ["b", "–", "3"]]
    assert tables.line_of("a", "", None, 0) == "| a | | | 0 |"
    assert [tables.points(x, 2) for x in (0.123, -0.5, 1.0, None)] == [".12", "-.50", "1.00", ""]
    assert [tables.significant(x) for x in (8.04e-4, 0.0151, 0.25, 21.0)] == [
        "8.0e-4",
        "1.5e-2",
        ".25",
        "21",
    ]
