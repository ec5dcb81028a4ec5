"""Epochs over a slow network: 2-bit messages against whole ones and against backpropagation.

Two ranks with one core each, in two network namespaces joined by a link of limited rate, talk MPI
over TCP. By default 4 layers of 256 neurons and 2,048 nodes.
`measured_mbit` is what a ping-pong of 4 MiB messages between the ranks reaches, `bytes` what both
ranks send in an epoch. Needs root, iproute2 and MPICH; ends with code 2 where it cannot run.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Case
from benchmarks.epoch import time_epoch
from benchmarks.hosts import two_hosts
from benchmarks.looks import draw_bars
from benchmarks.messages import time_messages
from benchmarks.methods import CODECS
from benchmarks.report import Report, Row, at_least, make_parser, positive, set_defaults

_OURS = "pdadmm-g"
_CODECS = ("float32", "delta4", "delta2")
_RIVALS = ("adam data-parallel", "adam pipeline")
_PING_BYTES = 4 * 2**20
_COLUMNS = {
    "link_mbit": ">9.0f",
    "measured_mbit": ">13.1f",
    "method": "<18",
    "codec": "<7",
    "epoch_ms": ">9.1f",
    "wait_ms": ">8.1f",
    "products_ms": ">11.1f",
    "bytes": ">10.0f",
}


def main(argv: Sequence[str]) -> None:
    parser = make_parser("network", __doc__)
    parser.add_argument(
        "--links", nargs="+", type=positive, metavar="MBIT", help="[1000 100; quick: 100]"
    )
    parser.add_argument("--nodes", type=at_least(2), default=2048)
    parser.add_argument("--width", type=at_least(1), default=256)
    parser.add_argument("--layers", type=at_least(2), default=4)
    parser.add_argument("--codecs", nargs="+", default=_CODECS, choices=CODECS)
    parser.add_argument(
        "--seconds", type=positive, help="timed, at least, of every row [10; quick: 2]"
    )
    given = parser.parse_args(argv)
    set_defaults(
        given, {"links": [100.0], "seconds": 2.0}, {"links": [1000.0, 100.0], "seconds": 10.0}
    )
    shape = (given.nodes, given.width, given.layers)
    cases = [Case(_OURS, *shape, codec, seconds=given.seconds) for codec in given.codecs]
    cases += [Case(method, *shape, seconds=given.seconds) for method in _RIVALS]
    report = Report("network", given)
    report.begin(_COLUMNS, len(given.links) * len(cases))
    for mbit in given.links:
        with two_hosts(mbit) as prefixes:
            transfer, _ = time_messages([_PING_BYTES], prefixes=prefixes)
            link = {
                "link_mbit": mbit,
                "measured_mbit": 8e-6 * _PING_BYTES / transfer[_PING_BYTES],
            }
            for case in cases:
                measured = time_epoch(case, ranks=2, prefixes=prefixes)
                codec = case.codec if case.method == _OURS else None
                report.add({**measured, **link, "codec": codec})
        report.results |= _compare(mbit, [r for r in report.rows if r["link_mbit"] == mbit])
    report.finish(draw)


def _compare(mbit: float, rows: Sequence[Row]) -> dict[str, float]:
    """How many times faster the last codec is than the first, and than the best rival."""
    ours = [row["epoch_ms"] for row in rows if row["method"] == _OURS]
    rivals = [row["epoch_ms"] for row in rows if row["method"] != _OURS]
    first, last = (row["codec"] for row in (rows[0], rows[len(ours) - 1]))
    return {
        f"{last} against {first} at {mbit:g} Mbit/s": ours[0] / ours[-1],
        f"{last} against the best backpropagation at {mbit:g} Mbit/s": min(rivals) / ours[-1],
    }


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Bars for each link; those of backpropagation are hatched."""
    links = list(dict.fromkeys(row["link_mbit"] for row in rows))
    figure.set_size_inches(8, 1.2 + 0.4 * len(rows) / len(links))
    for axes, mbit in zip(figure.subplots(1, len(links), squeeze=False)[0], links, strict=True):
        own = [row for row in rows if row["link_mbit"] == mbit]
        names = [" ".join(filter(None, (row["method"], row["codec"]))) for row in own]
        draw_bars(axes, names, [row["method"] for row in own], [row["epoch_ms"] for row in own])
        axes.set(xlabel="epoch [ms]", title=f"link of {mbit:g} Mbit/s")
