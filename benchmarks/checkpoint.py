"""What checkpoints and the checksums of messages cost the training.

    python -m benchmarks checkpoint --ranks 2 --json checkpoint.json

Ten layers of 512 on a random graph of 410 classes, 8,200 training nodes, all layers at once, with
several checkpoints in a run. Training stands still while one is written: `blocked` seconds, mean
over the checkpoints, the wait for the epoch under way included. `slower` is by how many seconds the
three epochs after it exceed three times the median of the other epochs, mean over the checkpoints.
`share` is what both come to in one checkpoint every `--every` epochs. `bytes` is the size of a
checkpoint. `checksum` is by what share `--checksum` makes an epoch longer, with float32 messages:
the median over pairs of runs, one without and one with it, both without checkpoints.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.launch import run_module
from benchmarks.report import Report, Row, at_least, make_parser, set_defaults

_COLUMNS = {
    "ranks": ">5",
    "nodes": ">6",
    "hidden": ">6",
    "checkpoints": ">11",
    "epoch": ">7.2f",
    "blocked": ">7.2f",
    "slower": ">7.2f",
    "every": ">5",
    "share": ">6.3f",
    "bytes": ">13,",
    "checksum": ">8.3f",
}
_WINDOW = 3  # epochs
_EVERY = 12  # epochs from a checkpoint to the next
_LEAST_EPOCHS = _EVERY + _WINDOW
_PER_CLASS = 20  # of a random split
_PAIRED = 20  # epochs of the runs for `checksum`


def main(argv: Sequence[str]) -> None:
    given = _parse(argv)
    report = Report("checkpoint", given)
    report.begin(_COLUMNS, len(given.ranks))
    with tempfile.TemporaryDirectory() as name:
        graph = Path(name, "random.npz")
        _write_graph(graph, given.classes, given.hidden)
        for ranks in given.ranks:
            report.add(_measure(given, ranks, graph, Path(name, "run")))
    report.finish(draw)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("checkpoint", __doc__)
    parser.add_argument("--ranks", nargs="+", type=at_least(1), default=[1, 2])
    parser.add_argument(
        "--classes", type=at_least(2), help="of 20 training nodes each [410; quick: 20]"
    )
    parser.add_argument("--hidden", type=at_least(1), help="[512; quick: 64]")
    parser.add_argument(
        "--epochs", type=at_least(_LEAST_EPOCHS), help="of the run, with a checkpoint in 12 [60]"
    )
    parser.add_argument("--every", type=at_least(1), help="epochs that `share` is for [50]")
    parser.add_argument("--pairs", type=at_least(1), help="of runs, for `checksum` [5; quick: 1]")
    given = parser.parse_args(argv)
    small = {"classes": 20, "hidden": 64, "epochs": 60, "every": 50, "pairs": 1}
    full = {"classes": 410, "hidden": 512, "epochs": 60, "every": 50, "pairs": 5}
    set_defaults(given, small, full)
    return given


def _write_graph(path: Path, classes: int, features: int) -> None:
    """A random graph that a random split leaves 20 training nodes of every class."""
    random = np.random.default_rng(0)
    nodes = (2 * _PER_CLASS) * classes
    adjacency = sp.random_array((nodes, nodes), density=4 / nodes, format="csr", rng=random)
    attributes = sp.random_array((nodes, features), density=0.1, format="csr", rng=random)
    arrays = {
        f"{name}_{part}": getattr(matrix, part)
        for name, matrix in (("adj", adjacency), ("attr", attributes))
        for part in ("data", "indices", "indptr", "shape")
    }
    np.savez(path, **arrays, labels=np.arange(nodes) % classes)


def _epochs(
    given: argparse.Namespace, ranks: int, graph: Path, out: Path, epochs: int, *options: str
) -> np.ndarray:
    """Seconds of every epoch of a run but the first."""
    run_module(
        "admm",
        *("train", "--dataset", str(graph), "--hops", "1", "--grow", "none"),
        *("--hidden", str(given.hidden), "--epochs", str(epochs), "--out", str(out), *options),
        ranks=ranks,
    )
    lines = (out / "history.jsonl").read_text().splitlines()
    return np.diff([json.loads(line)["iterate_seconds"] for line in lines])


def _checksum_share(given: argparse.Namespace, ranks: int, graph: Path, out: Path) -> float:
    ways = {"without": (), "with": ("--checksum",)}
    ratios = []
    for pair in range(given.pairs):
        order = list(ways)[:: 1 if pair % 2 else -1]
        medians = {
            way: np.median(
                _epochs(given, ranks, graph, out, _PAIRED, "--checkpoint-every", "0", *ways[way])
            )
            for way in order
        }
        ratios.append(medians["with"] / medians["without"])
    return float(np.median(ratios)) - 1


def _measure(given: argparse.Namespace, ranks: int, graph: Path, out: Path) -> Row:
    checksum = _checksum_share(given, ranks, graph, out) if ranks > 1 else None
    keep = ("--checkpoint-every", str(_EVERY), "--keep", str(given.epochs))
    epochs = _epochs(given, ranks, graph, out, given.epochs, *keep)  # epoch 2 has number 0
    begun = [int(p.parent.name[-6:]) for p in (out / "checkpoints").glob("*/manifest.json")]
    windows = [np.arange(b - 1, b - 1 + _WINDOW) for b in begun if b + _WINDOW <= given.epochs]
    usual = float(np.median(np.delete(epochs, np.concatenate(windows))))
    slower = float(np.mean([epochs[window].sum() for window in windows])) - _WINDOW * usual
    stood = json.loads((out / "summary.json").read_text())["seconds"]["checkpoint"]
    blocked = stood / len(begun)
    newest = max((out / "checkpoints").iterdir())
    return {
        "ranks": ranks,
        "nodes": _PER_CLASS * given.classes,
        "hidden": given.hidden,
        "checkpoints": len(begun),
        "epoch": usual,
        "blocked": blocked,
        "slower": slower,
        "every": given.every,
        "share": (blocked + slower) / (given.every * usual),
        "bytes": sum(path.stat().st_size for path in newest.iterdir()),
        "checksum": checksum,
    }


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Shares over the ranks."""
    axes = figure.subplots()
    axes.plot([row["ranks"] for row in rows], [100 * row["share"] for row in rows], "o-")
    axes.set(xlabel="ranks", ylabel="time that checkpoints take [%]", ylim=(0, None))
    axes.set_xticks(sorted({row["ranks"] for row in rows}))
