"""`admm evaluate`: scores of a run's best network."""

import argparse
from collections.abc import Sequence
from typing import Any

from admm.cli.start import add_run, show, start_for


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The run."""
    parser.description = "Accuracy of a run's best network on training, validation and test data."
    add_run(parser)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Print the scores."""
    transport, changes = start_for(arguments, comm)
    from admm.run import evaluate

    scores = evaluate(arguments.run, transport, **changes)
    if transport.is_root:
        show("  ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    transport.close()
