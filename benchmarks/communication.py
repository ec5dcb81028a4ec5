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
from typing import Any

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
    summaries = train_all(runs)
    report = Report("communication", given)
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
    """Test accuracy over bytes."""
    axes = figure.subplots()
    for dataset, workers in dict.fromkeys((row["dataset"], row["workers"]) for row in rows):
        own = [row for row in rows if (row["dataset"], row["workers"]) == (dataset, workers)]
        own.sort(key=lambda row: row["fraction_of_float32"])
        x, y, error = (
            [row[name] for row in own]
            for name in ("fraction_of_float32", "test_accuracy", "test_std")
        )
        axes.errorbar(x, y, error, marker="o", capsize=3, label=f"{dataset}, {workers} workers")
    axes.set(xlabel="bytes ÷ float32", ylabel="test accuracy", xscale="log")
    axes.legend()
