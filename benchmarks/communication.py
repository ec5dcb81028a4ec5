"""What messages cost and what they lose: every codec, on every data set, over several seeds.

    python -m benchmarks communication --datasets cora citeseer --codecs float32 delta4 delta2

A row is the mean over seeds of runs of `admm train` on so many workers: payload bytes of p and q
and their fraction of float32's, accuracies at the earliest epoch of highest validation accuracy
(mean and standard deviation), and the primal residual (Σ ‖p_{l+1} − q_l‖²)^½ at the end. The
workers live in one process, which sends the same messages as ranks do. `levels` constrains p to
−1…20 (pdADMM-G-Q). Options behind `--` go to `admm train`.
"""

from collections.abc import Sequence
from itertools import product
from statistics import mean
from typing import Any

from benchmarks.looks import BLUE, GREEN, ORANGE, PINK
from benchmarks.report import Report, Row, at_least, make_parser, set_defaults, split_argv
from benchmarks.training import Summary, mean_and_std, train_all
from quant import CODEC_NAMES

_CODECS = tuple(name for name in CODEC_NAMES if name != "float64")
_COLUMNS = {
    "dataset": "<13",
    "workers": ">7d",
    "codec": "<9",
    "seeds": ">5d",
    "bytes": ">12.0f",
    "fraction_of_float32": ">19.4f",
    "val_accuracy": ">12.4f",
    "test_accuracy": ">13.4f",
    "test_std": ">8.4f",
    "residual": ">9.2e",
}


def main(argv: Sequence[str]) -> None:
    argv, options = split_argv(argv)
    parser = make_parser("communication", __doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--codecs", nargs="+", default=_CODECS, choices=_CODECS)
    parser.add_argument("--workers", nargs="+", type=int, help="[2 5; quick: 2]")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), help="[0 1 2 3 4; quick: 0]")
    given = parser.parse_args(argv)
    set_defaults(
        given, {"workers": [2], "seeds": [0]}, {"workers": [2, 5], "seeds": [0, 1, 2, 3, 4]}
    )
    if min(given.workers) < 2:
        parser.error("--workers must be at least 2: a single worker sends nothing")
    if given.quick:
        options = ["--epochs", "20", *options]
    cases = list(product(given.datasets, given.workers))
    runs = [
        _options(dataset, workers, codec, seed, options)
        for dataset, workers in cases
        for codec in given.codecs
        for seed in given.seeds
    ]
    report = Report("communication", given)
    summaries = train_all(runs)
    report.begin(_COLUMNS, len(cases) * len(given.codecs))
    for dataset, workers in cases:
        for codec in given.codecs:
            own = [next(summaries) for _ in given.seeds]
            head = {"dataset": dataset, "workers": workers, "codec": codec, "seeds": len(own)}
            report.add({**head, **_row(own), "options": options})
    report.finish(draw)


def _options(
    dataset: str, workers: int, codec: str, seed: int, options: Sequence[str]
) -> list[str]:
    head = ["--dataset", dataset, "--workers", str(workers), "--seed", str(seed)]
    levels = ["--levels=-1:20"] if codec == "levels" else []
    return [*head, "--codec", codec, *levels, *options]


def _row(runs: Sequence[Summary]) -> Row:
    sent, plain = (sum(run["bytes"][name] for run in runs) for name in ("sent", "float32"))
    val, test = (
        mean_and_std(part, [run["best"][f"{part}_accuracy"] for run in runs])
        for part in ("val", "test")
    )
    return {
        "bytes": sent / len(runs),
        "fraction_of_float32": sent / plain,
        "val_accuracy": val["val_mean"],
        "val_std": val["val_std"],
        "test_accuracy": test["test_mean"],
        "test_std": test["test_std"],
        "residual": sum(run["final"]["primal_residual"] for run in runs) / len(runs),
    }


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracy of codecs, in the order of their bytes, a panel for each data set."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    workers = list(dict.fromkeys(row["workers"] for row in rows))
    sent: dict[str, list[float]] = {}
    for row in rows:
        sent.setdefault(row["codec"], []).append(row["fraction_of_float32"])
    codecs = sorted(sent, key=lambda codec: mean(sent[codec]))
    panels = figure.subplots(1, len(datasets), squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        for number, count in enumerate(workers):
            own = [row for row in rows if (row["dataset"], row["workers"]) == (dataset, count)]
            # Beside each other: float32 has the same bits on any number of workers.
            x = [codecs.index(row["codec"]) + 0.2 * number for row in own]
            y, error = ([row[name] for row in own] for name in ("test_accuracy", "test_std"))
            look = {"color": (BLUE, ORANGE, GREEN, PINK)[number % 4], "fmt": "os^D"[number % 4]}
            label = f"{count} workers" if dataset == datasets[0] else None
            axes.errorbar(x, y, error, capsize=3, label=label, **look)
        axes.set_title(dataset)
        ticks = [f"{codec}\n{mean(sent[codec]):.2g}" for codec in codecs]
        axes.set_xticks([place + 0.1 * (len(workers) - 1) for place in range(len(codecs))], ticks)
        axes.tick_params(labelsize="small")
        axes.margins(x=0.25)
        axes.grid(alpha=0.25, axis="y")
    panels[0].set_ylabel("test accuracy")
    figure.supxlabel("codec; bytes sent ÷ those of float32", fontsize="medium")
    figure.legend(loc="outside upper center", ncols=len(workers), frameon=False)
