"""A picture of what accuracy costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.errors import InputError
from admm.extras import load
from admm.reports.report import Report
from admm.run.plot import run_labels

_AXES = (
    ("sent", "training messages", "B"),
    ("training_flops", "operations of all epochs", "FLOP"),
    ("iterate_seconds", "time of all epochs", "s"),
)
_MARKERS = "osD^vP*X<>"


def draw(figure: Any, reports: Sequence[Report]) -> None:
    """Draw test accuracy against bytes, FLOPs and seconds, and the front of what is not dominated.

    A run whose value is not known is missing in that panel.

    Args:
        figure: A `matplotlib.figure.Figure`.
        reports: Of the runs.

    Raises:
        InputError: If no run has an accuracy, or matplotlib is not installed.
    """
    formatter = load("matplotlib.ticker", "a plot").EngFormatter
    known = [each for each in reports if each.figures["test_accuracy"].value is not None]
    if not known:
        raise InputError("no run has a test accuracy, which the plot is of")
    labels = run_labels([Path(each.run) for each in known])
    panels = figure.subplots(1, len(_AXES), sharey=True)
    handles: dict[str, Any] = {}
    for panel, (name, title, unit) in zip(panels, _AXES, strict=True):
        points = []
        for number, (label, each) in enumerate(zip(labels, known, strict=True)):
            x, y = each.figures[name].value, each.figures["test_accuracy"].value
            if x is not None and y is not None:
                points.append((x, y))
                look = {"marker": _MARKERS[number % len(_MARKERS)], "color": f"C{number % 10}"}
                # Hollow, and each larger than the one above it: runs may share a place.
                size = 40 + 60 * (len(known) - number)
                (handles[label],) = panel.plot(
                    x, y, linestyle="", fillstyle="none", markersize=size**0.5, mew=2, **look
                )
        if points:
            (handles["no run is both cheaper and better"],) = panel.plot(
                *zip(*pareto(points), strict=True), color="0.4", marker=".", zorder=0
            )
        else:
            panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes)
        panel.set_xlim(0, 1.15 * max((x for x, _ in points), default=0) or 1)
        panel.locator_params("x", nbins=4)
        panel.xaxis.set_major_formatter(formatter(unit=unit))
        panel.set_xlabel(title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy of the best network")
    figure.legend([*handles.values()], [*handles], loc="outside upper center", ncols=4)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other one beats at lower or equal cost, in the order of cost.

    Example:
        >>> pareto([(1, 0.5), (2, 0.4), (3, 0.8), (1, 0.3)])
        [(1, 0.5), (3, 0.8)]
    """
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front
