"""The command line's grammar; needs no JAX, so that `--help` is quick."""

import argparse
from pathlib import Path
from typing import NoReturn

from admm.errors import InputError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def make_parser() -> argparse.ArgumentParser:
    """The parser of `admm`; a usage error raises `InputError`."""
    parser = _Parser(
        prog="admm",
        description="ADMM-based, layer-parallel training of neural networks.",
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    _add_train(commands)
    evaluate = commands.add_parser(
        "evaluate",
        help="accuracy of a trained network",
        description="Accuracy of a run's best network on its training, validation and test data.",
    )
    predict = commands.add_parser(
        "predict",
        help="class and probabilities of every node or image",
        description="What a run's best network says of every node or image of its data set.",
    )
    for reader in (evaluate, predict):
        reader.add_argument("run", type=Path, metavar="RUN", help="the --out folder of a run")
        reader.add_argument("--data-dir", type=Path, metavar="DIR", help="as in train")
    predict.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        required=True,
        help=".csv: number, class, probabilities; .npz: classes and probabilities",
    )
    _add_datasets(commands)
    return parser


def _add_datasets(commands: argparse._SubParsersAction) -> None:
    datasets = commands.add_parser(
        "datasets",
        help="the known data sets: list, download, check",
        description="Where the known data sets are, how to get them, and what is in them.",
    )
    actions = datasets.add_subparsers(dest="action", required=True, parser_class=_Parser)
    list_ = actions.add_parser("list", help="where each known data set is")
    download = actions.add_parser(
        "download",
        help="fetch the files of one into a folder of its name in the data directory",
        description="Fetch a data set over HTTPS. Size and checksum of every file are those of its "
        "upstream, or the file is not kept.",
    )
    download.add_argument("name", metavar="NAME", help="as in the list")
    for reader in (list_, download):
        reader.add_argument("--data-dir", type=Path, metavar="DIR", help="as in train")
    check = actions.add_parser("check", help="read a .npz graph, or all data sets below a folder")
    check.add_argument("path", type=Path, metavar="PATH", help="a .npz file or a folder")


def _add_train(commands: argparse._SubParsersAction) -> None:
    train = commands.add_parser(
        "train",
        help="train a network; the same command also under mpirun -n R",
        description="Train a GA-MLP with pdADMM-G, pdADMM-G-Q where --levels are given, or "
        "backpropagation; or a network of images, cut into subnetworks, with gsADMM or gsAM.",
        argument_default=argparse.SUPPRESS,
    )

    def add(group: argparse._ArgumentGroup, name: str, text: str, **kwargs) -> None:
        group.add_argument(name, help=text, **kwargs)

    data = train.add_argument_group("data")
    add(
        data,
        "--dataset",
        "a known name, or a .npz graph; gsadmm, gsam: images [digits]",
        metavar="NAME|FILE.npz",
    )
    add(
        data,
        "--data-dir",
        "searched recursively for upstream file names [$ADMM_DATA, else the user's cache]",
        metavar="DIR",
        type=Path,
    )
    add(
        data,
        "--split-seed",
        "random split of .npz graphs and of digits [100]",
        metavar="N",
        type=int,
    )
    network = train.add_argument_group("network")
    add(network, "--layers", "layers, the output layer included [10]", metavar="L", type=int)
    add(
        network,
        "--hidden",
        "width of the hidden layers [100; gsadmm, gsam: 512]",
        metavar="N",
        type=int,
    )
    add(network, "--hops", "number of hop operators [4]", metavar="K", type=int)
    add(network, "--normalize", "scaling of input rows: hops, features, none [hops]")
    add(
        network,
        "--grow",
        "depths of the stages, or none [--layers halved down to 2; backpropagation: none]",
        metavar="2,5,10",
    )
    solver = train.add_argument_group("solver")
    add(
        solver,
        "--solver",
        "pdadmm-g; backpropagation with gd, adadelta, adagrad, adam; gsadmm, gsam [pdadmm-g]",
        metavar="NAME",
    )
    add(
        solver,
        "--epochs",
        "iterations per stage [200], or passes over the images [10]",
        metavar="N",
        type=int,
    )
    add(
        solver,
        "--rho",
        "penalty of the coupling p = q [0.003; gsadmm: --alpha]",
        metavar="X",
        type=float,
    )
    add(solver, "--nu", "penalty of the layer equations [0.003]", metavar="X", type=float)
    add(
        solver,
        "--weight-decay",
        "penalty of the squared weights [0.02; backpropagation: 0]",
        metavar="X",
        type=float,
    )
    add(
        solver,
        "--lr",
        "learning rate of backpropagation, gsadmm and gsam [gd: 0.1, others: 0.001]",
        metavar="X",
        type=float,
    )
    add(
        solver,
        "--step",
        "step sizes: exact, joint, backtracking; newton: exact, and W to its minimiser [exact]",
    )
    add(
        solver,
        "--start",
        "of the first stage: codes or forward [codes with levels or more than 3 layers, else "
        "forward]",
    )
    add(solver, "--levels", "constrain p to these levels (pdADMM-G-Q)", metavar="LOW:HIGH[:STEP]")
    add(solver, "--levels-q", "constrain q too", metavar="LOW:HIGH[:STEP]")
    add(solver, "--seed", "initial weights [0]", metavar="N", type=int)
    add(solver, "--dtype", "float32 or float64 [float32]")
    parts = train.add_argument_group("gsadmm and gsam")
    add(parts, "--network", "mlp, cnn, resnet [mlp]", metavar="NAME")
    add(parts, "--blocks", "residual blocks of a resnet [24]", metavar="N", type=int)
    add(parts, "--filters", "channels of a cnn or a resnet [32]", metavar="N", type=int)
    add(parts, "--subnetworks", "parts to cut the network into [2]", metavar="N", type=int)
    add(parts, "--cuts", "modules below each cut [balanced by cost]", metavar="3,6")
    add(parts, "--batch", "images of a mini-batch, at most [120]", metavar="N", type=int)
    add(parts, "--alpha", "penalty of q = f(p) [follows from --reach]", metavar="X", type=float)
    add(parts, "--reach", "distance from f to q, in lengths of f [0.5]", metavar="X", type=float)
    add(parts, "--relaxation", "step of p, a fraction of the longest [1]", metavar="X", type=float)
    add(parts, "--optimizer", "gd, adadelta, adagrad, adam [adam]", metavar="NAME")
    add(parts, "--inner", "repetitions of all updates in a visit [1]", metavar="N", type=int)
    add(
        parts,
        "--no-refresh",
        "start p, q and u of an image where they were an epoch before",
        action="store_false",
        dest="refresh",
    )
    add(parts, "--frozen-lower", "train the last subnetwork only: a control", action="store_true")
    workers = train.add_argument_group("workers")
    add(
        workers,
        "--codec",
        "how p and q (f and q or p) travel: float32, bfloat16, levels, uniform16/8/4/2, "
        "delta8/4/2; float64 in float64 arithmetic [as they are]",
    )
    add(
        workers,
        "--workers",
        "workers in this process, each on its own device; under mpirun the ranks are the "
        "workers [1]",
        metavar="N",
        type=int,
    )
    output = train.add_argument_group("output")
    add(output, "--eval-every", "epochs between evaluations [1]", metavar="N", type=int)
    add(
        output,
        "--trace",
        "spans of computation and messages, for Chrome's trace viewer",
        metavar="FILE",
        type=Path,
    )
    add(output, "--out", "results [runs/DATASET-DATE-TIME]", metavar="DIR", type=Path)
    safety = train.add_argument_group("safety")
    add(
        safety,
        "--checkpoint-every",
        "epochs that may be lost; 0: checkpoints only on SIGTERM or SIGINT [50; gsadmm, gsam: 5]",
        metavar="N",
        type=int,
    )
    add(safety, "--keep", "checkpoints to keep [2]", metavar="N", type=int)
    add(
        safety,
        "--resume",
        "go on with this run, on any number of ranks; its options need not be repeated",
        metavar="RUN",
        type=Path,
    )
    add(
        safety,
        "--timeout",
        "seconds that another rank may be silent [600]",
        metavar="S",
        type=float,
    )
    add(
        safety,
        "--checksum",
        "check every message between ranks for damage",
        action="store_true",
    )
