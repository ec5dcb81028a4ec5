"""The README: short, true to the pages behind it, and with a program that runs."""

import re
from pathlib import Path

import pytest
from pages import programs, prose

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def test_it_has_at_most_900_words():
    assert len(README.read_text().split()) <= 900


def test_its_measured_figures_stand_on_the_page_that_a_row_links():
    _, table = README.read_text().split("| measured, means |")
    rows = [line for line in table.split("\n\n")[0].splitlines() if "](docs/" in line]
    assert len(rows) == 3
    for row in rows:
        ((page, heading),) = re.findall(r"\]\((docs/\w+\.md)#?([\w-]*)\)", row)
        assert len(figures(row)) >= 2, row
        assert figures(row) <= figures(section(ROOT / page, heading)), row


def section(page, heading):
    """A section of a page with those below it, by its name in links; all of it without one."""
    text = page.read_text()
    if not heading:
        return text
    parts = re.split(r"^(#+) (.*)$", text, flags=re.MULTILINE)[1:]
    found, depth = "", None
    for level, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if depth is None and link_name(title) == heading:
            depth = len(level)
        elif depth is not None and len(level) <= depth:
            break
        if depth is not None:
            found += body
    return found


def figures(text):
    """The fractions that a text has, as numbers."""
    return {float(found) for found in re.findall(r"\d*\.\d+", re.sub(r"\]\(.*?\)", "]", text))}


def test_its_program_runs():
    [program] = programs(README)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    right = names["model"].predict(names["X"], names["edges"]) == names["y"]
    assert right.mean() > 0.9


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\((?!https?:)(.*?)\)", (ROOT / page).read_text())
    assert links
    for link in links:
        path, _, heading = link.partition("#")
        assert (ROOT / path).is_file(), link
        assert not heading or heading in headings(ROOT / path), link


def headings(page):
    """The names by which links find the headings of a page."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [link_name(line) for line in lines]


def link_name(title):
    """The name by which links find a heading."""
    return re.sub(r"[^\w\s-]", "", title).lower().replace(" ", "-")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_sentences_have_at_most_25_words(page):
    sentences = prose(ROOT / page)
    assert len(sentences) > 20
    assert not [each for each in sentences if len(each.split()) > 25]
