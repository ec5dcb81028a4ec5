"""The programs and the sentences of pages of the documentation, for tests."""

import re
from pathlib import Path


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
