"""The ticks of sadmm and gsADMM: which subnetwork has which micro-batch, and when."""

from typing import Any

from matplotlib.figure import Figure

from admm.methods.stochastic.worker import _Span as Span
from admm.methods.subnetworks.worker import batches_in_flight
from admm.solvers.stochastic import groups, groups_ahead
from docs.pictures.style import DOWN, STEP, UP, write

_SUBNETWORKS, _BATCHES, _LEAST = 4, 10, 5
_WIDE, _TALL = 0.94, 0.42


def draw() -> Figure:
    figure = Figure(figsize=(8, 5.2), facecolor="white", layout="constrained")
    upper, lower = figure.subplots(2, 1)
    _draw_sadmm(upper)
    _draw_gsadmm(lower)
    for axes in (upper, lower):
        axes.set_yticks(range(_SUBNETWORKS), [f"subnetwork {n}" for n in range(_SUBNETWORKS)])
        axes.set(xlabel="tick", xlim=(-0.6, 17.6), ylim=(-0.55, _SUBNETWORKS - 0.45))
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params("y", length=0)
    return figure


def _draw_sadmm(axes: Any) -> None:
    """Up, down, and after some ticks a W-step of all, with how many micro-batches it takes."""
    steps = groups(_BATCHES, _LEAST)
    ends = [group[-1] + 2 * (_SUBNETWORKS - 1) for group in steps]

    def place(tick: int) -> int:
        """A W-step takes room after its tick."""
        return tick + sum(tick > end for end in ends)

    for number in range(_SUBNETWORKS):
        span = Span(number, number + 1, _SUBNETWORKS)
        for batch, tick in enumerate(span.up(_BATCHES)):
            _cell(axes, place(tick), number + _TALL / 2, UP, batch)
        for batch, tick in enumerate(span.down(_BATCHES)):
            _cell(axes, place(tick), number - _TALL / 2, DOWN, batch)
        for end, own in zip(ends, groups_ahead(steps, number), strict=True):
            x = place(end) + 1
            axes.barh(number, _WIDE, 2 * _TALL, x - _WIDE / 2, color=STEP, ec="white", lw=0.6)
            write(axes, x, number - 0.02, f"W\n{len(own)}", color="white", fontsize=8.5)
    ticks = range(ends[-1] + 1)
    axes.set_xticks([place(tick) for tick in ticks], ticks)
    axes.set_title(
        "sadmm: up (blue), down (brown), W-step of all on what has come down since the last",
        fontsize=9.5,
        loc="left",
    )


def _draw_gsadmm(axes: Any) -> None:
    """The last subnetwork needs no evaluation in front of its visit."""
    axes.set_xticks(range(2 * (_SUBNETWORKS - 1) + _BATCHES))
    for number in range(_SUBNETWORKS):
        flights = batches_in_flight(number, _SUBNETWORKS)
        for batch in range(_BATCHES):
            tick = number + batch
            if flights > 1:
                _cell(axes, tick, number + _TALL / 2, UP, batch)
            _cell(axes, tick + flights - 1, number - _TALL / 2, DOWN, batch)
    axes.set_title(
        "gsADMM: f goes up (blue); a step, and a target for the subnetwork below (brown)",
        fontsize=9.5,
        loc="left",
    )


def _cell(axes: Any, x: int, y: float, color: str, batch: int) -> None:
    axes.barh(y, _WIDE, _TALL, x - _WIDE / 2, color=color, ec="white", lw=0.6)
    write(axes, x, y - 0.02, str(batch), color="white", fontsize=8.5)
