"""Pictures in files: PNG, PDF, SVG and whatever else matplotlib writes."""

import io
from pathlib import Path
from typing import Any

from admm.errors import InputError, spelled
from admm.extras import load
from admm.files import write_atomically


def check_kind(option: str, path: Path) -> None:
    """Refuse a file whose name ends with no kind of picture.

    Raises:
        InputError: If it does, or matplotlib is not installed.
    """
    canvas = load("matplotlib.backend_bases", "a plot").FigureCanvasBase
    known = canvas.get_supported_filetypes()
    if _kind(path) not in known:
        raise InputError(f"{spelled(option)} must end in one of .{', .'.join(known)}, got {path}")


def write_picture(path: Path, figure: Any, dpi: int) -> None:
    """Write a `matplotlib.figure.Figure`, complete or not at all; `dpi` is dots an inch.

    Raises:
        OutputError: If the system refuses.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=_kind(path), dpi=dpi)
    write_atomically(path, picture.getvalue())


def _kind(path: Path) -> str:
    return path.suffix.removeprefix(".").lower()
