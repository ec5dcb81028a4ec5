"""Two iterations on two ranks, from a trace: messages travel behind computation."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.looks import GREEN, PINK
from docs.pictures.style import CARD, FAINT, INK, WORKERS, arrow, write

# Rows of `admm train --trace`, which the file names, of two iterations long after compilation.
_TRACE = Path(__file__).parent / "trace.json"
_COLORS = {"encode": GREEN, "decode": PINK, "wait": FAINT}
_TALL = 0.62


def draw() -> Figure:
    rows = json.loads(_TRACE.read_text())["rows"]
    figure = Figure(figsize=(8, 2.9), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for rank, category, name, start, length in rows:
        color = _COLORS.get(category, WORKERS[rank])
        y = rank - _TALL / 2
        axes.broken_barh([(start, length)], (y, _TALL), color=color, ec="white", lw=0.4)
        if category == "compute" and length > 3:
            told = name.removesuffix(" of 4").replace("layer ", "")
            layer = str(int(told) + 4 * rank) if told.isdigit() else told
            write(axes, start + length / 2, rank, layer, color="white", weight="bold")
    for variable, sender in (("p", 1), ("q", 0)):
        for sent, read in _messages(rows, variable, sender):
            up = 1 - 2 * sender
            ends = ((sent, sender + up * _TALL / 2), (read, 1 - sender - up * _TALL / 2))
            arrow(axes, *ends, INK, lw=1.3)
            look = {"style": "italic", "weight": "bold", "fontsize": 11, "bbox": CARD}
            write(axes, (sent + read) / 2, 0.5, variable, **look)
    axes.set_yticks([0, 1], ["rank 0\nlayers 1–4", "rank 1\nlayers 5–8"])
    axes.set(xlabel="time [ms]", ylim=(-0.5, 1.5), xlim=(0, max(row[3] + row[4] for row in rows)))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params("y", length=0)
    shown = {f"rank {rank} computes": WORKERS[rank] for rank in (0, 1)} | _COLORS
    for label, color in shown.items():
        axes.plot([], [], color=color, lw=6, label=label)
    axes.plot([], [], color=INK, lw=1.3, label="message")
    figure.legend(loc="outside upper center", ncols=len(shown) + 1, frameon=False, fontsize=8.5)
    return figure


def _messages(rows: list[Any], variable: str, sender: int) -> list[tuple[float, float]]:
    """When each message was ready, and when the other rank read it."""
    sent = [r[3] + r[4] for r in rows if (r[0], r[2]) == (sender, f"encode {variable}")]
    read = [r[3] for r in rows if (r[0], r[2]) == (1 - sender, f"decode {variable}")]
    # What is sent last may be read after the end of the rows.
    pairs = [(time, min((r for r in read if r >= time), default=None)) for time in sent]
    return [(time, then) for time, then in pairs if then is not None]
