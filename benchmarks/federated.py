"""Federated learning: what each method learns in how many rounds and bytes, and who may be away.

    python -m benchmarks federated --data-dir DIR
    python -m benchmarks federated --methods fed-admm fedavgm --codecs float32 delta4 delta2
    python -m benchmarks federated --methods fed-admm --offline 0 .3 .7 --late 0 .5
    python -m benchmarks federated --part convex
    python -m benchmarks federated --part time --ranks 1 2 4
    python -m benchmarks federated --part central

The first has a row for every method, codec, fraction of clients offline in a round, and fraction
that joins at half-time. `fedsgd` takes as many rounds as the others take local steps. The learning
rate is the one of `--rates` with the best mean validation loss over all seeds. Errors are losses:
of regression the mean absolute error. `test` is the mean of the clients in the round of the best
validation loss, `worst` that of the worst client, `last` the mean of the last round. `local` is
`test` over that of clients alone. `mb` is what all clients send and get in all rounds; `to_mb` and
`to_round` are what it takes to .93 of the error of clients alone. Options behind `--` go to `admm
train`.

`--part convex` tells how far consensus is from the optimum of `benchmarks.federated_convex`.

`--part time` times rounds on ranks with a core each, where there are so many. `round_ms` leaves out
what comes before the first evaluation, compilation, and evaluations; `rank_mb` is what travels
between ranks.

`--part central` has all data in one place, see `benchmarks.federated_central`.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from admm.datasets.clients import read_federation
from admm.methods.federated.options import METHODS
from admm.run.registry import options
from admm.run.run import train
from admm.run.summary import Result
from benchmarks import federated_central
from benchmarks.federated_convex import Rule, distances, ridge_problem
from benchmarks.launch import run_module
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

PARTS = ("accuracy", "convex", "time", "central")
_SET = (
    *("solver", "dataset", "codec", "participation", "late-joiners", "join-round", "epochs", "lr"),
    *("local-steps", "seed", "workers", "out", "no-baselines", "eval-every"),
)
COLUMNS = {
    "dataset": "<10",
    "method": "<8",
    "codec": "<8",
    "offline": ">7.1f",
    "late": ">4.1f",
    "lr": ">6g",
    "test": ">6.4f",
    "test_std": ">8.4f",
    "worst": ">6.4f",
    "last": ">6.4f",
    "local": ">6.3f",
    "round": ">5.0f",
    "mb": ">7.2f",
    "to_round": ">8.0f",
    "to_mb": ">7.2f",
}
_CONVEX_COLUMNS = {"codec": "<8", "rule": "<8", "offline": ">7.1f", "distance": ">9.2g"}
_TIME_COLUMNS = {
    "method": "<8",
    "codec": "<8",
    "ranks": ">5",
    "round_ms": ">9.1f",
    "rank_mb": ">8.2f",
}
# What counts as better than clients alone.
_GAIN = 0.93


class Way(NamedTuple):
    """Of training."""

    method: str
    codec: str
    offline: float
    late: float


def main(argv: Sequence[str]) -> None:
    given, rest = parse(*split_argv(argv))
    report = Report("federated", given)
    parts = {"accuracy": _accuracy, "convex": _convex, "time": _time}
    if given.part == "central":
        given.dataset = given.datasets[0]
        federated_central.run(given, report)
        report.finish(lambda figure, rows: federated_central.draw(figure.subplots(), rows))
        return
    parts[given.part](given, rest, report)
    report.finish(draw)


def _accuracy(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = [*product(given.methods, given.codecs, given.offline, given.late)]
    report.begin(COLUMNS, len(given.datasets) * len(every))
    for dataset in given.datasets:
        alone = _alone(given, rest, dataset)
        for way in map(Way._make, every):
            tried = [
                (rate, [_trained(given, rest, dataset, way, rate, n) for n in range(given.seeds)])
                for rate in given.rates
            ]
            rate, runs = min(tried, key=lambda each: _mean(list(map(_best, each[1])), "val_loss"))
            report.add(_row(dataset, way, rate, runs, alone))


def _known(
    given: argparse.Namespace, rest: Sequence[str], dataset: str, seed: int
) -> dict[str, Any]:
    """Options of all ways: a start, and windows of the clients, of its own for every seed."""
    named: dict[str, Any] = {}
    name = ""
    for word in (part for each in rest for part in each.split("=", 1)):
        if word.startswith("--"):
            name = word.removeprefix("--").replace("-", "_")
            named[name.removeprefix("no_")] = not name.startswith("no_")
        else:
            named[name] = word
    if dataset.partition(":")[0] in ("beijing", "sensors"):
        dataset = f"{dataset}{',' if ':' in dataset else ':'}seed={seed}"
    return {**named, "dataset": dataset, "data_dir": given.data_dir, "seed": seed}


def _alone(given: argparse.Namespace, rest: Sequence[str], dataset: str) -> list[float]:
    """The error of clients alone, for every seed, at the rate that suits them best."""
    found = []
    for rate in given.rates:
        changes = {"epochs": given.rounds, "eval_every": given.eval_every, "lr": rate}
        runs = [
            train(options("fedavg", **_known(given, rest, dataset, seed), **changes))
            for seed in range(given.seeds)
        ]
        found.append([run.summary["baselines"]["local only"] for run in runs])
    best = min(found, key=lambda each: np.mean([scores["val_loss"] for scores in each]))
    return [scores["test_loss"] for scores in best]


def _trained(
    given: argparse.Namespace, rest: Sequence[str], dataset: str, way: Way, rate: float, seed: int
) -> Result:
    times = given.local_steps if METHODS[way.method].sends_gradient else 1
    changes: dict[str, Any] = {
        **_known(given, rest, dataset, seed),
        "epochs": times * given.rounds,
        "eval_every": times * given.eval_every,
        "participation": 1 - way.offline,
        "lr": rate,
        "codec": way.codec,
        "baselines": False,
    }
    if times == 1:
        changes["local_steps"] = given.local_steps
    if way.late:
        outline = read_federation(changes["dataset"], data_dir=given.data_dir)
        changes["late_joiners"] = round(way.late * len(outline.clients))
        changes["join_round"] = times * given.rounds // 2 + 1
    return train(options(way.method, **changes))


def _best(run: Result) -> Row:
    return run.summary["best"]


def _row(
    dataset: str, way: Way, rate: float, runs: Sequence[Result], alone: Sequence[float]
) -> Row:
    best, last = [_best(run) for run in runs], [run.history[-1] for run in runs]
    test = [line["test_loss"] for line in best]
    reached = [
        next((line for line in run.history if line["test_loss"] <= _GAIN * error), None)
        for run, error in zip(runs, alone, strict=True)
    ]
    first = [line for line in reached if line is not None]
    there = len(first) == len(runs)
    return {
        "dataset": dataset,
        "method": way.method,
        "codec": way.codec,
        "offline": way.offline,
        "late": way.late,
        "lr": rate,
        "val": _mean(best, "val_loss"),
        "test": float(np.mean(test)),
        "test_std": float(np.std(test)),
        "worst": _mean(best, "test_loss_worst"),
        "last": _mean(last, "test_loss"),
        "local": float(np.mean(test) / np.mean(alone)),
        "round": _mean(best, "epoch"),
        "mb": float(np.mean([_megabytes(line) for line in last])),
        "to_round": _mean(first, "epoch") if there else None,
        "to_mb": float(np.mean([_megabytes(line) for line in first])) if there else None,
        "seeds": len(runs),
        "curve": [
            [_megabytes(line), float(np.mean([run.history[n]["test_loss"] for run in runs]))]
            for n, line in enumerate(runs[0].history)
        ],
    }


def _mean(lines: Sequence[Row], name: str) -> float:
    return float(np.mean([line[name] for line in lines]))


def _megabytes(line: Row) -> float:
    tables = line.get("bytes_table_up", 0) + line.get("bytes_table_down", 0)
    return 1e-6 * (line["bytes_up"] + line["bytes_down"] + tables)


def _convex(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    jax.config.update("jax_enable_x64", True)
    problem = ridge_problem(given.data_dir)
    every: list[tuple[str, Rule, float]] = [
        *((codec, "all", offline) for codec in given.codecs for offline in given.offline),
        *(("float64", rule, 0.3) for rule in ("present", "change")),
    ]
    report.begin(_CONVEX_COLUMNS, len(every))
    for codec, rule, offline in every:
        last = float(distances(problem, codec, offline, rule)[-1])
        report.add({"codec": codec, "rule": rule, "offline": offline, "distance": last})


def _time(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = [*product(given.methods, given.codecs, given.ranks)]
    report.begin(_TIME_COLUMNS, len(every))
    for method, codec, ranks in every:
        times = given.local_steps if METHODS[method].sends_gradient else 1
        words = [*rest, "--dataset", given.datasets[0], "--solver", method, "--codec", codec]
        words += ["--epochs", str(times * given.rounds), "--eval-every", str(times * 5)]
        words += ["--no-baselines", "--checkpoint-every", "0"]
        if given.data_dir is not None:
            words += ["--data-dir", str(given.data_dir)]
        with tempfile.TemporaryDirectory() as folder:
            run_module("admm", "train", *words, "--out", f"{folder}/run", ranks=ranks)
            lines = Path(folder, "run", "history.jsonl").read_text().splitlines()
        first, last = json.loads(lines[0]), json.loads(lines[-1])
        seconds = last["iterate_seconds"] - first["iterate_seconds"]
        report.add(
            {
                "method": method,
                "codec": codec,
                "ranks": ranks,
                "round_ms": 1e3 * seconds / (last["epoch"] - first["epoch"]),
                "rank_mb": 1e-6 * last["bytes_sent"],
                "dataset": given.datasets[0],
            }
        )


def parse(argv: Sequence[str], rest: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """All settings, resolved, and the options of `admm train`."""
    parser = make_parser("federated", __doc__)
    parser.add_argument("--part", choices=PARTS, default="accuracy")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets [$ADMM_DATA]")
    parser.add_argument("--datasets", nargs="+", help="[beijing; quick: sensors:clients=3]")
    parser.add_argument("--methods", nargs="+", default=[*METHODS], choices=METHODS)
    parser.add_argument("--codecs", nargs="+", default=["float32"])
    parser.add_argument("--offline", nargs="+", type=float, default=[0.0], metavar="FRACTION")
    parser.add_argument("--late", nargs="+", type=float, default=[0.0], metavar="FRACTION")
    parser.add_argument("--rates", nargs="+", type=positive, default=[3e-3], help="[0.003]")
    parser.add_argument("--rounds", type=at_least(2), help="[40; quick: 4]")
    parser.add_argument("--local-steps", type=at_least(1), default=10, help="[10]")
    parser.add_argument("--eval-every", type=at_least(1), default=2, help="rounds [2]")
    parser.add_argument("--ranks", nargs="+", type=at_least(1), default=[1, 2], help="[1 2]")
    parser.add_argument("--hidden", type=at_least(1), default=16, help="of --part central [16]")
    parser.add_argument("--epochs", type=at_least(1), help="of --part central [40; quick: 1]")
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [3; quick: 1]")
    given = parser.parse_args(argv)
    quick = {"datasets": ["sensors:clients=3"], "rounds": 4, "epochs": 1, "seeds": 1}
    set_defaults(given, quick, {"datasets": ["beijing"], "rounds": 40, "epochs": 40, "seeds": 3})
    refuse_set(parser, _SET, rest)
    return given, list(rest)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """The test error over what has travelled; or distances, or times."""
    axes = figure.subplots()
    keys = [n for n in ("method", "codec", "rule", "offline", "late", "ranks") if n in rows[0]]
    names = [" ".join(str(row[key]) for key in keys) for row in rows]
    if "curve" in rows[0]:
        for name, row in zip(names, rows, strict=True):
            axes.plot(*zip(*row["curve"], strict=True), marker=".", label=name)
        axes.legend(fontsize="x-small")
        axes.set(xlabel="sent up and down [MB]", ylabel="mean test error", xscale="log")
        return
    value, label = next(
        each
        for each in (("distance", "distance"), ("round_ms", "round [ms]"))
        if each[0] in rows[0]
    )
    axes.barh(names, [row[value] for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel=label, xscale="log" if value == "distance" else "linear")
