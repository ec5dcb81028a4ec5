"""A graph in two parts: the halo of one, and where its rows come from in every epoch."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.pictures.style import FAINT, INK, UP, WORKERS, arrow, box, canvas, write

_OWN = {0: (0.45, 2.45), 1: (0.42, 1.55), 2: (0.95, 2.0), 3: (1.4, 2.5), 4: (1.42, 1.5)}
_OTHER = {5: (2.35, 2.5), 6: (2.4, 1.55), 7: (2.85, 2.05), 8: (3.3, 2.5), 9: (3.28, 1.5)}
_EDGES = ((0, 2), (1, 2), (0, 3), (2, 3), (2, 4), (1, 4), (5, 7), (6, 7), (7, 8), (7, 9), (6, 9))
_CUT = ((3, 5), (4, 6))
_EVERY, _EPOCHS = 4, 8
_CELL, _LEFT = 0.4, 4.6


def draw() -> Figure:
    figure, axes = canvas(8, 3.5)
    _draw_graph(axes)
    write(axes, _LEFT + _EPOCHS * _CELL / 2, 3.32, "epoch", fontsize=8.5)
    for epoch in range(_EPOCHS):
        write(axes, _LEFT + (epoch + 0.5) * _CELL, 3.1, str(epoch), fontsize=8.5)
    _draw_row(axes, 2.56, "exact", "rows of now, in every epoch", 1, ["0"] * _EPOCHS)
    ages = [str(epoch % _EVERY) for epoch in range(_EPOCHS)]
    _draw_row(axes, 1.64, "stale", "rows of up to N − 1 epochs ago", _EVERY, ages)
    again = ["W"] * _EPOCHS
    told = "sums of then, recomputed with the weights W of now"
    _draw_row(axes, 0.72, "refresh", told, _EVERY, again)
    told = "arrow: a message; number: age of the rows; N = 4"
    write(axes, _LEFT, 0.15, told, ha="left", fontsize=8)
    return figure


def _draw_graph(axes: Axes) -> None:
    places = {**_OWN, **_OTHER}
    box(axes, 0.15, 1.2, 1.55, 1.6, WORKERS[0])
    box(axes, 2.08, 1.2, 1.5, 1.6, WORKERS[1])
    write(axes, 0.92, 2.97, "part 0", color=WORKERS[0], weight="bold")
    write(axes, 2.83, 2.97, "part 1", color=WORKERS[1], weight="bold")
    for edges, look in ((_EDGES, {"lw": 1.2}), (_CUT, {"lw": 1.2, "ls": (0, (3, 2))})):
        for ends in edges:
            axes.plot(
                *zip(*(places[end] for end in ends), strict=True), color=FAINT, zorder=1, **look
            )
    for number, place in places.items():
        axes.plot(*place, "o", ms=15, color=WORKERS[number in _OTHER], mec="white", zorder=2)
        write(axes, *place, str(number), color="white", fontsize=8.5, zorder=3)
    write(axes, 0.15, 0.72, "halo of part 0:", ha="left")
    for number, x in ((5, 1.55), (6, 1.95)):
        axes.plot(x, 0.72, "o", ms=15, mfc="white", mec=WORKERS[1], mew=1.8)
        write(axes, x, 0.72, str(number), color=WORKERS[1], fontsize=8.5)
    write(axes, 0.15, 0.38, "neighbours of its nodes in other parts", ha="left", fontsize=8.5)


def _draw_row(axes: Axes, y: float, halo: str, text: str, every: int, cells: list[str]) -> None:
    """A halo in every epoch: what its rows are, and when a message brings something."""
    write(axes, _LEFT - 0.1, y, halo, ha="right", family="monospace", weight="bold")
    write(axes, _LEFT, y - 0.29, text, ha="left", color=FAINT, fontsize=8)
    for epoch, cell in enumerate(cells):
        x = _LEFT + epoch * _CELL
        fill = 0.6 if cell == "0" else 0.35 if cell == "W" else 0.35 - 0.09 * int(cell)
        box(axes, x + 0.03, y - 0.16, _CELL - 0.06, 0.32, UP, fill=fill)
        write(axes, x + _CELL / 2, y, cell, fontsize=8.5)
        if epoch % every == 0:
            arrow(axes, (x + _CELL / 2, y + 0.4), (x + _CELL / 2, y + 0.18), INK)
