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
includes filling and draining it. `cut` modules lie below the cut, and the larger subnetwork takes
`floor` of both, by the times of modules (`module_ms` in the JSON). Results, for each network and
each of ours:

- `2 ranks / 1 rank`: the time of an epoch;
- `2 ranks / adam`: over that of Adam on 1 core;
- `efficiency`: the time of 1 rank ÷ (2 × the time of 2 ranks);
- `vs_best_backprop`: the shortest 2-core epoch of Adam ÷ ours on 2 ranks;
- `vs_best_torch`: the same of PyTorch.

`--peers` adds Adam of PyTorch, where it is installed, on the same network and images: in one
process, and data-parallel (DDP over gloo). The fastest setting is the row: with or without
`torch.compile`, and either order of an image's channels. The JSON has all that were tried.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from benchmarks import tssm_accuracy, tssm_time
from benchmarks.cases import SIZES
from benchmarks.methods import CODECS
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
from benchmarks.tssm_accuracy import CONTROL, OURS, PLAIN

_METHODS = (*PLAIN, CONTROL, *OURS)
# Options of `admm train` that the benchmark sets, or has too.
_SET = (
    *("dataset", "network", "solver", "subnetworks", "codec", "epochs", "seed", "workers"),
    *("eval-every", "optimizer", "lr", "cuts", "frozen-lower"),
    *("layers", "hidden", "blocks", "filters", "batch"),
)


def main(argv: Sequence[str]) -> None:
    given, options = parse(*split_argv(argv))
    report = Report("tssm", given)
    if given.part != "time":
        tssm_accuracy.run(given, options, report)
    if given.part != "accuracy":
        tssm_time.run(given, report)
    report.finish(draw)


def parse(argv: Sequence[str], options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """All settings, resolved, and the options of `admm train`."""
    parser = make_parser("tssm", __doc__)
    parser.add_argument("--part", choices=("accuracy", "time", "both"), default="both")
    parser.add_argument("--dataset", help="[mnist14; quick: digits]")
    parser.add_argument(
        "--network",
        nargs="+",
        choices=SIZES,
        help="[mlp; of the time mlp resnet; quick: mlp]",
    )
    parser.add_argument("--methods", nargs="+", default=_METHODS, choices=_METHODS)
    parser.add_argument("--subnetworks", nargs="+", type=at_least(1), help="[2 3 4; quick: 2 3]")
    parser.add_argument("--codecs", nargs="+", default=["float32"], choices=CODECS)
    parser.add_argument("--epochs", type=at_least(1), default=10)
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [3; quick: 1]")
    parser.add_argument("--layers", type=at_least(2), help="of an mlp [10; quick: 4]")
    parser.add_argument("--hidden", type=at_least(1), help="width of dense layers [512; quick: 64]")
    parser.add_argument("--blocks", type=at_least(1), default=8, help="of a resnet [8]")
    parser.add_argument("--filters", type=at_least(1), default=32, help="of a cnn or a resnet [32]")
    parser.add_argument("--batch", type=at_least(2), help="images of a mini-batch [120; quick: 24]")
    parser.add_argument("--batches", type=at_least(1), help="of a timed epoch [100; quick: 20]")
    parser.add_argument(
        "--cut", type=at_least(1), help="modules below it, of what is timed [balanced by time]"
    )
    parser.add_argument("--peers", action="store_true", help="time PyTorch too")
    parser.add_argument(
        "--seconds", type=positive, help="timed, at least, of every row [20; quick: 1]"
    )
    given = parser.parse_args(argv)
    small = {"dataset": "digits", "subnetworks": [2, 3], "seeds": 1, "layers": 4, "hidden": 64}
    small |= {"batch": 24, "batches": 20, "seconds": 1.0}
    usual = {"dataset": "mnist14", "subnetworks": [2, 3, 4], "seeds": 3, "layers": 10}
    usual |= {"hidden": 512, "batch": 120, "batches": 100, "seconds": 20.0}
    set_defaults(given, small, usual)
    refuse_set(parser, _SET, options)
    return given, list(options)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracy over the number of subnetworks; bars of time."""
    parts = [part for part in ("accuracy", "time") if any(row["part"] == part for row in rows)]
    for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        own = [row for row in rows if row["part"] == part]
        if part == "accuracy":
            tssm_accuracy.draw(axes, own)
        else:
            tssm_time.draw(axes, own)
