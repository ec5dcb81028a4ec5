"""`admm plot`: a picture of one run or several."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.cli.picture import check_kind, write_picture
from admm.cli.start import show
from admm.run.options import folder_of
from admm.run.plot import plot_runs

# Dots an inch of a picture made of them.
_DPI = 120


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The runs, and the file."""
    parser.description = (
        "Loss, accuracy, objective, residuals and bytes over epochs, and where the time went: of "
        "one run, or of up to ten, a colour each. What a run does not have is left out."
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the --out folder of a run")
    text = "picture, of the kind that its name ends with [history.png in the first RUN]"
    parser.add_argument("--out", type=Path, metavar="FILE", help=text)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Draw, in one process."""
    if comm is not None and comm.rank > 0:
        return
    out = arguments.out or folder_of(arguments.runs[0]) / "history.png"
    check_kind("out", out)
    write_picture(out, plot_runs(arguments.runs), _DPI)
    show(f"picture in {out}")
