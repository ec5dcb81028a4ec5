"""Seconds until a network of full depth reaches an accuracy on validation nodes.

    python -m benchmarks time-to-accuracy --datasets cora --layers 2 5 10 16 --data-dir DIR

The target is `--target`, otherwise the test accuracy of Adam with ten layers of 100 neurons: that
of Wang et al. (arXiv 2105.09837, Table III), for digits our own. Every run has one core. `seconds`
are those of iterations, without compilation and evaluation; a network is evaluated after each.
A method may have several settings to choose from: backpropagation its learning rate, pdADMM-G all
layers at once or the iterations it spends in a stage. Each is run with all seeds, and the row is
that of the one which reached the target with the most seeds, and with the least median of seconds
among those; the medians are over the seeds that reached it. Stages of fewer layers count in the
seconds, but a network reaches the target with all its layers only.

Results: the seconds of the best backpropagation ÷ those of pdADMM-G, for data set and depth; none
where one of them reached the target with no seed.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from admm.solvers import LEARNING_RATES
from benchmarks.accuracy_row import RATES
from benchmarks.looks import Name, color_of, draw_bars, line_look, name_ends
from benchmarks.report import Report, Row, at_least, make_parser, set_defaults
from benchmarks.training import Summary, train_all

TARGETS = {
    # Mean of seeds 0, 1, 2, each with 200 epochs at the default learning rate.
    "digits": 0.941,
    "cora": 0.725,
    "pubmed": 0.742,
    "citeseer": 0.631,
    "amazon-computers": 0.724,
    "amazon-photo": 0.855,
    "coauthor-cs": 0.883,
    "coauthor-physics": 0.912,
}
_OURS = "pdadmm-g"
_METHODS = (_OURS, *LEARNING_RATES)
_STAGES = (5, 10, 20, 40)
_AT_ONCE = 200
_COLUMNS = {
    "dataset": "<13",
    "layers": ">6",
    "hidden": ">6",
    "method": "<9",
    "setting": "<11",
    "target": ">6.3f",
    "seeds": ">5",
    "reached": ">7",
    "iterations": ">10.0f",
    "seconds": ">8.3f",
}


class Reached(NamedTuple):
    """When a run reached the target."""

    iterations: int
    seconds: float


def main(argv: Sequence[str]) -> None:
    given = _parse(argv)
    data = [] if given.data_dir is None else ["--data-dir", str(given.data_dir)]
    cases = list(product(given.datasets, given.layers, given.methods))
    report = Report("time-to-accuracy", given)
    report.begin(_COLUMNS, len(cases))
    for dataset, layers, method in cases:
        settings = _settings(method, given.epochs)
        runs = train_all(
            [
                [*_options(dataset, layers, given.hidden, method, seed), *setting, *data]
                for setting in settings
                for seed in range(given.seeds)
            ],
            diverging=True,
        )
        row = {
            "dataset": dataset,
            "layers": layers,
            "hidden": given.hidden,
            "method": method,
            "target": given.target or TARGETS[dataset],
            "seeds": given.seeds,
        }
        report.add(row | fastest(settings, runs, layers, row["target"], given.seeds))
        report.results |= compare(report.rows)
    report.finish(draw)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("time-to-accuracy", __doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--target", type=float, metavar="X", help="validation accuracy")
    parser.add_argument("--layers", nargs="+", type=at_least(2), help="[2 5 10 16; quick: 2]")
    parser.add_argument("--hidden", type=at_least(1), help="[100; quick: 16]")
    parser.add_argument("--methods", nargs="+", default=_METHODS, choices=_METHODS)
    parser.add_argument("--epochs", type=at_least(1), help="of backpropagation [600; quick: 60]")
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [3; quick: 1]")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets [$ADMM_DATA]")
    given = parser.parse_args(argv)
    small = {"layers": [2], "hidden": 16, "epochs": 60, "seeds": 1}
    full = {"layers": [2, 5, 10, 16], "hidden": 100, "epochs": 600, "seeds": 3}
    set_defaults(given, small, full)
    unknown = [name for name in given.datasets if name not in TARGETS]
    if given.target is None and unknown:
        parser.error(
            f"--target is needed for {unknown[0]}; those of {', '.join(TARGETS)} are known"
        )
    if given.target is not None and not 0 < given.target <= 1:
        parser.error(f"--target must be in (0, 1], got {given.target}")
    return given


def _settings(method: str, epochs: int) -> list[list[str]]:
    """What there is to choose from, as options of `admm train`."""
    if method == _OURS:
        grown = [["--epochs", str(stage)] for stage in _STAGES]
        return [["--grow", "none", "--epochs", str(_AT_ONCE)], *grown]
    return [["--lr", str(rate), "--epochs", str(epochs)] for rate in RATES[method]]


def _options(dataset: str, layers: int, hidden: int, method: str, seed: int) -> list[str]:
    return [
        *("--dataset", dataset, "--layers", str(layers), "--hidden", str(hidden)),
        *("--solver", method, "--seed", str(seed), "--eval-every", "1"),
    ]


def when_reached(
    history: Sequence[Mapping[str, Any]], layers: int, target: float
) -> Reached | None:
    """The first evaluation of a network of full depth with that validation accuracy."""
    for number, evaluation in enumerate(history):
        if evaluation["layers"] == layers and evaluation["val_accuracy"] >= target:
            return Reached(number + 1, evaluation["iterate_seconds"])
    return None


def fastest(
    settings: Sequence[Sequence[str]],
    runs: Iterator[Summary],
    layers: int,
    target: float,
    seeds: int,
) -> Row:
    """The figures of the best setting, of runs setting by setting."""
    rows = []
    for setting in settings:
        found = [when_reached(next(runs)["history"], layers, target) for _ in range(seeds)]
        reached = [each for each in found if each is not None]
        rows.append(
            {
                "setting": f"{setting[0].lstrip('-')} {setting[1]}",
                "reached": len(reached),
                "iterations": _median([each.iterations for each in reached]),
                "seconds": _median([each.seconds for each in reached]),
            }
        )
    return min(rows, key=lambda row: (-row["reached"], row["seconds"] or 0.0))


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def compare(rows: Sequence[Row]) -> dict[str, float]:
    """Seconds of the best backpropagation ÷ ours, where all of its methods were run."""
    found = {}
    for ours in rows:
        place = ours["dataset"], ours["layers"]
        rivals = [row for row in rows if (row["dataset"], row["layers"]) == place]
        times = [row["seconds"] for row in rivals if row["method"] != _OURS and row["seconds"]]
        if ours["method"] == _OURS and ours["seconds"] and times:
            found[f"speedup: {place[0]}, {place[1]} layers"] = min(times) / ours["seconds"]
    return found


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Seconds over depth, a panel for each data set; bars where there is one depth."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    if len({row["layers"] for row in rows}) == 1:
        figure.set_size_inches(8, 0.8 * len(datasets) + 0.3 * len(rows))
        panels = figure.subplots(len(datasets), 1, sharex=True, squeeze=False)[:, 0]
        for axes, dataset in zip(panels, datasets, strict=True):
            own = [row for row in rows if row["dataset"] == dataset]
            methods = [row["method"] for row in own]
            draw_bars(axes, methods, methods, [row["seconds"] for row in own])
            axes.set_title(f"{dataset}, {rows[0]['layers']} layers")
        panels[-1].set_xlabel("seconds to the target")
        return
    reached = [row for row in rows if row["seconds"] is not None]
    panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        names = []
        for method in dict.fromkeys(row["method"] for row in reached):
            own = [r for r in reached if (r["dataset"], r["method"]) == (dataset, method)]
            if own:
                x, y = ([row[name] for row in own] for name in ("layers", "seconds"))
                axes.plot(x, y, marker="o", **line_look(method))
                names.append(Name(method, x[-1], y[-1], color_of(method)))
        axes.set(title=dataset, xlabel="layers", yscale="log")
        axes.grid(alpha=0.25)
        name_ends(axes, names)
    panels[0].set_ylabel("seconds to the target")
