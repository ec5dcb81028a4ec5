"""Stochastic ADMM against backpropagation in mini-batches: what depth is worth, and what it costs.

    python -m benchmarks depth --rows 3000 --passes 1 2 5 10 20 -- --data-dir DIR
    python -m benchmarks depth --rows 55000 --passes 5 --rival-passes 10 --to 0.97 -- --data-dir DIR

Rows of `sadmm` are runs of `admm train`, with its defaults, in one process per core; options behind
`--` go to it. `adam`, `adamw` and `sgd` (Nesterov's momentum of 0.9) train the same network from
He's weights; learning rate, size of mini-batches, weight decay and deviation of the inputs, in this
order in `setting`, are chosen on validation images from the grids of `benchmarks.minibatch`, with
the same number of passes and with seeds that are not among those reported: a setting that is the
best with its own was lucky with them. `--tuning-seeds 0` chooses with the reported ones all the
same. Accuracies are those after the last pass, means over seeds. `share` is bytes sent over those
of float32. `seconds` of training are the median, without compilation; `to` is the median of those
until a validation accuracy of `--to`, looked at after every pass, if every seed reaches it.

    python -m benchmarks depth --part time --hidden 512 --methods sadmm adam

Time: epochs of random images, as in `python -m benchmarks tssm --part time`, which says what the
results are.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from admm.datasets import load_images
from benchmarks import tssm_time
from benchmarks.looks import Name, line_look, name_ends
from benchmarks.minibatch import GRIDS, Rows, Score, Setting, Size, rows_of, settings, train
from benchmarks.report import (
    Report,
    Row,
    at_least,
    make_parser,
    positive,
    refuse_set,
    set_defaults,
    split_argv,
)
from benchmarks.training import train_all, words_of

PARTS = ("accuracy", "time")
COLUMNS = {
    "dataset": "<15",
    "rows": ">6",
    "layers": ">6",
    "hidden": ">6",
    "method": "<6",
    "setting": "<26",
    "passes": ">6",
    "seeds": ">5",
    "val": ">6.4f",
    "test": ">6.4f",
    "test_std": ">8.4f",
    "share": ">5.3f",
    "seconds": ">8.1f",
    "to": ">6.1f",
}
# Beyond all seeds of rows.
_TUNING_SEED = 1000

_SET = ("dataset", "rows", "layers", "hidden", "epochs", "seed", "solver", "workers", "codec")


def main(argv: Sequence[str]) -> None:
    given, options = parse(*split_argv(argv))
    report = Report("depth", given)
    if given.part == "time":
        _time(given, report)
    else:
        _compare(given, options, report)
    report.finish(draw)


def _time(given: argparse.Namespace, report: Report) -> None:
    """Of all sizes one after the other; there is no random data of the sizes of a data set."""
    fixed = {"network": ["mlp"], "blocks": 1, "filters": 1, "cut": None, "peers": False}
    for layers in given.layers:
        for hidden in given.hidden:
            case = {**vars(given), **fixed, "layers": layers, "hidden": hidden}
            tssm_time.run(argparse.Namespace(**case), report)


def _compare(given: argparse.Namespace, options: Sequence[str], report: Report) -> None:
    rivals = [name for name in given.methods if name in GRIDS]
    ours = [name for name in given.methods if name not in GRIDS]
    count = len(given.layers) * len(given.hidden)
    per = len(ours) * len(given.codecs) * len(given.passes) + len(rivals) * len(given.rival_passes)
    report.begin(COLUMNS, count * per)
    for layers in given.layers:
        for hidden in given.hidden:
            _add_ours(given, ours, layers, hidden, options, report)
            _add_rivals(given, rivals, layers, hidden, options, report)


def _add_ours(
    given: argparse.Namespace,
    methods: Sequence[str],
    layers: int,
    hidden: int,
    options: Sequence[str],
    report: Report,
) -> None:
    for method, codec, passes in product(methods, given.codecs, given.passes):
        words = {"dataset": given.dataset, "rows": given.rows, "layers": layers}
        words |= {"hidden": hidden, "epochs": passes, "solver": method, "codec": codec}
        words |= {"workers": given.workers, "eval-every": 1 if given.to else passes}
        runs = [[*options, *words_of(words), "--seed", str(seed)] for seed in range(given.seeds)]
        found = list(train_all(runs))
        scores = [_score(run["history"], given.to) for run in found]
        sent, whole = (sum(run["bytes"][name] for run in found) for name in ("sent", "float32"))
        about = {"setting": codec, "passes": passes, "options": list(options)}
        about["share"] = sent / whole if whole else None
        report.add(_row(given, layers, hidden, method, scores, about))


def _score(history: Sequence[Row], to: float | None) -> Score:
    last = history[-1]
    reached = [line["iterate_seconds"] for line in history if to and line["val_accuracy"] >= to]
    reach = min(reached, default=None)
    return Score(last["val_accuracy"], last["test_accuracy"], last["iterate_seconds"], reach)


def _add_rivals(
    given: argparse.Namespace,
    methods: Sequence[str],
    layers: int,
    hidden: int,
    options: Sequence[str],
    report: Report,
) -> None:
    if not methods:
        return
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--data-dir")
    rows = rows_of(
        load_images(given.dataset, folder.parse_known_args(options)[0].data_dir), given.rows
    )
    for method in methods:
        for passes in given.rival_passes:
            size = Size(layers, hidden, passes)
            others = range(_TUNING_SEED, _TUNING_SEED + given.tuning_seeds)
            best = _tuned(method, rows, size, others or range(given.seeds))
            scores = [
                train(method, best, rows, size, seed, given.to) for seed in range(given.seeds)
            ]
            told = f"{best.lr:g}, {best.batch}, {best.decay:g}, {best.scale:g}"
            about = {"setting": told, "passes": passes, "share": None, **best._asdict()}
            report.add(_row(given, layers, hidden, method, scores, about))


def _tuned(method: str, rows: Rows, size: Size, seeds: Sequence[int]) -> Setting:
    """The setting of the best mean validation accuracy over seeds."""

    def val(setting: Setting) -> float:
        return float(np.mean([train(method, setting, rows, size, seed).val for seed in seeds]))

    return max(settings(method), key=val)


def _row(
    given: argparse.Namespace,
    layers: int,
    hidden: int,
    method: str,
    scores: Sequence[Score],
    about: Row,
) -> Row:
    val, test, seconds = (np.array(each) for each in list(zip(*scores, strict=True))[:3])
    reached = [score.to for score in scores if score.to is not None]
    head = {"dataset": given.dataset, "rows": given.rows, "layers": layers, "hidden": hidden}
    figures = {"val": val.mean(), "test": test.mean(), "test_std": test.std()}
    return {
        **head,
        "method": method,
        "seeds": len(scores),
        **{name: float(value) for name, value in figures.items()},
        "seconds": float(np.median(seconds)),
        "to": float(np.median(reached)) if len(reached) == len(scores) else None,
        **about,
    }


def parse(argv: Sequence[str], options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """All settings, resolved, and the options of `admm train`."""
    parser = make_parser("depth", __doc__)
    methods = ("sadmm", "gsadmm", "gsam", *GRIDS)
    parser.add_argument("--part", choices=PARTS, default="accuracy")
    parser.add_argument("--dataset", help="[mnist14; quick: digits]")
    parser.add_argument("--rows", type=at_least(1), help="training rows [3000; quick: 800]")
    parser.add_argument("--layers", nargs="+", type=at_least(2), help="[10; quick: 4]")
    parser.add_argument("--hidden", nargs="+", type=at_least(1), help="[100; quick: 32]")
    parser.add_argument("--passes", nargs="+", type=at_least(1), help="of ours [20; quick: 3]")
    parser.add_argument("--rival-passes", nargs="+", type=at_least(1), help="[--passes]")
    parser.add_argument(
        "--methods", nargs="+", default=("sadmm", *GRIDS), choices=methods, metavar="NAME"
    )
    parser.add_argument("--codecs", nargs="+", default=["float32"])
    parser.add_argument("--workers", type=at_least(1), default=1)
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [5; quick: 1]")
    parser.add_argument(
        "--tuning-seeds", type=at_least(0), metavar="N", help="others, for a choice [2; quick: 1]"
    )
    parser.add_argument("--to", type=positive, help="validation accuracy to reach")
    parser.add_argument("--batch", type=at_least(1), default=50, help="rows of a timed one [50]")
    parser.add_argument("--batches", type=at_least(1), help="of a timed epoch [400; quick: 40]")
    parser.add_argument("--seconds", type=positive, help="timed, at least, of a row [20; quick: 1]")
    given = parser.parse_args(argv)
    small = {"dataset": "digits", "rows": 800, "layers": [4], "hidden": [32], "passes": [3]}
    small |= {"seeds": 1, "tuning_seeds": 1, "batches": 40, "seconds": 1.0}
    usual = {"dataset": "mnist14", "rows": 3000, "layers": [10], "hidden": [100], "passes": [20]}
    usual |= {"seeds": 5, "tuning_seeds": 2, "batches": 400, "seconds": 20.0}
    set_defaults(given, small, usual)
    given.rival_passes = given.rival_passes or given.passes
    refuse_set(parser, _SET, options)
    return given, list(options)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracy over depth, and over passes where they differ; or bars of time."""
    if "epoch_ms" in rows[0]:
        tssm_time.draw(figure.subplots(), rows)
        return
    over = [name for name in ("layers", "passes") if len({row[name] for row in rows}) > 1]
    panels = over or ["layers"]
    for axes, x in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, x, rows)


def _draw(axes: Any, x: str, rows: Sequence[Row]) -> None:
    """A line for each method and size, with its name at its end."""
    sizes = [name for name in ("rows", "layers", "hidden", "passes") if name != x]
    lines: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        codec = row["setting"] if row["share"] is not None and row["share"] < 1 else ""
        line = (row["method"], codec, *(row[name] for name in sizes))
        lines.setdefault(line, []).append(row)
    longest = max(map(len, lines.values()))
    shown = {line: own for line, own in lines.items() if len(own) > 1 or longest == 1}
    differ = [len(set(values)) > 1 for values in zip(*shown, strict=True)]
    names = []
    for line, own in shown.items():
        own = sorted(own, key=lambda row: row[x])
        means, stds = ([row[name] for row in own] for name in ("test", "test_std"))
        look = line_look(line[0])
        axes.errorbar([row[x] for row in own], means, stds, marker="o", capsize=3, **look)
        words = [
            line[1],
            *(f"{value:g} {name}" for name, value in zip(sizes, line[2:], strict=True)),
        ]
        label = [line[0], *(word for word, told in zip(words, differ[1:], strict=True) if told)]
        names.append(Name(", ".join(label), own[-1][x], means[-1], look["color"]))
    axes.set(xlabel=x, ylabel="test accuracy")
    axes.grid(alpha=0.25)
    name_ends(axes, names)
