"""`python -m docs.pictures` draws all pictures anew."""

from importlib import import_module
from pathlib import Path

from benchmarks.draw import redraw
from docs.pictures import MEASURED, PICTURES
from docs.pictures.style import save
from docs.tables import DOCS, RESULTS

IMAGES = DOCS / "images"


def explain(folder: Path = IMAGES) -> None:
    """Draw those that explain."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        save(import_module(f"docs.pictures.{name}").draw(), folder / f"{name}.svg")


def measure(folder: Path = DOCS) -> None:
    """Draw those that measure."""
    for name, files in MEASURED.items():
        redraw([RESULTS / f"{file}.json" for file in files], folder / f"{name}.png")


if __name__ == "__main__":
    explain()
    measure()
