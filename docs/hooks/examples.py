"""A page of the site for each example, made of the script whenever it is built."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "examples"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that are written by hand; MkDocs calls it."""
    import jupytext
    from mkdocs.structure.files import File

    for path in sorted(FOLDER.glob("*.py")):
        notebook = jupytext.read(path, fmt="py:percent")
        for each in (notebook, *notebook.cells):
            each.metadata = {}  # neither a header nor tags on the page
        text = jupytext.writes(notebook, fmt="md")
        files.append(File.generated(config, f"examples/{path.stem}.md", content=text))
    return files
