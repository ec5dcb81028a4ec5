"""A network, cut into workers: what each owns, and what crosses the cuts."""

from matplotlib.figure import Figure

from docs.pictures.style import CARD, DOWN, FAINT, UP, WORKERS, arrow, box, canvas, write

_LAYERS = (range(1, 4), range(4, 7), range(7, 10))  # of every worker
_CARD, _GAP, _START = 1.62, 0.72, 0.85
_LAYER, _STEP = 0.3, 0.48
_LOW, _HIGH = 0.72, 2.02


def draw() -> Figure:
    figure, axes = canvas(8, 2.6)
    write(axes, 0.32, 1.37, "inputs\nX")
    arrow(axes, (0.58, 1.37), (_START - 0.06, 1.37), FAINT)
    for number, (color, layers) in enumerate(zip(WORKERS, _LAYERS, strict=False)):
        left = _START + number * (_CARD + _GAP)
        box(axes, left, _LOW, _CARD, _HIGH - _LOW, color)
        write(axes, left + _CARD / 2, _HIGH + 0.16, f"worker {number}", color=color, weight="bold")
        write(axes, left + _CARD / 2, _LOW - 0.16, f"a device or MPI rank {number}", fontsize=8.5)
        for place, layer in enumerate(layers):
            x = left + 0.18 + place * _STEP
            box(axes, x, _LOW + 0.2, _LAYER, _HIGH - _LOW - 0.4, color, fill=0.55)
            write(axes, x + _LAYER / 2, 1.37, str(layer), weight="bold")
            if place:
                arrow(axes, (x, 1.37), (x - _STEP + _LAYER, 1.37), color, arrowstyle="<|-|>", lw=1)
        if number:
            cut = left - _GAP / 2
            axes.plot([cut, cut], [0.45, 2.35], color=FAINT, lw=0.9, ls=(0, (3, 3)))
            arrow(axes, (left - _GAP + 0.05, 1.66), (left - 0.05, 1.66), UP, lw=2)
            arrow(axes, (left - 0.05, 1.08), (left - _GAP + 0.05, 1.08), DOWN, lw=2)
            look = {"weight": "bold", "style": "italic", "fontsize": 11, "bbox": CARD}
            write(axes, cut, 1.88, "q", color=UP, **look)
            write(axes, cut, 0.86, "p", color=DOWN, **look)
    arrow(axes, (left + _CARD + 0.06, 1.37), (left + _CARD + 0.3, 1.37), FAINT)
    write(axes, left + _CARD + 0.55, 1.37, "loss\nR(z; y)")
    write(
        axes,
        4,
        0.2,
        "All layers update at the same time. Only activations cross a cut: q goes up, "
        "p comes down, at 2 to 32 bits an element.",
    )
    return figure
