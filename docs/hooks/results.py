"""A page of the site that lists the stored rows: what made them, when, and how long it took."""

import json
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

_HEAD = """# Stored rows

Most tables of these pages were made of the files below, in `benchmarks/results/` of the checkout.
A file has its rows, settings, processor and versions. `make results` measures all of them again,
and writes tables and pictures of them. `python -m benchmarks again FILE` measures one file again.
Data sets come from the folder in `ADMM_DATA`.

`tree` is the commit that was measured, with `-dirty` for changes that were not committed. Some
files have no tree or no minutes.

| file | measured | tree | jax | minutes | command, after `python -m benchmarks` |
|---|---|---|---|---|---|
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the page to those that are written by hand; MkDocs calls it."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "results.md", content=page()))
    return files


def page() -> str:
    """The text of the page."""
    return _HEAD + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    for path in sorted(RESULTS.glob("*.json"), key=lambda path: path.stem):
        content = json.loads(path.read_text())
        words = content["command"].removeprefix("python -m benchmarks ")
        minutes = ceil(content["seconds"] / 60) if "seconds" in content else ""
        about = f"{content['date'][:10]} | {content.get('tree') or ''}"
        yield f"| `{path.stem}` | {about} | {content['versions']['jax']} | {minutes} | `{words}` |"
