"""The programs and the sentences of pages of the documentation, for tests."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# A command, up to what ends it in a shell.
STARTS = r"(?<!\S)(?:-n (\d+) )?[^\s\"]*python3? -m {program} (.*?)(?= [:|]|[;\"]|$)"


def hook(name: str) -> ModuleType:
    """A program of `docs/hooks`, which makes pages of the site."""
    path = Path(__file__).parents[1] / "docs" / "hooks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_hook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def programs(page: Path) -> list[str]:
    """The Python blocks of a page, in their order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def prose(page: Path) -> list[str]:
    """The sentences of a page, without blocks of code, equations, tables and headings."""
    text = re.sub(r"```.*?```", "\n\n", page.read_text(), flags=re.DOTALL)
    text = re.sub(r"^([|#]|    ).*$", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"\]\(.*?\)|`.*?`", "Link", text)  # one word each, and the start of a sentence
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", text)
    return [
        sentence
        for paragraph in paragraphs
        for sentence in re.split(
            r"(?<=[.?!])\s+(?=\W*(?:[A-Z]|pdADMM|gsA|[α-ω] ))", " ".join(paragraph.split())
        )
        if sentence
    ]


def commands(page: Path, program: str = "admm") -> Iterator[tuple[list[str], str | None]]:
    """The commands of a page that start a program: its words, and the number of ranks."""
    text = page.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    within = re.findall(r"`(python -m .*?)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in "\n".join([*blocks, *within]).replace("\\\n", " ").splitlines():
        for ranks, words in re.findall(STARTS.format(program=program), line):
            yield shlex.split(words, comments=True), ranks or None
