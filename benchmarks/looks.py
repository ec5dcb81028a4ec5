"""One look for all pictures: a colour for each method, ours and rivals apart, names at lines."""

from collections.abc import Sequence
from typing import Any, NamedTuple

# Colours of Okabe and Ito, and darker or lighter ones of the same hues for their kin.
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#b5538c"
SKY, AMBER, GREY = "#56b4e9", "#c9a000", "#707070"

OURS = {
    "pdadmm-g": BLUE,
    "pdadmm-g-at-once": SKY,
    "pdadmm-g-q": "#004a75",
    "sadmm": ORANGE,
    "gsadmm": GREEN,
    "gsam": "#67b33c",
    "fed-admm": BLUE,
    # Halos of partitions.
    "exact": "#222222",
    "refresh": BLUE,
    "stale": ORANGE,
    "admm": GREEN,
    "pipe": PINK,
    "drop": GREY,
}
RIVALS = {
    "adam": PINK,
    "adam-grown": "#7a3b9a",
    "adamw": "#7a3b9a",
    "gd": AMBER,
    "sgd": AMBER,
    "adadelta": "#8c6d31",
    "adagrad": "#5f8f8f",
    "shallow": "#222222",
    "frozen": GREY,
    "fedavg": PINK,
    "fedavgm": "#7a3b9a",
    "fedprox": AMBER,
    "scaffold": GREEN,
    "fedsgd": "#8c6d31",
}

# Of the height of axes, between two names beside them.
_APART = 0.062


class Name(NamedTuple):
    """What stands beside the end of a line."""

    text: str
    x: float
    y: float
    color: str


def color_of(method: str) -> str:
    """The colour of a method, however it is run; grey for one that has none.

    Example:
        >>> color_of("adam pipeline") == color_of("adam")
        True
    """
    name = method.partition(" ")[0]
    return OURS.get(name) or RIVALS.get(name, GREY)


def is_ours(method: str) -> bool:
    """Whether a method is of this toolkit's own kind, and no rival."""
    return method.partition(" ")[0] in OURS


def line_look(method: str) -> dict[str, Any]:
    """How a method's line is drawn: solid if it is ours, dashed if it is a rival.

    Example:
        >>> line_look("sadmm")["linestyle"], line_look("adam")["linestyle"]
        ('-', '--')
    """
    return {"color": color_of(method), "linestyle": "-" if is_ours(method) else "--"}


def draw_bars(
    axes: Any, names: Sequence[str], methods: Sequence[str], values: Sequence[float | None]
) -> None:
    """Horizontal bars with their values, from the top down; those of rivals are hatched.

    What has no value was not reached.
    """
    for row, (method, value) in enumerate(zip(methods, values, strict=True)):
        ours, length = is_ours(method), value or 0.0
        face = color_of(method) if ours else "white"
        axes.barh(row, length, color=face, edgecolor=color_of(method), hatch="" if ours else "////")
        text = "not reached" if value is None else f"{value:{',.0f' if value >= 100 else '.3g'}}"
        axes.annotate(text, (length, row), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.2)


def name_ends(axes: Any, names: Sequence[Name]) -> None:
    """Write names to the right of the axes, as near as can be to the heights of the lines' ends.

    The limits and scales of the axes must stand.
    """
    axes.autoscale_view()
    shape = axes.transData + axes.transAxes.inverted()
    places = [(float(shape.transform((name.x, name.y))[1]), name) for name in names]
    places.sort(key=lambda place: place[0])
    heights = [height for height, _ in places]
    for n in range(1, len(heights)):
        heights[n] = max(heights[n], heights[n - 1] + _APART)
    ceiling = 1.0
    for n in reversed(range(len(heights))):
        heights[n] = min(heights[n], ceiling)
        ceiling = heights[n] - _APART
    for height, (_, name) in zip(heights, places, strict=True):
        axes.annotate(
            name.text,
            (name.x, name.y),
            (1.04, height),
            textcoords="axes fraction",
            va="center",
            color=name.color,
            fontsize="small",
            arrowprops={"arrowstyle": "-", "color": name.color, "lw": 0.5, "alpha": 0.5},
        )
