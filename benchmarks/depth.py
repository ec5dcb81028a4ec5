"""Stochastic ADMM against backpropagation in mini-batches: what depth is worth, and what it costs.

    python -m benchmarks depth --dataset mnist14 --rows 3000 --passes 20 -- --data-dir DIR
    python -m benchmarks depth --rows 55000 --passes 5 --rival-passes 5 10 -- --data-dir DIR

Rows of `sadmm` are runs of `admm train`, with its defaults, in one process per core; options behind
`--` go to it. `adam`, `adamw` and `sgd` (Nesterov's momentum of 0.9) train the same network from
He's weights; learning rate, size of mini-batches, weight decay and deviation of the inputs, in this
order in `setting`, are chosen on validation images, with all seeds and the same number of passes,
from the grids of `benchmarks.minibatch`. Accuracies are those after the last pass, means over
seeds. `share` is bytes sent over those of float32. `seconds` of training are the median; those of
`sadmm` include compilation, those of the rivals do not.

    python -m benchmarks depth --part time --hidden 512 --methods sadmm adam

Time: epochs of random images, as in `python -m benchmarks tssm --part time`, which says what the
results are.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from admm.datasets import load_images
from benchmarks import tssm_time
from benchmarks.minibatch import GRIDS, Rows, Score, Setting, rows_of, settings, train
from benchmarks.report import (
    Report,
    Row,
    at_least,
    make_parser,
    positive,
    set_defaults,
    split_argv,
)
from benchmarks.training import train_all

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
}
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
    sizes = {"network": ["mlp"], "blocks": 1, "filters": 1, "batch": given.batch}
    for layers in given.layers:
        for hidden in given.hidden:
            case = {**vars(given), **sizes, "layers": layers, "hidden": hidden}
            tssm_time.run(argparse.Namespace(**case), report)


def _compare(given: argparse.Namespace, options: Sequence[str], report: Report) -> None:
    rivals = [name for name in given.methods if name in GRIDS]
    ours = [name for name in given.methods if name not in GRIDS]
    count = len(given.layers) * len(given.hidden)
    per = len(ours) * len(given.codecs) + len(rivals) * len(given.rival_passes)
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
    for method in methods:
        for codec in given.codecs:
            words = {"dataset": given.dataset, "rows": given.rows, "layers": layers}
            words |= {"hidden": hidden, "epochs": given.passes, "solver": method, "codec": codec}
            words |= {"workers": given.workers, "eval-every": given.passes}
            common = [part for name, value in words.items() for part in (f"--{name}", str(value))]
            runs = [[*options, *common, "--seed", str(seed)] for seed in range(given.seeds)]
            found = list(train_all(runs))
            scores = [
                Score(
                    run["history"][-1]["val_accuracy"],
                    run["history"][-1]["test_accuracy"],
                    run["history"][-1]["iterate_seconds"],
                )
                for run in found
            ]
            sent, whole = (sum(run["bytes"][name] for run in found) for name in ("sent", "float32"))
            about = {"setting": codec, "passes": given.passes, "options": list(options)}
            about["share"] = sent / whole if whole else None
            report.add(_row(given, layers, hidden, method, scores, about))


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
            best, scores = _tuned(method, rows, layers, hidden, passes, given.seeds)
            told = f"{best.lr:g}, {best.batch}, {best.decay:g}, {best.scale:g}"
            about = {"setting": told, "passes": passes, "share": None, **best._asdict()}
            report.add(_row(given, layers, hidden, method, scores, about))


def _tuned(
    method: str, rows: Rows, layers: int, hidden: int, passes: int, seeds: int
) -> tuple[Setting, list[Score]]:
    """The setting of the best mean validation accuracy, and its scores.

    Of all seeds: one that is chosen by few was lucky with them.
    """
    runs = {
        setting: [train(method, setting, rows, layers, hidden, passes, n) for n in range(seeds)]
        for setting in settings(method)
    }
    return max(runs.items(), key=lambda run: np.mean([score.val for score in run[1]]))


def _row(
    given: argparse.Namespace,
    layers: int,
    hidden: int,
    method: str,
    scores: Sequence[Score],
    about: Row,
) -> Row:
    val, test, seconds = map(np.array, zip(*scores, strict=True))
    head = {"dataset": given.dataset, "rows": given.rows, "layers": layers, "hidden": hidden}
    figures = {"val": val.mean(), "test": test.mean(), "test_std": test.std()}
    return {
        **head,
        "method": method,
        "seeds": len(scores),
        **{name: float(value) for name, value in figures.items()},
        "seconds": float(np.median(seconds)),
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
    parser.add_argument("--passes", type=at_least(1), help="of ours [20; quick: 3]")
    parser.add_argument("--rival-passes", nargs="+", type=at_least(1), help="[--passes]")
    parser.add_argument(
        "--methods", nargs="+", default=("sadmm", *GRIDS), choices=methods, metavar="NAME"
    )
    parser.add_argument("--codecs", nargs="+", default=["float32"])
    parser.add_argument("--workers", type=at_least(1), default=1)
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [5; quick: 1]")
    parser.add_argument("--batch", type=at_least(1), default=50, help="rows of a timed one [50]")
    parser.add_argument("--batches", type=at_least(1), help="of a timed epoch [400; quick: 40]")
    parser.add_argument("--seconds", type=positive, help="timed, at least, of a row [20; quick: 1]")
    given = parser.parse_args(argv)
    small = {"dataset": "digits", "rows": 800, "layers": [4], "hidden": [32], "passes": 3}
    small |= {"seeds": 1, "batches": 40, "seconds": 1.0}
    usual = {"dataset": "mnist14", "rows": 3000, "layers": [10], "hidden": [100], "passes": 20}
    usual |= {"seeds": 5, "batches": 400, "seconds": 20.0}
    set_defaults(given, small, usual)
    given.rival_passes = given.rival_passes or [given.passes]
    for name in _SET:
        if any(option.partition("=")[0] == f"--{name}" for option in options):
            parser.error(f"--{name} is set by the benchmark; see its options, in front of --")
    return given, list(options)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracy over depth, or bars of time."""
    axes = figure.subplots()
    if "epoch_ms" in rows[0]:
        tssm_time.draw(axes, rows)
        return
    for line in dict.fromkeys((row["method"], row["hidden"], row["passes"]) for row in rows):
        own = [row for row in rows if (row["method"], row["hidden"], row["passes"]) == line]
        x, y, error = ([row[n] for row in own] for n in ("layers", "test", "test_std"))
        method, hidden, passes = line
        label = f"{method}, {hidden} wide, {passes} passes"
        axes.errorbar(x, y, error, marker="o", capsize=3, label=label)
    axes.set(xlabel="layers", ylabel="test accuracy")
    axes.legend(fontsize="x-small")
