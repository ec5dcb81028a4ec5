"""The look of all pictures: sizes, fonts, colours, boxes and arrows. Lengths are in inches."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from benchmarks.looks import BLUE, GREEN, ORANGE, PINK

# A colour for each worker, rank, part or client; and what goes up or down a network.
WORKERS = (BLUE, ORANGE, GREEN, PINK)
UP, DOWN, STEP = "#2a7f9e", "#c0682b", "#3d3d3d"
INK, FAINT = "#2b2b2b", "#8a8a8a"

# In points; a picture of 8 inches is shown 700 to 900 pixels wide.
_SIZE = 9.0


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A white figure, and axes that cover it: data are inches from the lower left corner."""
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def write(axes: Axes, x: float, y: float, text: str, **look: Any) -> None:
    """Text, centred at a point, unless `look` has it otherwise."""
    usual = {"ha": "center", "va": "center", "color": INK, "fontsize": _SIZE}
    axes.text(x, y, text, usual | look)


# Behind text that stands on lines.
CARD = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}


def box(
    axes: Axes, x: float, y: float, width: float, height: float, color: str, fill: float = 0.12
) -> None:
    """A box with round corners, from its lower left one; `fill` is the opacity of its inside."""
    shape = "round,pad=0,rounding_size=0.06"
    for look in ({"fc": color, "ec": "none", "alpha": fill}, {"fc": "none", "ec": color}):
        axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, lw=1.2, **look))


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, **look: Any
) -> None:
    """An arrow from one point to another; `look` goes to `FancyArrowPatch`."""
    look = {"arrowstyle": "-|>", "lw": 1.4, "shrinkA": 0, "shrinkB": 0} | look
    axes.annotate("", end, start, arrowprops={"color": color, **look})


def save(figure: Figure, path: Path) -> None:
    """Write an SVG file whose bytes depend on the picture alone; letters are drawn as shapes."""
    with rc_context({"svg.hashsalt": "layerwise-admm", "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
