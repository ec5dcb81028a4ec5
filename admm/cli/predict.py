"""`admm predict`: what a run's best network says of every row."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.cli.start import add_run, start_for
from admm.console import Console
from admm.errors import InputError


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The run, and the file."""
    parser.description = "What a run's best network says of every node or image of its data set."
    add_run(parser)
    text = ".csv or .npz: classes and probabilities, or the outputs of what has no classes"
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help=text)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Write the file."""
    if arguments.out.suffix not in (".csv", ".npz"):
        raise InputError(f"--out must end in .csv or .npz, got {arguments.out}")
    transport, changes = start_for(arguments, comm)
    from admm.files import write_outputs, write_table
    from admm.run import predict
    from admm.run.saved import open_saved

    found = predict(arguments.run, transport, **changes)
    saved = transport.at_root(lambda: open_saved(Path(arguments.run)))
    has_classes = "classes" in saved.manifest["dataset"]
    if has_classes:
        transport.at_root(lambda: write_table(arguments.out, found, saved.class_names))
    else:
        transport.at_root(lambda: write_outputs(arguments.out, found))
    if transport.is_root:
        kind = "probabilities" if has_classes else "outputs"
        told = f"{len(found):,} rows of {found.shape[1]} {kind} in {arguments.out}\n"
        Console(sys.stdout).write(told)
    transport.close()
