"""`admm trace`: where the time of a traced run went."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.cli.start import show


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The file."""
    parser.description = (
        "The share of computation, messages, evaluation, checkpoints, compilation and idle time in "
        "the time of each process. Time in several spans counts once. wait: nothing to do until a "
        "message comes; idle: in no span."
    )
    text = "what admm train --trace FILE wrote"
    parser.add_argument("file", type=Path, metavar="FILE", help=text)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Print the table, in one process."""
    if comm is not None and comm.rank > 0:
        return
    from admm.comm.shares import KINDS, trace_shares

    rows = trace_shares(arguments.file)
    width = max(len("process"), *(len(row.process) for row in rows))
    heads = "".join(f"{kind:>11}" for kind in KINDS)
    show(f"{'process':{width}}  {'seconds':>9}{heads}")
    for row in rows:
        shares = "".join(f"{row.of[kind]:>11.1%}" for kind in KINDS)
        show(f"{row.process:{width}}  {row.seconds:>9.3f}{shares}")
