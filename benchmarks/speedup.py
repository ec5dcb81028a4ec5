"""Epochs of every method on the same network and data, on one core and on two.

    python -m benchmarks speedup --layers 8 --widths 512 --plot speedup.png

pdADMM-G on 1 and 2 ranks; backpropagation with every optimiser on 1 core, on 2 cores of one
process, data-parallel over 2 ranks and as a pipeline over 2 ranks. A rank has one core. Results,
for each shape:

- `efficiency`: the time of 1 rank ÷ (2 × the time of 2 ranks), for pdADMM-G;
- `vs_best_backprop`: the shortest 2-core epoch of all optimisers and ways ÷ ours on 2 ranks;
- `vs_best_torch`: the same of PyTorch.

`--peers` adds PyTorch, where it is installed, with the same network, data, optimisers and cores: in
one process, data-parallel (DDP over gloo), and as a pipeline (Schedule1F1B). The fastest setting
is the row: with or without `torch.compile`, and 2, 4 or 8 micro-batches of the pipeline. The JSON
has all that were tried.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from admm.solvers import LEARNING_RATES
from benchmarks.cases import Case
from benchmarks.epoch import time_epoch
from benchmarks.looks import draw_bars
from benchmarks.methods import CODECS
from benchmarks.peers import find_families, is_peer, time_family
from benchmarks.report import Report, Row, at_least, make_parser, positive, set_defaults

_OURS = "pdadmm-g"
_OPTIMIZERS = tuple(LEARNING_RATES)
_COLUMNS = {
    "layers": ">6",
    "width": ">5",
    "method": "<22",
    "ranks": ">5",
    "cores": ">5",
    "epoch_ms": ">9.1f",
    "wait_ms": ">8.1f",
    "products_ms": ">11.1f",
    "compile_s": ">9.1f",
    "timed": ">5",
}


class Way(NamedTuple):
    """A method and where it runs."""

    method: str
    ranks: int
    cores_per_rank: int


def main(argv: Sequence[str]) -> None:
    parser = make_parser("speedup", __doc__)
    parser.add_argument("--layers", nargs="+", type=at_least(2), help="[4 8 16; quick: 8]")
    parser.add_argument("--widths", nargs="+", type=at_least(1), help="[256 512 1024; quick: 256]")
    parser.add_argument("--nodes", type=at_least(2), default=4096)
    parser.add_argument("--codec", default="float32", choices=CODECS, help="of pdADMM-G's messages")
    parser.add_argument("--optimizers", nargs="+", default=_OPTIMIZERS, choices=_OPTIMIZERS)
    parser.add_argument(
        "--seconds", type=positive, help="timed, at least, of every row [10; quick: 1]"
    )
    parser.add_argument("--peers", action="store_true", help="PyTorch too")
    given = parser.parse_args(argv)
    small = {"layers": [8], "widths": [256], "seconds": 1.0}
    full = {"layers": [4, 8, 16], "widths": [256, 512, 1024], "seconds": 10.0}
    set_defaults(given, small, full)
    shapes, every = list(product(given.layers, given.widths)), ways(given.optimizers)
    report = Report("speedup", given)
    peers = find_families(report, given.optimizers, pipeline=True) if given.peers else []
    columns = _COLUMNS | {"setting": "<8"} if peers else _COLUMNS
    report.begin(columns, len(shapes) * (len(every) + len(peers)))
    for depth, width in shapes:
        for method, ranks, cores in every:
            case = Case(method, given.nodes, width, depth, given.codec, seconds=given.seconds)
            report.add({"setting": None, **time_epoch(case, ranks, cores)})
        for family in peers:
            report.add(time_family(case, family))
        rows = [r for r in report.rows if (r["layers"], r["width"]) == (depth, width)]
        for name, value in summarize(rows).items():
            report.results[f"{name} {depth}×{width}"] = value
    report.finish(draw)


def ways(optimizers: Sequence[str]) -> list[Way]:
    """Everything that is timed for a shape."""
    rivals = [
        way
        for name in optimizers
        for way in (
            Way(name, 1, 1),
            Way(name, 1, 2),
            Way(f"{name} data-parallel", 2, 1),
            Way(f"{name} pipeline", 2, 1),
        )
    ]
    return [Way(_OURS, 1, 1), Way(_OURS, 2, 1), *rivals]


def summarize(rows: Sequence[Row]) -> dict[str, float]:
    """The results of one shape."""
    ours = {row["ranks"]: row["epoch_ms"] for row in rows if row["method"] == _OURS}
    rivals = [row for row in rows if row["method"] != _OURS and row["cores"] == 2]
    found = {"efficiency": ours[1] / (2 * ours[2])}
    for name, of_torch in (("vs_best_backprop", False), ("vs_best_torch", True)):
        times = [row["epoch_ms"] for row in rivals if is_peer(row) == of_torch]
        if times:
            found[name] = min(times) / ours[2]
    return found


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Bars of an epoch, a panel for each shape; those of backpropagation are hatched."""
    shapes = list(dict.fromkeys((row["layers"], row["width"]) for row in rows))
    figure.set_size_inches(8, len(shapes) + 0.35 * len(rows))
    panels = figure.subplots(len(shapes), 1, squeeze=False)[:, 0]
    for axes, (layers, width) in zip(panels, shapes, strict=True):
        own = [row for row in rows if (row["layers"], row["width"]) == (layers, width)]
        names = [f"{row['method']}, {row['ranks']} × {row['cores'] // row['ranks']}" for row in own]
        draw_bars(axes, names, [row["method"] for row in own], [row["epoch_ms"] for row in own])
        axes.set_title(f"{layers} layers of {width} neurons; ranks × cores of each")
    panels[-1].set_xlabel("epoch [ms]")
