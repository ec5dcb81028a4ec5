"""A round of consensus ADMM over clients, one of them offline."""

from matplotlib.figure import Figure

from docs.pictures.style import DOWN, FAINT, STEP, UP, WORKERS, arrow, box, canvas, write

_WIDE, _GAP, _OFFLINE = 1.72, 0.22, 2


def draw() -> Figure:
    figure, axes = canvas(8, 3.5)
    box(axes, 1.6, 2.62, 4.8, 0.72, STEP)
    write(axes, 4, 3.16, "server", weight="bold")
    write(axes, 4, 2.9, "z ← mean of the last answers of all clients")
    write(axes, 4, 2.72, "the answer of a client that is offline is its last one", fontsize=8)
    for number, color in enumerate(WORKERS):
        left = 0.23 + number * (_WIDE + _GAP)
        there = number != _OFFLINE
        color = color if there else FAINT
        box(axes, left, 0.12, _WIDE, 1.32, color, fill=0.12 if there else 0.05)
        middle = left + _WIDE / 2
        write(axes, middle, 1.28, f"client {number}", color=color, weight="bold")
        if not there:
            write(
                axes,
                middle,
                0.98,
                "offline: its w, u and data\nwait for the next round",
                fontsize=8,
            )
            x = (middle + 4) / 2
            axes.plot([middle, x + 0.1], [1.5, 2.55], color=FAINT, lw=1.2, ls=(0, (3, 3)))
        else:
            write(axes, middle, 1.02, "E steps of w from z", fontsize=8)
            write(axes, middle, 0.82, "u ← u + w − z", fontsize=8)
            top = 4 + (middle - 4) * 0.55
            arrow(axes, (top - 0.09, 2.57), (middle - 0.16, 1.5), DOWN)
            arrow(axes, (middle + 0.16, 1.5), (top + 0.13, 2.57), UP)
        box(axes, left + 0.12, 0.22, _WIDE - 0.24, 0.4, color, fill=0.3 if there else 0.1)
        write(axes, middle, 0.42, "stays: data and u", fontsize=8)
    write(axes, 0.2, 2.1, "down: z\n--codec-down", color=DOWN, ha="left")
    write(axes, 7.8, 2.1, "up: w + u\n--codec", color=UP, ha="right")
    return figure
