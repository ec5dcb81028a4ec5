"""A model of the time of an epoch, checked on 1 and 2 ranks and extrapolated to 256.

Measured: epochs of half the layers on one rank, for the speed of products and of everything else;
messages of 1 KiB to 16 MiB between two ranks, for latency and bandwidth; the time of coding. The
model then predicts epochs of all layers on 1 and 2 ranks, which are measured too (`error`), of a
network of 256 such layers on up to 256 ranks, and of the paper's largest, 16 layers of 4,000
neurons, on 8 and 16. `speedup` is over the model's one rank of the same method. All epochs are the
shortest of many, as a model of an undisturbed machine needs; everything is run in turns, in several
rounds, so that a machine whose speed drifts drifts for all of it.

The link is the measured one, of ranks on one host, unless `--link-mbit` names another's rate.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, pairwise
from typing import Any

from benchmarks import model
from benchmarks.cases import Case
from benchmarks.epoch import time_epoch
from benchmarks.looks import GREY, Name, line_look, name_ends
from benchmarks.messages import Link, fit_link, time_messages
from benchmarks.methods import CODECS, network_shape
from benchmarks.report import (
    Progress,
    Report,
    Row,
    at_least,
    make_parser,
    positive,
    set_defaults,
)
from layers import layer_costs
from quant import make_codec

_OURS = "pdadmm-g"
_RIVAL = "adam"
_RIVALS = ("adam data-parallel", "adam pipeline")
_CODECS = ("float32", "delta4", "delta2")
# Layers, neurons (None: as measured) and ranks of what is predicted only.
_EXTRAPOLATED = ((256, None, (4, 8, 16, 32, 64, 128, 256)), (16, 4000, (8, 16)))
_SIZES = [1024 * 4**k for k in range(8)]
# Micro-batches per rank that the pipeline may have; the most are what is measured.
_MICRO_BATCHES = (1, 2, 4)
_COLUMNS = {
    "network": "<8",
    "method": "<18",
    "codec": "<7",
    "ranks": ">5",
    "predicted_ms": ">12.1f",
    "measured_ms": ">11.1f",
    "error": ">6.1%",
    "speedup": ">7.1f",
}


@dataclass(frozen=True)
class Machine:
    """What was measured, and what the model needs of it.

    Args:
        ours: Speed on one rank at pdADMM-G's layers.
        rival: The same at those of backpropagation.
        link: Between two ranks.
        coding: Seconds of coding, an element and end of a cut, by codec.
    """

    ours: model.Speed
    rival: model.Speed
    link: Link
    coding: dict[str, float]

    def predict(self, case: Case, ranks: int) -> float:
        """Seconds of an epoch."""
        shape = network_shape(case.width, case.layers)
        if case.method == _OURS:
            costs = layer_costs(shape)
            seconds = model.layer_seconds(self.ours, costs, shape, case.nodes)
            message = self.link.seconds(make_codec(case.codec).nbytes((case.nodes, case.width)))
            coding = self.coding[case.codec] * case.nodes * case.width
            return model.layer_parallel(costs, seconds, ranks, message, coding)
        costs = model.backprop_costs(shape)
        if case.method.endswith("pipeline"):
            seconds = model.layer_seconds(self.rival, costs, shape, case.nodes)
            nbytes = 4 * case.nodes * case.width
            return min(
                model.pipeline(costs, seconds, ranks, parts, self.link.seconds(nbytes / parts))
                for parts in (ranks * count for count in _MICRO_BATCHES)
            )
        seconds = model.layer_seconds(self.rival, costs, shape, case.nodes / ranks)
        weights = 4 * sum(n * m + m for n, m in pairwise(shape))
        return model.data_parallel(sum(seconds), ranks, weights, self.link)


def main(argv: Sequence[str]) -> None:
    parser = make_parser("scaling", __doc__)
    parser.add_argument("--nodes", type=at_least(2), default=4096)
    parser.add_argument("--width", type=at_least(1), help="[512; quick: 256]")
    parser.add_argument("--layers", type=at_least(4), default=8, help="half are measured")
    parser.add_argument("--codecs", nargs="+", default=_CODECS, choices=CODECS)
    parser.add_argument("--link-mbit", type=positive, help="extrapolate to a link of this rate")
    parser.add_argument("--rounds", type=at_least(1), help="[3; quick: 1]")
    parser.add_argument(
        "--seconds", type=positive, help="timed, at least, of every run [4; quick: 2]"
    )
    given = parser.parse_args(argv)
    report = Report("scaling", given)
    small = {"width": 256, "seconds": 2.0, "rounds": 1}
    full = {"width": 512, "seconds": 4.0, "rounds": 3}
    set_defaults(given, small, full)
    codecs, width = given.codecs, given.width
    case = Case(_OURS, given.nodes, width, given.layers, codecs[0], seconds=given.seconds)
    rival = replace(case, method=_RIVAL)
    halves = [replace(one, layers=case.layers // 2) for one in (case, rival)]
    rivals = [replace(case, method=method) for method in _RIVALS]
    many = [*[replace(case, codec=codec) for codec in codecs], *rivals]
    checked = [(case, 1), (rival, 1), *[(one, 2) for one in many]]
    transfer, coding = time_messages(_SIZES, codecs, (case.nodes, width))
    timed = _time([*[(half, 1) for half in halves], *checked], given.rounds)
    ours, others = (_speed(half, *timed[half, 1]) for half in halves)
    per_element = {codec: total / (case.nodes * width) for codec, total in coding.items()}
    machine = Machine(ours, others, fit_link(transfer), per_element)
    report.write(f"{model.__doc__}\n")
    report.begin(_COLUMNS, len(checked))
    for one, ranks in checked:
        report.add(_row(machine, one, ranks, 1e3 * timed[one, ranks][0]))
    report.results |= vars(machine)
    report.results["worst_error"] = max((row["error"] for row in report.rows), key=abs)
    if given.link_mbit is not None:
        machine = replace(machine, link=machine.link._replace(bandwidth=given.link_mbit / 8e-6))
    for layers, neurons, all_ranks in _EXTRAPOLATED:
        for one in many:
            one = replace(one, layers=layers, width=neurons or width)
            for ranks in all_ranks:
                report.add(_row(machine, one, ranks, None), measured=False)
        name = f"best of ours against the best backpropagation, {report.rows[-1]['network']}"
        report.results[f"{name} on {ranks} ranks"] = _advantage(report.rows, ranks)
    report.finish(draw)


def _time(
    runs: Sequence[tuple[Case, int]], rounds: int
) -> dict[tuple[Case, int], tuple[float, float]]:
    """The shortest epoch and products of all rounds, in seconds, of every case and its ranks."""
    timed = dict.fromkeys(runs, (math.inf, math.inf))
    progress = Progress("timing", rounds * len(runs))
    for _ in range(rounds):
        for case, ranks in runs:
            row = time_epoch(case, ranks)
            epoch, products = (row[f"least_{name}_ms"] / 1e3 for name in ("epoch", "products"))
            least = timed[case, ranks]
            timed[case, ranks] = min(least[0], epoch), min(least[1], products)
            progress.step()
    return timed


def _speed(case: Case, epoch: float, products: float) -> model.Speed:
    shape = network_shape(case.width, case.layers)
    costs = layer_costs(shape) if case.method == _OURS else model.backprop_costs(shape)
    return model.calibrate(costs, shape, case.nodes, epoch, products)


def _row(machine: Machine, case: Case, ranks: int, measured_ms: float | None) -> Row:
    predicted = machine.predict(case, ranks)
    return {
        **asdict(case),
        "network": f"{case.layers}×{case.width}",
        "codec": case.codec if case.method == _OURS else None,
        "ranks": ranks,
        "predicted_ms": 1e3 * predicted,
        "measured_ms": measured_ms,
        "error": None if measured_ms is None else 1e3 * predicted / measured_ms - 1,
        "speedup": machine.predict(case, 1) / predicted,
    }


def _advantage(rows: Sequence[Row], ranks: int) -> float:
    """How many times faster we are in the network of the last row."""
    last = [row for row in rows if (row["network"], row["ranks"]) == (rows[-1]["network"], ranks)]
    ours, rivals = (
        [row["predicted_ms"] for row in last if (row["method"] == _OURS) is own]
        for own in (True, False)
    )
    return min(rivals) / min(ours)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Speedup of the deep network over ranks, as the model has it."""
    axes = figure.subplots()
    deep = [row for row in rows if row["layers"] == _EXTRAPOLATED[0][0]]
    ranks = sorted({row["ranks"] for row in deep})
    axes.plot(ranks, ranks, color=GREY, linestyle=":", lw=1)
    names = [Name("as many as ranks", ranks[-1], ranks[-1], GREY)]
    ways = dict.fromkeys((row["method"], row["codec"]) for row in deep)
    for marker, (method, codec) in zip(cycle("os^Dv"), ways, strict=False):
        own = [row for row in deep if (row["method"], row["codec"]) == (method, codec)]
        x, y, look = [r["ranks"] for r in own], [r["speedup"] for r in own], line_look(method)
        axes.plot(x, y, marker=marker, ms=5, **look)
        label = " ".join(filter(None, (method, codec)))
        names.append(Name(label, x[-1], y[-1], look["color"]))
    network = next(row["network"] for row in deep)
    axes.set(xlabel="ranks", ylabel="speedup over one rank", xscale="log", yscale="log")
    axes.set_title(f"Predicted by the model, not measured: layers × neurons {network}")
    axes.set_xticks(ranks, ranks)
    axes.set_yticks(ranks, ranks)
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    name_ends(axes, names)
