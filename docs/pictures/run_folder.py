"""The files of a run's folder: which command writes them, which reads them."""

from typing import Any, NamedTuple

from matplotlib.figure import Figure

from docs.pictures.style import DOWN, FAINT, UP, box, canvas, write

COMMANDS = ("train", "train\n--resume", "status", "plot", "report", "evaluate\npredict")


class _File(NamedTuple):
    name: str
    when: str
    writers: tuple[int, ...]  # places in COMMANDS
    readers: tuple[int, ...]


_FILES = (
    _File("options.json", "at the start", (0, 1), (2,)),
    _File("history.jsonl", "a line an evaluation", (0, 1), (1, 2, 3)),
    _File("checkpoints/", "every 50 epochs, and at the end", (0, 1), (1, 2, 5)),
    _File("model.json, models/", "the best network so far", (0, 1), (4, 5)),
    _File("summary.json", "last", (0, 1), (2, 3, 4)),
    _File("history.png", "by admm plot", (3,), ()),
    _File("lock", "while a run writes", (0, 1), (2,)),
)
_ROW, _TOP, _COLUMN, _LEFT = 0.36, 2.72, 0.75, 4.25
_WRITES: dict[str, Any] = {"marker": "s", "ms": 7.5, "color": DOWN}
_READS: dict[str, Any] = {"marker": "o", "ms": 7.5, "mew": 1.8, "mfc": "white", "mec": UP}


def draw() -> Figure:
    figure, axes = canvas(8.4, 3.5)
    write(axes, 0.2, 3.2, "RUN/", ha="left", weight="bold", family="monospace")
    for place, command in enumerate(COMMANDS):
        write(axes, _LEFT + place * _COLUMN, 3.2, command)
    for row, file in enumerate(_FILES):
        y = _TOP - row * _ROW
        box(axes, 0.2, y - 0.15, 1.7, 0.3, UP, fill=0.15)
        write(axes, 0.28, y, file.name, ha="left", family="monospace", fontsize=8.5)
        write(axes, 2.0, y, file.when, ha="left", color=FAINT, fontsize=8.5)
        for place in range(len(COMMANDS)):
            x, both = _LEFT + place * _COLUMN, place in file.writers and place in file.readers
            if place in file.writers:
                axes.plot(x - 0.1 * both, y, **_WRITES)
            if place in file.readers:
                axes.plot(x + 0.1 * both, y, **_READS)
            if place not in (*file.writers, *file.readers):
                axes.plot(x, y, marker=".", ms=1.5, color=FAINT)
    axes.plot(0.3, 0.2, **_WRITES)
    write(axes, 0.42, 0.2, "writes", ha="left")
    axes.plot(1.15, 0.2, **_READS)
    told = "reads (evaluate and predict read a checkpoint while the run has not ended)"
    write(axes, 1.27, 0.2, told, ha="left")
    return figure
