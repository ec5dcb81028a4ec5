"""Pictures of runs: what their histories and summaries hold, beside each other."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from admm.errors import InputError
from admm.extras import load
from admm.run.history import OTHER_SCORES, Evaluation, read_history
from admm.run.options import folder_of
from admm.run.status import read_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that can be told apart.
_MOST = 10

# Inches.
_WIDTH, _HEIGHT = 3.7, 2.9

# A logarithmic axis from this ratio of magnitudes on; below zero it has so much of a linear part.
_WIDE, _LINEAR = 30, 1e-6

_STYLES = ("-", "--", ":", "-.")

# Parts of the time, the darkest first; what is left of the total is the last.
_SHADES = (1.0, 0.72, 0.5, 0.36, 0.24, 0.12)
_TIMES = {
    "iterate": "compute",
    "wait": "wait",
    "evaluate": "evaluate",
    "checkpoint": "checkpoint",
    "compile": "compile",
}


class _Run(NamedTuple):
    label: str
    color: Any
    history: list[Evaluation]
    stages: list[int]  # of every evaluation
    epochs: list[int]  # over all stages
    seconds: Mapping[str, float]  # none before its end


class _Panel(NamedTuple):
    """What one pair of axes shows of the history."""

    title: str
    label: str  # of the vertical axis
    holds: Callable[[str], bool]  # whether a value belongs there
    may_be_log: bool = True
    alike: bool = False  # whether a run has one of the values at most, so that one style is enough
    scale: float = 1.0


_PANELS = (
    _Panel("Loss", "mean over rows", lambda name: name.endswith("_loss")),
    _Panel(
        "Accuracy",
        "fraction right",
        lambda name: name.endswith("_accuracy") and not name.endswith(OTHER_SCORES),
        may_be_log=False,
    ),
    _Panel("R²", "fraction of the variance", lambda name: name.endswith("_r2"), may_be_log=False),
    _Panel(
        "Lagrangian or objective",
        "value",
        lambda name: name in ("lagrangian", "objective"),
        alike=True,
    ),
    _Panel("Residuals", "norm", lambda name: name.endswith("_residual")),
    _Panel("Messages", "MB since the start", lambda name: name == "bytes_sent", False, scale=1e-6),
    _Panel("Other values", "", lambda name: _is_other(name)),
)

# What says where a line belongs, and settings that change.
_NO_VALUES = (
    *("stage", "epoch", "layers", "modules", "seconds", "iterate_seconds"),
    *("rho", "nu", "alpha"),
)


def _is_other(name: str) -> bool:
    """Whether a value has no panel of its own, as those of other methods may have none."""
    known = any(panel.holds(name) for panel in _PANELS[:-1])
    return not known and name not in _NO_VALUES and not name.endswith(OTHER_SCORES)


def plot_runs(runs: Sequence[str | Path]) -> "Figure":
    """Losses, accuracies or R², objective, residuals, bytes over epochs, and where the time went.

    A colour is a run, a line style a value. What no run has is left out; so is the time of a run
    that has not ended. Epochs count over all stages, which dotted lines part.

    Args:
        runs: `out` folders, at most ten.

    Raises:
        InputError: If matplotlib is not installed, there is no run or too many, one has no
            evaluation yet, all have nothing to show, or files are damaged.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> run = tempfile.mkdtemp()
        >>> result = train(options(layers=2, hidden=16, epochs=5, out=run))
        >>> [axes.get_title() for axes in plot_runs([run]).axes][:2]
        ['Loss', 'Accuracy']
    """
    figure_module = load("matplotlib.figure", "a plot")
    found = _read(runs)
    values = [name for run in found for line in run.history for name in line]
    names = {panel: [n for n in dict.fromkeys(values) if panel.holds(n)] for panel in _PANELS}
    shown = {panel: of for panel, of in names.items() if any(_is_seen(found, n) for n in of)}
    timed = [run for run in found if run.seconds]
    count = len(shown) + bool(timed)
    if not count:
        raise InputError(f"there is nothing to plot in {' and '.join(r.label for r in found)}")
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = figure_module.Figure(
        figsize=(_WIDTH * columns, _HEIGHT * rows + 0.5), layout="constrained"
    )
    every = [figure.add_subplot(rows, columns, n + 1) for n in range(count)]
    for axes, (panel, of) in zip(every, shown.items(), strict=False):
        _draw(axes, panel, of, found)
    if timed:
        _draw_time(every[-1], timed)
    told = "; dotted lines: a stage ends" if any(len(set(r.stages)) > 1 for r in found) else ""
    if len(found) == 1:
        figure.suptitle(f"{found[0].label}{told}", fontsize="medium")
    else:
        handles = [load("matplotlib.lines", "a plot").Line2D([], [], color=r.color) for r in found]
        figure.legend(
            handles,
            [run.label for run in found],
            loc="outside upper center",
            ncols=min(len(found), 4),
            frameon=False,
            title=told.removeprefix("; ") or None,
            title_fontsize="small",
        )
    return figure


def run_labels(folders: Sequence[Path]) -> list[str]:
    """What runs are called side by side: the names of their folders, or their paths if two agree.

    Example:
        >>> run_labels([Path("runs/a"), Path("runs/b")])
        ['a', 'b']
        >>> run_labels([Path("new/a"), Path("old/a")])
        ['new/a', 'old/a']
    """
    names = [folder.absolute().name for folder in folders]
    return names if len(set(names)) == len(names) else list(map(str, folders))


def _read(runs: Sequence[str | Path]) -> list[_Run]:
    colormaps = load("matplotlib", "a plot").colormaps
    folders = [folder_of(run) for run in runs]
    if not 1 <= len(folders) <= _MOST:
        raise InputError(f"a plot shows 1 to {_MOST} runs, got {len(folders)}")
    found = []
    for number, (folder, label) in enumerate(zip(folders, run_labels(folders), strict=True)):
        history = read_history(folder)
        if not history:
            raise InputError(f"{folder} has no evaluation yet; look again when it has")
        stages = [line["stage"] for line in history]
        last = {line["stage"]: line["epoch"] for line in history}  # of every stage
        before = {stage: sum(last[s] for s in last if s < stage) for stage in last}
        epochs = [before[line["stage"]] + line["epoch"] for line in history]
        seconds = (read_summary(folder) or {}).get("seconds", {})
        found.append(_Run(label, colormaps["tab10"](number), history, stages, epochs, seconds))
    return found


def _is_seen(runs: Sequence[_Run], name: str) -> bool:
    """Whether there is more to see of a value than zeros."""
    return any(line.get(name) for run in runs for line in run.history)


def _draw(axes: "Axes", panel: _Panel, names: Sequence[str], runs: Sequence[_Run]) -> None:
    """The values of a panel, over epochs."""
    values = []
    styles = [_STYLES[0 if panel.alike else n % len(_STYLES)] for n in range(len(names))]
    for style, name in zip(styles, names, strict=True):
        for run in runs:
            points = [
                (epoch, line[name] * panel.scale)
                for epoch, line in zip(run.epochs, run.history, strict=True)
                if name in line
            ]
            if points:
                marker = "." if len(points) < 10 else ""
                axes.plot(*zip(*points, strict=True), style, marker=marker, color=run.color, lw=1.3)
                values += [value for _, value in points if math.isfinite(value)]
    for run in runs:
        for epoch, (stage, then) in zip(run.epochs, pairwise(run.stages), strict=False):
            if then != stage:
                axes.axvline(epoch, color=run.color, lw=0.7, ls=":", alpha=0.6)
    magnitudes = [abs(value) for value in values if value]
    if panel.may_be_log and magnitudes and max(magnitudes) > _WIDE * min(magnitudes):
        if min(values) > 0:
            axes.set_yscale("log")
        else:
            linear = max(min(magnitudes), _LINEAR * max(magnitudes))
            axes.set_yscale("symlog", linthresh=linear)
    if len(set(styles)) > 1:
        for style, name in zip(styles, names, strict=True):
            word = re.sub("_(accuracy|loss|r2|residual)$", "", name)
            axes.plot([], [], style, color="0.3", label="validation" if word == "val" else word)
        axes.legend(fontsize="small", frameon=False)
    axes.set(title=panel.title, xlabel="epoch", ylabel=panel.label or ", ".join(names))
    axes.grid(alpha=0.25)


def _draw_time(axes: "Axes", runs: Sequence[_Run]) -> None:
    """A bar for each run: its seconds by what they were spent on."""
    for row, run in enumerate(runs):
        parts = {label: run.seconds.get(name, 0.0) for name, label in _TIMES.items()}
        parts["other"] = max(0.0, run.seconds["total"] - sum(parts.values()))
        left = 0.0
        for shade, seconds in zip(_SHADES, parts.values(), strict=True):
            axes.barh(row, seconds, 0.6, left, color=run.color, alpha=shade, ec="white")
            left += seconds
    for shade, label in zip(_SHADES, parts, strict=True):
        axes.barh(0, 0, color="black", alpha=shade, label=label)
    spacing = {"handlelength": 1.2, "columnspacing": 1.0}
    axes.legend(loc="lower center", ncols=3, fontsize="small", frameon=False, **spacing)
    axes.set(title="Time", xlabel="seconds, mean over processes")
    axes.set_yticks(range(len(runs)), [run.label for run in runs] if len(runs) > 1 else [""])
    axes.set_ylim(len(runs) + 0.1 + 0.3 * len(runs), -0.5)  # room for the legend below
