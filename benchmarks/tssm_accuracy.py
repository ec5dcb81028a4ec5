"""The accuracy of gsADMM, gsAM and their rivals: a part of `benchmarks.tssm`."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import numpy as np

from admm.solvers import Splitting
from benchmarks.cases import SIZES
from benchmarks.looks import Name, color_of, line_look, name_ends
from benchmarks.report import Report, Row
from benchmarks.training import Summary, mean_and_std, train_all, words_of

OURS: tuple[str, ...] = get_args(Splitting)
PLAIN = {"adam": ("--optimizer", "adam"), "gd": ("--optimizer", "gd", "--lr", "1e-2")}
CONTROL = "frozen"
COLUMNS = {
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


class Trial(NamedTuple):
    """A row of accuracies."""

    network: str
    method: str
    subnetworks: int
    codec: str


def run(given: argparse.Namespace, options: Sequence[str], report: Report) -> None:
    """Train every method with all seeds."""
    trials = list(_trials(given))
    report.begin(COLUMNS, len(trials))
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


def _trials(given: argparse.Namespace) -> Iterator[Trial]:
    for network in given.network or ["mlp"]:
        for method in given.methods:
            if method in PLAIN:
                yield Trial(network, method, 1, "float32")
            elif method == CONTROL:
                yield Trial(network, method, 2, "float32")
            else:
                for count in given.subnetworks:
                    # A single subnetwork sends nothing.
                    for codec in given.codecs if count > 1 else ["float32"]:
                        yield Trial(network, method, count, codec)


def _sizes(given: argparse.Namespace, network: str) -> list[str]:
    """The sizes that a network has."""
    names = (*SIZES[network], "batch")
    return words_of({name: getattr(given, name) for name in names})


def _options(trial: Trial) -> list[str]:
    """Options of `admm train`."""
    count = str(trial.subnetworks)
    solver = trial.method if trial.method in OURS else "gsam"
    return [
        *("--solver", solver, "--network", trial.network),
        *("--subnetworks", count, "--workers", count, "--codec", trial.codec),
        *PLAIN.get(trial.method, ()),
        *(["--frozen-lower"] if trial.method == CONTROL else []),
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
        for rival in ("adam", CONTROL):
            if row["method"] in OURS and (row["network"], rival) in rivals:
                about = f"{row['network']}, {row['method']}, {row['subnetworks']}, {row['codec']}"
                less = row["test_accuracy"] - rivals[row["network"], rival]
                found[f"test accuracy − {rival}: {about}"] = less
    return found


def draw(axes: Any, rows: Sequence[Row]) -> None:
    """Test accuracy over the number of subnetworks."""
    lines: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        lines.setdefault((row["network"], row["method"], row["codec"]), []).append(row)
    names = []
    for line, own in lines.items():
        x, y, error = (
            [row[name] for row in own] for name in ("subnetworks", "test_accuracy", "test_std")
        )
        axes.errorbar(x, y, error, marker="o", capsize=3, **line_look(line[1]))
        names.append(Name(", ".join(line), x[-1], y[-1], color_of(line[1])))
    axes.set_xticks(sorted({row["subnetworks"] for row in rows}))
    axes.set(xlabel="subnetworks", ylabel="test accuracy")
    axes.grid(alpha=0.25)
    name_ends(axes, names)
