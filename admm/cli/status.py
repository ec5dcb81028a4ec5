"""`admm status`: how far a run is."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from admm.cli.start import show
from admm.run.history import OTHER_SCORES, duration, to_json
from admm.run.status import Status, run_status

# What stands elsewhere in the text, or is no score.
_ELSEWHERE = ("stage", "epoch", "layers", "modules", "bytes_sent", "seconds", "iterate_seconds")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The run."""
    parser.description = (
        "How far a run is, what is left, whether its process is alive, and what a restart would "
        "lose."
    )
    parser.add_argument("run", metavar="RUN", help="the --out folder of a run")
    text = "one JSON object, in place of text; values that are not finite are null"
    parser.add_argument("--json", action="store_true", help=text)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Print it, in one process."""
    if comm is not None and comm.rank > 0:
        return
    status = run_status(arguments.run)
    if arguments.json:
        values = status._asdict()
        for name in ("writer", "checkpoint"):
            values[name] = values[name] and values[name]._asdict()
        show(to_json(values))
        return
    for line in _lines(status):
        show(line)


def _lines(status: Status) -> Iterator[str]:
    writer = status.writer
    who = ""
    if writer is not None:
        who = f", process {writer.pid or '?'} on {writer.host or '?'}"
        who += "" if writer.alive else ", which is no more"
    yield f"{status.run}: {status.state}{who}"
    latest, stages = status.latest, status.stages
    if latest is None:
        yield f"no evaluation yet, of {len(stages)} stages of {status.epochs} epochs"
    else:
        stage = latest["stage"]
        share = (stage + latest["epoch"] / status.epochs) / len(stages)
        left = "" if status.left is None else duration(status.left)
        names = [n for n in latest if n not in _ELSEWHERE and not n.endswith(OTHER_SCORES)]
        yield (
            f"stage {stage + 1} of {len(stages)} ({stages[stage]}), epoch {latest['epoch']} of "
            f"{status.epochs}; {share:.0%}{left and f', about {left} left'}"
        )
        yield (
            f"latest, {duration(status.silent or 0)} ago: "
            f"{', '.join(f'{name} {latest[name]:.4g}' for name in names)}"
        )
    if status.best is not None:
        best, name = status.best, status.select
        yield f"best: stage {best['stage'] + 1}, epoch {best['epoch']}, {name} {best[name]:.4g}"
    saved = status.checkpoint
    if saved is None:
        yield "no checkpoint yet: a restart begins anew"
        return
    lost = saved.epochs_lost
    loses = f"loses {lost} epoch{'s' * (lost > 1)} ({duration(saved.seconds_lost)})"
    yield (
        f"checkpoint: stage {saved.stage + 1}, epoch {saved.epoch}; going on from there "
        f"{loses if lost else 'loses nothing'}"
    )
    if status.resume is not None:
        yield f"go on: {status.resume}"
