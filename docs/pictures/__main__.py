"""`python -m docs.pictures [FOLDER]` draws all pictures, by default into docs/images."""

import sys
from importlib import import_module
from pathlib import Path

from docs.pictures import PICTURES
from docs.pictures.style import save

IMAGES = Path(__file__).parent.parent / "images"


def main(folder: Path = IMAGES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        save(import_module(f"docs.pictures.{name}").draw(), folder / f"{name}.svg")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
