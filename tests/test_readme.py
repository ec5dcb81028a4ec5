"""The README: short, true to the pages behind it, and with a program that runs."""

import re
from pathlib import Path

import pytest
from pages import programs, prose

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def test_it_has_at_most_900_words():
    assert len(README.read_text().split()) <= 900


def test_its_figures_stand_in_the_docs():
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    readme = re.sub(r"\]\(.*?\)", "]", README.read_text())
    figures, measured = (set(re.findall(r"\d*\.\d+", text)) for text in (readme, pages))
    assert len(figures) > 10
    assert figures <= measured


def test_its_program_runs():
    [program] = programs(README)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    right = names["model"].predict(names["X"], names["edges"]) == names["y"]
    assert right.mean() > 0.9


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_sentences_have_at_most_25_words(page):
    sentences = prose(ROOT / page)
    assert len(sentences) > 20
    assert not [each for each in sentences if len(each.split()) > 25]
