"""Full-graph training over parts: what each way to the halo learns, sends and takes.

    python -m benchmarks partitions --halos exact drop stale refresh admm
    python -m benchmarks partitions --datasets cora --network gcn -- --data-dir DIR
    python -m benchmarks partitions --part link --datasets sbm:nodes=50000

The first has a row for every data set, halo, interval and codec; `local` averages networks that
parts train without their cut edges, every so many epochs, see `benchmarks.local`. The learning rate
is the one of `--rates` with the best mean validation accuracy over all seeds, at the best
evaluation. `test` is the accuracy at that evaluation, `last` that of the last one, `last5` the mean
of the last five. `halo_mb` is what workers with a part each get in training, `gradient_mb` the
gradients of all other parts, which each of them adds up; `stale_1` is the staleness of H_1 at the
end, see `admm.methods.partitions.options`. Options behind `--` go to `admm train`.

`--part gradient` trains at the last of `--rates`, in this process, and tells the length of the
gradient of the whole graph's loss at the end, without dropout, and its `ratio` to the loss.

`--part link` times epochs of two ranks with a part each in two network namespaces, as `python -m
benchmarks network` does; `speedup` is against the first row, and `to_s` the seconds until its best
test accuracy − .01. It needs root, iproute2 and MPICH.

`--part time` times two parts on one rank, and on two, with a core each: the medians of `--repeats`
runs. `efficiency` is the time of one over twice that of two, `rank_mb` what the largest rank takes
above an idle process with JAX, at most, and `memory` that of two over that of one.

`epoch_ms` leaves out what comes before the first evaluation, compilation, and evaluations.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from admm.methods.partitions.options import PartitionOptions
from admm.run.estimate import Estimate, estimate
from admm.run.registry import options, options_from_json
from admm.run.run import train
from benchmarks.hosts import two_hosts
from benchmarks.launch import run_module
from benchmarks.local import exact_gradient, train_locally
from benchmarks.looks import Name, color_of, draw_bars, name_ends
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
from benchmarks.training import Summary, epoch_ms, seeded, train_all, train_timed, words_of

PARTS = ("accuracy", "gradient", "link", "time")
HALOS = ("exact", "drop", "pipe", "stale", "refresh", "admm", "local")
PERIODIC = ("stale", "refresh", "admm", "local")
_SET = (
    *("solver", "dataset", "network", "layers", "parts", "partition", "halo", "interval", "codec"),
    *("lr", "epochs", "seed", "workers"),
)
COLUMNS = {
    "dataset": "<16",
    "network": "<4",
    "parts": ">5",
    "by": "<6",
    "halo": "<7",
    "N": ">3",
    "codec": "<8",
    "lr": ">6g",
    "test": ">6.4f",
    "test_std": ">8.4f",
    "last": ">6.4f",
    "last5": ">6.4f",
    "stale_1": ">7.3f",
    "halo_mb": ">8.2f",
    "gradient_mb": ">11.2f",
    "epoch_ms": ">8.1f",
}
_GRADIENT_COLUMNS = {
    "dataset": "<16",
    "halo": "<7",
    "N": ">3",
    "codec": "<8",
    "train_loss": ">10.4f",
    "gradient": ">8.4f",
    "ratio": ">7.3f",
}
_LINK_COLUMNS = {
    "link_mbit": ">9.0f",
    "halo": "<7",
    "N": ">3",
    "codec": "<8",
    "epoch_ms": ">9.1f",
    "speedup": ">7.2f",
    "best": ">6.4f",
    "to_s": ">7.1f",
    "halo_mb": ">8.2f",
}
_TIME_COLUMNS = {
    "halo": "<7",
    "N": ">3",
    "codec": "<8",
    "ranks": ">5",
    "epoch_ms": ">9.1f",
    "efficiency": ">10.2f",
    "rank_mb": ">8.0f",
    "memory": ">6.2f",
}


class Way(NamedTuple):
    """To the halo."""

    halo: str
    interval: int | None
    codec: str

    @property
    def options(self) -> list[str]:
        """Of `admm train`."""
        coded = [] if self.codec == "float32" else ["--codec", self.codec]
        given = ["--halo", self.halo, *coded]
        return given if self.interval is None else [*given, "--interval", str(self.interval)]


def main(argv: Sequence[str]) -> None:
    given, rest = parse(*split_argv(argv))
    report = Report("partitions", given)
    if given.part == "link":
        _link(given, rest, report)
    elif given.part == "gradient":
        _gradient(given, rest, report)
    elif given.part == "time":
        _time(given, rest, report)
    else:
        _accuracy(given, rest, report)
    report.finish(draw)


def ways(given: argparse.Namespace) -> Iterator[Way]:
    """Those asked for; those without messages in training have one codec."""
    for halo in given.halos:
        resting = halo == "refresh" and given.layers == 2  # it sends nothing
        intervals = given.intervals if halo in PERIODIC and not resting else [None]
        silent = halo in ("drop", "local") or resting
        codecs = ["float32"] if silent else given.codecs
        for interval, codec in product(intervals, codecs):
            yield Way(halo, interval, codec)


def _accuracy(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = [*product(given.datasets, ways(given))]
    report.begin(COLUMNS, len(every))
    for dataset, way in every:
        tried = [(lr, _trained(given, rest, dataset, way, lr)) for lr in given.rates]
        lr, runs = max(tried, key=lambda each: np.mean([_best(run) for run in each[1]]))
        report.add(_row(given, dataset, way, lr, runs))


def _trained(
    given: argparse.Namespace, rest: Sequence[str], dataset: str, way: Way, lr: float
) -> list[Summary]:
    if way.halo != "local":
        return [*train_all(_runs(given, rest, dataset, way, lr))]
    found = []
    for words in _runs(given, rest, dataset, way._replace(halo="drop", interval=None), lr):
        known = _options(words)
        assert way.interval is not None
        found.append({"history": train_locally(known, way.interval), "options": known.as_json()})
    return found


def _options(words: Sequence[str]) -> PartitionOptions:
    """Those of a command line."""
    pairs = zip(words[::2], words[1::2], strict=True)
    found = options(**{name.removeprefix("--").replace("-", "_"): v for name, v in pairs})
    assert isinstance(found, PartitionOptions)
    return found


def _best(run: Summary) -> float:
    return max(line["val_accuracy"] for line in run["history"])


def _runs(
    given: argparse.Namespace, rest: Sequence[str], dataset: str, way: Way, lr: float
) -> list[list[str]]:
    common = {"solver": "partitions", "network": given.network, "parts": given.parts}
    common |= {"partition": given.partition, "lr": lr, "epochs": given.epochs}
    common |= {"layers": given.layers, "eval-every": given.eval_every}
    words = words_of(common)
    return [
        [*rest, *words, *way.options, "--seed", str(seed), "--dataset", seeded(dataset, seed)]
        for seed in range(given.seeds)
    ]


def _row(
    given: argparse.Namespace, dataset: str, way: Way, lr: float, runs: Sequence[Summary]
) -> Row:
    histories = [run["history"] for run in runs]
    best = [max(lines, key=lambda line: line["val_accuracy"]) for lines in histories]
    test = [line["test_accuracy"] for line in best]
    late = [np.mean([line["test_accuracy"] for line in lines[-5:]]) for lines in histories]
    ends = [lines[-1] for lines in histories]
    seconds = _mean("iterate_seconds", ends)
    costs = [_costs(run, given.parts) for run in runs]
    parameters = costs[0].stages[0].parameters
    sums = given.epochs if way.halo != "local" else -(-given.epochs // (way.interval or 1))
    return {
        "dataset": dataset,
        "network": given.network,
        "parts": given.parts,
        "by": given.partition,
        "halo": way.halo,
        "N": way.interval,
        "codec": way.codec,
        "lr": lr,
        "val": float(np.mean([line["val_accuracy"] for line in best])),
        "test": float(np.mean(test)),
        "test_std": float(np.std(test)),
        "last": float(np.mean([line["test_accuracy"] for line in ends])),
        "last5": float(np.mean(late)),
        "stale_1": _mean("staleness_1", ends),
        "halo_mb": 1e-6 * float(np.mean([sum(each.bytes_by_variable.values()) for each in costs])),
        "gradient_mb": 4e-6 * given.parts * (given.parts - 1) * sums * parameters,
        "epoch_ms": None if seconds is None else 1e3 * seconds / given.epochs,
        "epochs": given.epochs,
        "seeds": given.seeds,
    }


def _mean(name: str, lines: Sequence[Row]) -> float | None:
    return float(np.mean([line[name] for line in lines])) if name in lines[0] else None


def _costs(run: Summary, workers: int) -> Estimate:
    """What the run would cost with so many workers."""
    apart: dict[str, Any] = {"workers": workers, "out": None, "checkpoint_every": 0}
    return estimate(replace(options_from_json(run["options"]), **apart))


def _gradient(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = [*product(given.datasets, ways(given))]
    report.begin(_GRADIENT_COLUMNS, len(every))
    for dataset, way in every:
        found = []
        for words in _runs(given, rest, dataset, way, given.rates[-1]):
            known = replace(_options(words), eval_every=given.epochs)  # the best is the last
            result = train(known)
            network = [layer for _, layer in sorted(result.network.items())]
            found.append((result.history[-1]["train_loss"], exact_gradient(known, network)))
        loss, norm = np.mean(found, axis=0).tolist()
        row = {"dataset": dataset, "halo": way.halo, "N": way.interval, "codec": way.codec}
        report.add({**row, "train_loss": loss, "gradient": norm, "ratio": norm / loss})


def _link(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = [*product(given.links, ways(given))]
    report.begin(_LINK_COLUMNS, len(every))
    for mbit, way in every:
        with two_hosts(mbit) as prefixes:
            run = _timed(given, rest, way, prefixes)
        history = run["history"]
        own = [row for row in report.rows if row["link_mbit"] == mbit]
        epoch, best = epoch_ms(history), max(each["test_accuracy"] for each in history)
        target = (own[0]["best"] if own else best) - 0.01
        reached = [line["iterate_seconds"] for line in history if line["test_accuracy"] >= target]
        report.add(
            {
                "link_mbit": mbit,
                "halo": way.halo,
                "N": way.interval,
                "codec": way.codec,
                "epoch_ms": epoch,
                "speedup": own[0]["epoch_ms"] / epoch if own else 1.0,
                "best": best,
                "to_s": min(reached, default=None),
                "halo_mb": 1e-6 * sum(run["bytes"]["by_variable"].values()),
                "dataset": given.datasets[0],
                "epochs": given.epochs,
            }
        )


def _time(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    every = [*product(ways(given), (1, 2))]
    report.begin(_TIME_COLUMNS, len(every))
    idle = int(run_module("benchmarks.idle"))
    for way, ranks in every:
        runs = [_timed(given, rest, way, ranks * [[]]) for _ in range(given.repeats)]
        epoch = float(np.median([epoch_ms(run["history"]) for run in runs]))
        above = max(max(run["peak_rss_bytes"]) for run in runs) - idle
        one = report.rows[-1] if ranks == 2 else None
        report.add(
            {
                "halo": way.halo,
                "N": way.interval,
                "codec": way.codec,
                "ranks": ranks,
                "epoch_ms": epoch,
                "efficiency": one["epoch_ms"] / 2 / epoch if one else None,
                "rank_mb": 1e-6 * above,
                "memory": 1e-6 * above / one["rank_mb"] if one else None,
                "dataset": given.datasets[0],
                "epochs": given.epochs,
            }
        )


def _timed(
    given: argparse.Namespace, rest: Sequence[str], way: Way, prefixes: Sequence[Sequence[str]]
) -> Summary:
    """A run with two parts on ranks with these prefixes."""
    two = argparse.Namespace(**{**vars(given), "parts": 2, "seeds": 1})
    (words,) = _runs(two, rest, given.datasets[0], way, given.rates[-1])
    return train_timed(words, prefixes)


def parse(argv: Sequence[str], rest: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """All settings, resolved, and the options of `admm train`."""
    parser = make_parser("partitions", __doc__)
    parser.add_argument("--part", choices=PARTS, default="accuracy")
    parser.add_argument("--datasets", nargs="+", help="[sbm:; quick: sbm:nodes=300]")
    parser.add_argument("--network", choices=("gcn", "sage"), default="sage")
    parser.add_argument("--layers", type=at_least(2), default=3)
    parser.add_argument("--parts", type=at_least(1), help="of the graph [8; quick: 2]")
    parser.add_argument("--partition", default="metis", choices=("metis", "bfs", "random"))
    parser.add_argument("--halos", nargs="+", default=HALOS, choices=HALOS)
    parser.add_argument("--intervals", nargs="+", type=at_least(1), default=[10], metavar="N")
    parser.add_argument("--codecs", nargs="+", default=["float32"])
    parser.add_argument(
        "--rates", nargs="+", type=positive, help="of learning [0.003 0.005 0.01; quick: 0.01]"
    )
    parser.add_argument("--epochs", type=at_least(1), help="[120; quick: 20]")
    parser.add_argument("--eval-every", type=at_least(1), default=4, help="epochs [4]")
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [3; quick: 1]")
    parser.add_argument("--links", nargs="+", type=positive, default=[100.0], metavar="MBIT")
    parser.add_argument("--repeats", type=at_least(1), help="of a timed run [3; quick: 1]")
    given = parser.parse_args(argv)
    small = {"datasets": ["sbm:nodes=300"], "parts": 2, "rates": [0.01], "epochs": 20}
    small |= {"seeds": 1, "repeats": 1}
    usual = {"datasets": ["sbm:"], "parts": 8, "rates": [0.003, 0.005, 0.01], "epochs": 120}
    set_defaults(given, small, {**usual, "seeds": 3, "repeats": 3})
    refuse_set(parser, _SET, rest)
    return given, list(rest)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracy over bytes of the halo, or bars of time or gradients; a colour a halo."""
    axes = figure.subplots()
    names = [
        f"{row['halo']} {row['N'] or ''} {row['codec']} {row.get('ranks', '')}" for row in rows
    ]
    halos = [row["halo"] for row in rows]
    if "test" not in rows[0]:
        gradients = "gradient" in rows[0]
        draw_bars(
            axes, names, halos, [row["gradient" if gradients else "epoch_ms"] for row in rows]
        )
        axes.set(xlabel="length of the exact gradient" if gradients else "epoch [ms]")
        return
    ends = []
    for name, row in zip(names, rows, strict=True):
        x, y, color = row["halo_mb"], row["test"], color_of(row["halo"])
        axes.errorbar(x, y, row["test_std"], marker="o", capsize=3, color=color)
        ends.append(Name(name, x, y, color))
    axes.set(xlabel="rows of halos sent [MB]", ylabel="test accuracy", xscale="symlog")
    name_ends(axes, ends)
