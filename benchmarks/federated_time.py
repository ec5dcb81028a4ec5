"""Rounds on ranks of one machine, and over a slow link: two parts of `benchmarks.federated`."""

import argparse
from collections.abc import Sequence
from itertools import product

from benchmarks.federated_runs import Way, train_options, ways
from benchmarks.hosts import two_hosts
from benchmarks.report import Report, Row
from benchmarks.training import epoch_ms, train_timed

_TIME_COLUMNS = {
    "method": "<8",
    "codec": "<8",
    "ranks": ">5",
    "round_ms": ">9.1f",
    "rank_mb": ">8.2f",
}
_LINK_COLUMNS = {
    "link_mbit": ">9g",
    "method": "<8",
    "codec": "<8",
    "kb": ">8.1f",
    "free_ms": ">8.1f",
    "floor_ms": ">8.1f",
    "round_ms": ">8.1f",
    "slower": ">6.2f",
    "seconds": ">8.2f",
}


def on_ranks(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    """Add a row for each way and number of ranks."""
    every = [*product(ways(given), given.ranks)]
    report.begin(_TIME_COLUMNS, len(every))
    for way, ranks in every:
        history = _timed(given, rest, way, ranks * [[]])
        sent = 1e-6 * history[-1]["bytes_sent"]
        figures = {"ranks": ranks, "round_ms": epoch_ms(history), "rank_mb": sent}
        report.add({"dataset": given.datasets[0], **way._asdict(), **figures})


def over_link(given: argparse.Namespace, rest: Sequence[str], report: Report) -> None:
    """Add a row for each way and link."""
    every = ways(given)
    report.begin(_LINK_COLUMNS, len(every) * len(given.links))
    for way in every:
        free = epoch_ms(_timed(given, rest, way, 2 * [[]]))
        for mbit in given.links:
            with two_hosts(mbit) as prefixes:
                history = _timed(given, rest, way, prefixes)
            last, found = history[-1], epoch_ms(history)
            kilobytes = 1e-3 * last["bytes_sent"] / last["epoch"]
            figures = {"link_mbit": mbit, "kb": kilobytes, "floor_ms": 8 * kilobytes / mbit}
            figures |= {"free_ms": free, "round_ms": found, "slower": found / free}
            figures |= {"seconds": last["iterate_seconds"]}
            report.add({"dataset": given.datasets[0], **way._asdict(), **figures})


def _timed(
    given: argparse.Namespace, rest: Sequence[str], way: Way, prefixes: Sequence[Sequence[str]]
) -> list[Row]:
    """The history of a run on ranks with these prefixes."""
    options = train_options(given, rest, given.datasets[0], way, given.rates[0], seed=0)
    return train_timed(options, prefixes)["history"]
