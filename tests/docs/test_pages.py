"""The programs and commands of pages that teach, as they stand there."""

import re
from importlib import import_module
from pathlib import Path

import jax
import pytest
from pages import commands, programs, prose

from admm.cli.main import _parse
from admm.cli.train import _options
from admm.errors import shell_spelling
from benchmarks import NAMES
from benchmarks.__main__ import COMMANDS
from benchmarks.report import Report

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the programs of a page, one after the other, in an empty folder; returns their names."""
    monkeypatch.chdir(tmp_path)

    def run(page):
        names = {}
        with jax.numpy_dtype_promotion("standard"):  # as everywhere but in these tests
            for program in programs(DOCS / page):
                exec(compile(program, page, "exec"), names)
        return names

    return run


def test_the_first_page(run):
    assert run("index.md")["result"].summary["best"]["test_accuracy"] > 0.5


def test_the_tutorial(run):
    names = run("tutorial.md")
    assert names["best"]["test_accuracy"] > 0.8
    assert len(names["classes"]) == 1797
    assert names["accuracy"] > 0.85


@pytest.mark.slow
def test_own_graph(run):
    names = run("own-graph.md")
    assert (names["model"].predict(names["features"], names["adjacency"]) != "").all()
    assert names["result"].summary["best"]["test_accuracy"] > 0.7


@pytest.mark.slow
def test_own_codec(run):
    names = run("own-codec.md")
    assert names["message"].size == names["codec"].nbytes(names["x"].shape)
    assert names["errors"][-1] < 1e-2 * names["errors"][0]
    last = [names[name].trace["lagrangian"] for name in ("exact", "coded")]
    assert max(values[-1] for values in last) < 1e-4


@pytest.mark.slow
def test_commands_in_a_notebook(run, tmp_path):
    assert len(run("commands.md")["watchers"]) == 3
    assert any((tmp_path / "logs" / "digits").rglob("events.*"))


def test_every_page_with_programs_has_a_test():
    """By a call of `run` here, or as the PAGE of a module."""
    tests = "".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    named = re.findall(r'\brun\("(.*\.md)"\)|^PAGE = .* "docs" / "(.*\.md)"$', tests, re.MULTILINE)
    tested = {name for names in named for name in names}
    for page in DOCS.rglob("*.md"):
        assert not programs(page) or str(page.relative_to(DOCS)) in tested, page


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name
)
def test_the_commands_of_every_page_fit_the_command_line(page):
    for words, _ in commands(page):
        to_fill_in = [word for word in words if re.match(r"--resume|.*[$\[…]", word)]
        if not to_fill_in and not words[0].isupper():
            with shell_spelling():
                arguments = _parse(words)
                if arguments.command == "train":
                    _options(vars(arguments))


class ParsedError(Exception):
    """A benchmark has understood its command."""


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name
)
def test_the_benchmarks_of_every_page_fit_the_command_line(page, monkeypatch, tmp_path):
    def parsed(*_):
        raise ParsedError

    monkeypatch.setattr(Report, "__init__", parsed)
    monkeypatch.chdir(tmp_path)
    for words in [words for words, _ in commands(page, "benchmarks")]:
        words = [each for each in words if each not in ("--data-dir", "DIR")]
        if words[0].isupper():  # for a person to fill in
            continue
        assert words[0] in COMMANDS, words
        if words[0] in NAMES and not any(re.match(r".*[$…]", word) for word in words):
            with pytest.raises(ParsedError), shell_spelling():
                import_module(f"benchmarks.{words[0].replace('-', '_')}").main(words[1:])


@pytest.mark.slow
def test_the_commands_of_the_tutorial(admm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [*commands(DOCS / "tutorial.md")]
    assert len(found) >= 9
    for words, ranks in found:
        done = admm(*words, ranks=ranks)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"first", "two", "small"}


@pytest.mark.slow
def test_the_commands_of_own_graph(admm, run):
    run("own-graph.md")  # writes the file
    for words, ranks in commands(DOCS / "own-graph.md"):
        done = admm(*words, ranks=ranks)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_sentences_have_at_most_25_words(page):
    assert not [each for each in prose(page) if len(each.split()) > 25]
