"""Federated learning: what each method learns in how many rounds and bytes, and who may be away.

    python -m benchmarks federated --data-dir DIR
    python -m benchmarks federated --methods fed-admm fedavgm --codecs float32 delta4 delta2
    python -m benchmarks federated --methods fed-admm --offline 0 .3 .7 --late 0 .5
    python -m benchmarks federated --part convex --codecs delta4 common4 --offline 0 .3
    python -m benchmarks federated --part time --ranks 1 2 4
    python -m benchmarks federated --part link --links 100 10
    python -m benchmarks federated --part central

The first has a row for every method, codec, fraction of clients offline in a round, and fraction
that joins at half-time. `fedsgd` takes as many rounds as the others take local steps. Rows are runs
of `admm train` in one process per core; options behind `--` go to it. The learning rate is the one
of `--rates` with the best mean validation loss over all seeds. Errors are losses: of regression the
mean absolute error. `test` is the mean of the clients in the round of the best validation loss,
`worst` that of the worst client, `last` the mean of the last round. `local` is `test` over that of
clients alone. `mb` is what all clients send and get in all rounds; `to_mb` and `to_round` are what
it takes to .93 of the error of clients alone.

`--part convex` tells how far consensus is from the optimum of `benchmarks.federated_convex`.

`--part time` times rounds on ranks with a core each, where there are so many. `round_ms` leaves out
what comes before the first evaluation, compilation, and evaluations; `rank_mb` is what travels
between ranks.

`--part link` times rounds of two ranks in two network namespaces, as `python -m benchmarks network`
does; by default those of `fed-admm` with three codecs, `fedavg` and `fedsgd`. `kb` is what both
send in a round, and `floor_ms` how long the link takes for that, since no answer goes up before all
parameters are down. `free_ms` is a round of the same ranks without the link, and `slower` is
`round_ms` over that. `seconds` are those of all rounds. It needs root, iproute2 and MPICH.

`--part central` has all data in one place, see `benchmarks.federated_central`.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from admm.methods.federated.options import METHODS
from benchmarks import federated_central, federated_convex
from benchmarks.federated_runs import Way, train_options, ways
from benchmarks.federated_time import on_ranks, over_link
from benchmarks.looks import Name, color_of, draw_bars, line_look, name_ends
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
from benchmarks.training import Summary, train_all
from quant import CODEC_NAMES, COMMON_CODEC_NAMES

PARTS = ("accuracy", "convex", "time", "link", "central")
_SET = (
    *("solver", "dataset", "codec", "participation", "late-joiners", "join-round", "epochs", "lr"),
    *("local-steps", "seed", "workers", "out", "no-baselines", "eval-every"),
    "patience",  # rows need runs of one length
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
# What `admm train` has for answers of clients.
CODECS = (*(name for name in CODEC_NAMES if name != "levels"), *COMMON_CODEC_NAMES)
# What counts as better than clients alone.
_GAIN = 0.93


def main(argv: Sequence[str]) -> None:
    given, rest = parse(*split_argv(argv))
    report = Report("federated", given)
    if given.part == "central":
        given.dataset = given.datasets[0]
        federated_central.run(given, report)
    elif given.part == "convex":
        federated_convex.run(given, report)
    else:
        parts = {"accuracy": _accuracy, "time": on_ranks, "link": over_link}
        parts[given.part](given, rest, report)
    report.finish(draw)


def _accuracy(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = ways(given)
    report.begin(COLUMNS, len(given.datasets) * len(every))
    # Clients alone do not depend on the way: the runs of the first measure them.
    runs = train_all(
        [
            train_options(given, rest, dataset, way, rate, seed, baselines=way == every[0])
            for dataset, way, rate in product(given.datasets, every, given.rates)
            for seed in range(given.seeds)
        ]
    )
    for dataset in given.datasets:
        alone: list[float] = []
        for way in every:
            tried = [(rate, [next(runs) for _ in range(given.seeds)]) for rate in given.rates]
            if way == every[0]:
                local = [[run["baselines"]["local only"] for run in found] for _, found in tried]
                scores = min(local, key=lambda each: _mean(each, "val_loss"))
                alone = [each["test_loss"] for each in scores]
            rate, found = min(
                tried, key=lambda each: _mean([run["best"] for run in each[1]], "val_loss")
            )
            report.add(_row(dataset, way, rate, found, alone))


def _row(
    dataset: str, way: Way, rate: float, runs: Sequence[Summary], alone: Sequence[float]
) -> Row:
    best, last = [run["best"] for run in runs], [run["history"][-1] for run in runs]
    test = [line["test_loss"] for line in best]
    reached = [
        next((line for line in run["history"] if line["test_loss"] <= _GAIN * error), None)
        for run, error in zip(runs, alone, strict=True)
    ]
    first = [line for line in reached if line is not None]
    there = len(first) == len(runs)
    return {
        "dataset": dataset,
        **way._asdict(),
        "lr": rate,
        "val": _mean(best, "val_loss"),
        "test": float(np.mean(test)),
        "test_std": float(np.std(test)),
        "worst": _mean(best, "test_loss_worst") if "test_loss_worst" in best[0] else None,
        "last": _mean(last, "test_loss"),
        "local": float(np.mean(test) / np.mean(alone)),
        "round": _mean(best, "epoch"),
        "mb": float(np.mean([_megabytes(line) for line in last])),
        "to_round": _mean(first, "epoch") if there else None,
        "to_mb": float(np.mean([_megabytes(line) for line in first])) if there else None,
        "seeds": len(runs),
        "curve": [
            [_megabytes(line), float(np.mean([run["history"][n]["test_loss"] for run in runs]))]
            for n, line in enumerate(runs[0]["history"])
        ],
    }


def _mean(lines: Sequence[Row], name: str) -> float:
    return float(np.mean([line[name] for line in lines]))


def _megabytes(line: Row) -> float:
    tables = line.get("bytes_table_up", 0) + line.get("bytes_table_down", 0)
    return 1e-6 * (line["bytes_up"] + line["bytes_down"] + tables)


def parse(argv: Sequence[str], rest: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """All settings, resolved, and the options of `admm train`."""
    parser = make_parser("federated", __doc__)
    parser.add_argument("--part", choices=PARTS, default="accuracy")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets [$ADMM_DATA]")
    parser.add_argument("--datasets", nargs="+", help="[beijing; quick: sensors:clients=3]")
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--codecs", nargs="+", choices=CODECS, metavar="NAME", help="[float32]")
    parser.add_argument("--offline", nargs="+", type=float, default=[0.0], metavar="FRACTION")
    parser.add_argument("--late", nargs="+", type=float, default=[0.0], metavar="FRACTION")
    parser.add_argument("--rates", nargs="+", type=positive, default=[3e-3], help="[0.003]")
    parser.add_argument("--rounds", type=at_least(2), help="[40; quick: 4]")
    parser.add_argument("--local-steps", type=at_least(1), default=10, help="[10]")
    parser.add_argument("--eval-every", type=at_least(1), default=2, help="rounds [2]")
    parser.add_argument("--ranks", nargs="+", type=at_least(1), default=[1, 2], help="[1 2]")
    parser.add_argument("--links", nargs="+", type=positive, default=[100.0], metavar="MBIT")
    parser.add_argument("--hidden", type=at_least(1), default=16, help="of --part central [16]")
    parser.add_argument("--epochs", type=at_least(1), help="of --part central [40; quick: 1]")
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [3; quick: 1]")
    given = parser.parse_args(argv)
    quick = {"datasets": ["sensors:clients=3"], "rounds": 4, "epochs": 1, "seeds": 1}
    set_defaults(given, quick, {"datasets": ["beijing"], "rounds": 40, "epochs": 40, "seeds": 3})
    if given.part in ("time", "link") and given.eval_every >= given.rounds:
        parser.error(
            f"--eval-every {given.eval_every} leaves nothing to time: rounds count from the first "
            f"evaluation to the last; take it below --rounds {given.rounds}"
        )
    refuse_set(parser, _SET, rest)
    return given, list(rest)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """The test error over what has travelled; or distances, times, or errors of one place."""
    axes = figure.subplots()
    if "worst" in rows[0] and "curve" not in rows[0]:
        federated_central.draw(axes, rows)
        return
    keys = [
        n
        for n in ("method", "codec", "rule", "offline", "late", "ranks", "link_mbit")
        if n in rows[0]
    ]
    names = [" ".join(str(row[key]) for key in keys) for row in rows]
    methods = [row.get("method", "fed-admm") for row in rows]
    if "curve" in rows[0]:
        ends = []
        for name, method, row in zip(names, methods, rows, strict=True):
            axes.plot(*zip(*row["curve"], strict=True), marker=".", **line_look(method))
            x, y = row["curve"][-1]
            ends.append(Name(name, x, y, color_of(method)))
        axes.set(xlabel="sent up and down [MB]", ylabel="mean test error, scaled", xscale="log")
        axes.grid(alpha=0.25)
        name_ends(axes, ends)
        return
    value, label = next(
        each
        for each in (("distance", "distance to the optimum"), ("round_ms", "round [ms]"))
        if each[0] in rows[0]
    )
    draw_bars(axes, names, methods, [row[value] for row in rows])
    axes.set(xlabel=label, xscale="log" if value == "distance" else "linear")
