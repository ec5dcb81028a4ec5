"""gsADMM and gsAM against plain training: what cutting a network costs, and what it saves.

    python -m benchmarks tssm --part accuracy --dataset mnist14 -- --data-dir DIR
    python -m benchmarks tssm --part time --network mlp resnet

Accuracy: runs of `admm train`, with the accuracy after the last epoch, over seeds. `adam` and `gd`
(learning rate 0.01) are plain training of the whole network; `frozen` is the control, gsAM in 2
subnetworks of which only the upper one is trained. There is a worker for each subnetwork, in one
process, so that codecs matter. Runs share the cores, one each; `seconds` is the time of a run
beside the others. Options behind `--` go to `admm train`. `worst_fall` is the largest fall of the
test accuracy from one epoch to the next, from the third on, of all seeds; `q_f` = ‖q − f‖/‖f‖ and
`p_q` = ‖p − q‖/‖q‖ are of the last epoch and the worst cut (gsAM has p in the place of q), `bytes`
of a run. Results, for each of ours: test accuracy less that of `adam` and less that of `frozen`.

Time: epochs of random images on 14×14 (mlp), 28×28 (cnn) and 32×32×3 pixels (resnet), in 2
subnetworks on 1 and 2 ranks; Adam on 1 core, on 2 cores of one process, and data-parallel over 2
ranks, which sum their gradients once a mini-batch. A rank has one core. An epoch of the pipeline
includes filling and draining it. Results, for each network and each of ours:

- `2 ranks / 1 rank`: the time of an epoch;
- `2 ranks / adam`: over that of Adam on 1 core;
- `efficiency`: the time of 1 rank ÷ (2 × the time of 2 ranks);
- `vs_best_backprop`: the shortest 2-core epoch of Adam ÷ ours on 2 ranks.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from admm.training.subnetwork_options import ONLY_FOR
from benchmarks.epoch import NetworkCase, time_epoch
from benchmarks.report import Report, Row, make_parser, set_defaults
from benchmarks.training import Summary, mean_and_std, train_all
from quant import CODEC_NAMES

_OURS = ("gsadmm", "gsam")
_PLAIN = {"adam": ("--optimizer", "adam"), "gd": ("--optimizer", "gd", "--lr", "1e-2")}
_CONTROL = "frozen"
_METHODS = (*_PLAIN, _CONTROL, *_OURS)
_NETWORKS = ("mlp", "cnn", "resnet")
_CODECS = tuple(name for name in CODEC_NAMES if name not in ("float64", "levels"))
_SET = (
    *("dataset", "network", "solver", "subnetworks", "codec", "epochs", "seed", "workers"),
    *("eval-every", "optimizer", "lr", "cuts", "frozen-lower"),
)
_SIZES = ("layers", "hidden", "blocks", "filters", "batch")
_ACCURACY_COLUMNS = {
    "dataset": "<15",
    "network": "<7",
    "method": "<6",
    "subnetworks": ">11",
    "codec": "<8",
    "epochs": ">6",
    "seeds": ">5",
    "train_accuracy": ">14.4f",
    "test_accuracy": ">13.4f",
    "test_std": ">8.4f",
    "worst_fall": ">10.4f",
    "q_f": ">6.3f",
    "p_q": ">6.3f",
    "bytes": ">13.0f",
    "seconds": ">7.0f",
}
_TIME_COLUMNS = {
    "network": "<7",
    "method": "<18",
    "subnetworks": ">11",
    "codec": "<8",
    "ranks": ">5",
    "cores": ">5",
    "batches": ">7",
    "epoch_ms": ">9.1f",
    "wait_ms": ">8.1f",
    "compile_s": ">9.1f",
    "timed": ">5",
}


class Trial(NamedTuple):
    """A row of accuracies."""

    network: str
    method: str
    subnetworks: int
    codec: str


class Way(NamedTuple):
    """A method and where it runs."""

    method: str
    subnetworks: int
    codec: str
    ranks: int
    cores_per_rank: int


def main(argv: Sequence[str]) -> None:
    cut = list(argv).index("--") if "--" in argv else len(argv)
    given, options = parse(argv[:cut], argv[cut + 1 :])
    report = None
    if given.part != "time":
        report = Report("tssm", _ACCURACY_COLUMNS)
        _accuracy(given, options, report)
    if given.part != "accuracy":
        if report is None:
            report = Report("tssm", _TIME_COLUMNS)
        else:
            report.begin(_TIME_COLUMNS)
        _time(given, report)
    assert report is not None  # there is a part
    report.finish(given, draw)


def parse(argv: Sequence[str], options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """All settings, resolved, and the options of `admm train`."""
    parser = make_parser("tssm", __doc__)
    parser.add_argument("--part", choices=("accuracy", "time", "both"), default="both")
    parser.add_argument("--dataset", help="[mnist14; quick: digits]")
    parser.add_argument(
        "--network",
        nargs="+",
        choices=_NETWORKS,
        help="[mlp; of the time mlp resnet; quick: mlp]",
    )
    parser.add_argument("--methods", nargs="+", default=_METHODS, choices=_METHODS)
    parser.add_argument("--subnetworks", nargs="+", type=int, help="[2 3 4; quick: 2 3]")
    parser.add_argument("--codecs", nargs="+", default=["float32"], choices=_CODECS)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, metavar="N", help="0…N−1 [3; quick: 1]")
    parser.add_argument("--layers", type=int, help="of an mlp [10; quick: 4]")
    parser.add_argument("--hidden", type=int, help="width of dense layers [512; quick: 64]")
    parser.add_argument("--blocks", type=int, default=8, help="of a resnet [8]")
    parser.add_argument("--filters", type=int, default=32, help="of a cnn or a resnet [32]")
    parser.add_argument("--batch", type=int, help="images of a mini-batch [120; quick: 24]")
    parser.add_argument("--batches", type=int, help="of a timed epoch [100; quick: 20]")
    parser.add_argument("--seconds", type=float, help="timed, at least, of every row [1 or 20]")
    given = parser.parse_args(argv)
    small: dict[str, Any] = {
        "dataset": "digits",
        "subnetworks": [2, 3],
        "seeds": 1,
        "layers": 4,
        "hidden": 64,
        "batch": 24,
        "batches": 20,
        "seconds": 1.0,
    }
    usual: dict[str, Any] = {
        "dataset": "mnist14",
        "subnetworks": [2, 3, 4],
        "seeds": 3,
        "layers": 10,
        "hidden": 512,
        "batch": 120,
        "batches": 100,
        "seconds": 20.0,
    }
    set_defaults(given, small, usual)
    if min(given.seeds, *given.subnetworks) < 1:
        parser.error("--seeds and --subnetworks must be at least 1")
    for name in (*_SET, *_SIZES):
        if any(option.partition("=")[0] == f"--{name}" for option in options):
            parser.error(f"--{name} is set by the benchmark; see its options, in front of --")
    return given, list(options)


# Accuracy.


def _accuracy(given: argparse.Namespace, options: Sequence[str], report: Report) -> None:
    trials = list(_trials(given))
    data = ["--dataset", given.dataset, "--epochs", str(given.epochs), "--eval-every", "1"]
    runs = [
        [*options, *data, *_sizes(given, trial.network), *_options(trial), "--seed", str(seed)]
        for trial in trials
        for seed in range(given.seeds)
    ]
    summaries = train_all(runs, diverging=True)
    head = {"part": "accuracy", "dataset": given.dataset, "epochs": given.epochs}
    for trial in trials:
        own = [next(summaries) for _ in range(given.seeds)]
        report.add({**head, **trial._asdict(), **score(own), "options": options})
        report.results |= compare_scores(report.rows)
        report.save(given)


def _trials(given: argparse.Namespace) -> Iterator[Trial]:
    for network in given.network or ["mlp"]:
        for method in given.methods:
            if method in _PLAIN:
                yield Trial(network, method, 1, "float32")
            elif method == _CONTROL:
                yield Trial(network, method, 2, "float32")
            else:
                for count in given.subnetworks:
                    # A single subnetwork sends nothing.
                    for codec in given.codecs if count > 1 else ["float32"]:
                        yield Trial(network, method, count, codec)


def _sizes(given: argparse.Namespace, network: str) -> list[str]:
    """The sizes that a network has."""
    names = [name for name in _SIZES if network in ONLY_FOR.get(name, (network,))]
    return [word for name in names for word in (f"--{name}", str(getattr(given, name)))]


def _options(trial: Trial) -> list[str]:
    """Options of `admm train`."""
    count = str(trial.subnetworks)
    solver = trial.method if trial.method in _OURS else "gsam"
    return [
        *("--solver", solver, "--network", trial.network),
        *("--subnetworks", count, "--workers", count, "--codec", trial.codec),
        *_PLAIN.get(trial.method, ()),
        *(["--frozen-lower"] if trial.method == _CONTROL else []),
    ]


def score(runs: Sequence[Summary]) -> Row:
    """Figures of some runs that differ by their seeds."""
    train, val, test = (
        mean_and_std(part, [run["final"][f"{part}_accuracy"] for run in runs])
        for part in ("train", "val", "test")
    )
    falls = [
        before["test_accuracy"] - after["test_accuracy"]
        for run in runs
        for before, after in pairwise(run["history"])
        if before["epoch"] >= 3
    ]
    return {
        "seeds": len(runs),
        "diverged": sum(run["status"] == "diverged" for run in runs),
        "train_accuracy": train["train_mean"],
        "train_std": train["train_std"],
        "val_accuracy": val["val_mean"],
        "val_std": val["val_std"],
        "test_accuracy": test["test_mean"],
        "test_std": test["test_std"],
        "control": any(run["options"]["frozen_lower"] for run in runs),
        "worst_fall": max(0.0, *falls) if falls else None,
        "q_f": _worst_cut(runs, "q_f"),
        "p_q": _worst_cut(runs, "p_q"),
        "bytes": float(np.mean([run["bytes"]["sent"] for run in runs])),
        "seconds": float(np.mean([run["seconds"]["total"] for run in runs])),
    }


def _worst_cut(runs: Sequence[Summary], name: str) -> float | None:
    """Mean over runs of the largest value at a cut; None without cuts or without a finite value."""
    values = [[cut[name] for cut in run["cuts"]] for run in runs]
    if not all(values) or any(None in own for own in values):
        return None
    return float(np.mean([max(own) for own in values]))


def compare_scores(rows: Sequence[Row]) -> dict[str, float]:
    """The results of all rows of accuracies so far."""
    found = {}
    rivals = {(row["network"], row["method"]): row["test_accuracy"] for row in rows}
    for row in rows:
        for rival in ("adam", _CONTROL):
            if row["method"] in _OURS and (row["network"], rival) in rivals:
                about = f"{row['network']}, {row['method']}, {row['subnetworks']}, {row['codec']}"
                less = row["test_accuracy"] - rivals[row["network"], rival]
                found[f"test accuracy − {rival}: {about}"] = less
    return found


# Time.


def _time(given: argparse.Namespace, report: Report) -> None:
    sizes = {name: getattr(given, name) for name in (*_SIZES, "batches", "seconds")}
    for network in given.network or (["mlp"] if given.quick else ["mlp", "resnet"]):
        own = []
        for method, parts, codec, ranks, cores in ways(given.methods, given.codecs):
            case = NetworkCase(method, network, parts, codec, **sizes)
            row = {"part": "time", **time_epoch(case, ranks, cores)}
            own.append(row | {"codec": codec if ranks > 1 and method in _OURS else None})
            report.add(own[-1])
            report.save(given)
        for name, value in compare_times(own).items():
            report.results[f"{name}: {network}"] = value


def ways(methods: Sequence[str], codecs: Sequence[str]) -> list[Way]:
    """Everything that is timed for a network."""
    ours = [
        Way(method, 2, codec, ranks, 1)
        for method in methods
        if method in _OURS
        for ranks in (1, 2)
        for codec in (codecs if ranks > 1 else ["float32"])
    ]
    if "adam" not in methods:
        return ours
    serial = [Way("adam", 1, "float32", 1, cores) for cores in (1, 2)]
    return [*ours, *serial, Way("adam data-parallel", 1, "float32", 2, 1)]


def compare_times(rows: Sequence[Row]) -> dict[str, float]:
    """The results of one network."""
    found = {}
    rivals = [row for row in rows if row["method"] not in _OURS]
    for row in rows:
        method, ours = row["method"], row["epoch_ms"]
        if method not in _OURS or row["ranks"] == 1:
            continue
        about = f"{method}, {row['codec']}"
        alone = next(r["epoch_ms"] for r in rows if (r["method"], r["ranks"]) == (method, 1))
        found[f"2 ranks / 1 rank: {about}"] = ours / alone
        found[f"efficiency: {about}"] = alone / (2 * ours)
        if rivals:
            best = min(rival["epoch_ms"] for rival in rivals if rival["cores"] == 2)
            one_core = next(rival["epoch_ms"] for rival in rivals if rival["cores"] == 1)
            found[f"2 ranks / adam: {about}"] = ours / one_core
            found[f"vs_best_backprop: {about}"] = best / ours
    return found


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracy over the number of subnetworks; bars of time."""
    parts = [part for part in ("accuracy", "time") if any(row["part"] == part for row in rows)]
    for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        own = [row for row in rows if row["part"] == part]
        if part == "accuracy":
            _draw_accuracy(axes, own)
        else:
            _draw_time(axes, own)


def _draw_accuracy(axes: Any, rows: Sequence[Row]) -> None:
    for line in dict.fromkeys((row["network"], row["method"], row["codec"]) for row in rows):
        own = [row for row in rows if (row["network"], row["method"], row["codec"]) == line]
        x, y, error = (
            [row[name] for row in own] for name in ("subnetworks", "test_accuracy", "test_std")
        )
        axes.errorbar(x, y, error, marker="o", capsize=3, label=", ".join(line))
    axes.set_xticks(sorted({row["subnetworks"] for row in rows}))
    axes.set(xlabel="subnetworks", ylabel="test accuracy")
    axes.legend(fontsize="x-small")


def _draw_time(axes: Any, rows: Sequence[Row]) -> None:
    names = [
        f"{row['network']}, {row['method']}, {row['ranks']} × {row['cores'] // row['ranks']}"
        + (f", {row['codec']}" if row["codec"] else "")
        for row in rows
    ]
    axes.barh(names, [row["epoch_ms"] for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="epoch [ms]", xscale="log", title="ranks × cores")
