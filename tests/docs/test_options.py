"""Pages of options that the site is built with."""

import re
from pathlib import Path

import pytest
from pages import hook

from admm import solver_places
from admm.run.options import option_fields
from admm.run.registry import find_method

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages():
    return hook("options").pages()


def test_every_option_of_every_solver_is_there(pages):
    for solver in solver_places():
        (page,) = [text for text in pages.values() if f"`{solver}`" in text.split("##")[0]]
        for name in set(option_fields(find_method(solver))) - {"solver"}:
            assert f"| `{name}` |" in page, (solver, name)


def test_rows_say_what_the_command_line_does(pages):
    rows = (
        "| `--rho` | `rho` | number, positive and finite | 0.003 | penalty of the coupling p = q |",
        "| `--grow` | `grow` | 2,5,10 | --layers halved down to 2; backpropagation: none | ",
        "| `--dataset` | `dataset` | NAME&#124;PATH | digits | ",
    )
    for row in rows:
        assert row in pages["pdadmm-g"]
    assert "penalty ρ of p = q; only with `solver` gsadmm |" in pages["gsadmm"]
    assert "| `--no-refresh` | `refresh` | switch | True |" in pages["gsadmm"]
    assert "| `--async` | `async_` | switch | False |" in pages["partitions"]


def test_every_row_has_five_cells(pages):
    for text in pages.values():
        for row in re.findall(r"^\|.*", text, re.MULTILINE):
            assert row.count("|") == 6, row


def test_the_site_has_a_page_for_every_method(pages):
    nav = (ROOT / "mkdocs.yml").read_text()
    assert {f"options/{name}.md" for name in pages} == set(re.findall(r"options/\S+\.md", nav))
