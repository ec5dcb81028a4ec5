"""What every run ends with: its result, and `summary.json`."""

import os
import resource
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from admm.parallel import Transport
from admm.training.clock import Clock
from admm.training.history import Evaluation, History
from admm.training.versions import versions


class Result(NamedTuple):
    """What `train` returns, in every process."""

    summary: dict[str, Any]  # the contents of summary.json
    history: list[Evaluation]
    network: dict[int, Any]  # best network by validation accuracy: this process's layers


def summarize(
    history: History,
    clock: Clock,
    transport: Transport,
    variables: Sequence[str],
    status: str,
    *,
    options: dict[str, Any],
    dataset: dict[str, Any],
    split: Sequence[tuple[int, int]],
    stages: Sequence[dict[str, Any]],
    **more: Any,
) -> dict[str, Any]:
    """The contents of `summary.json`, in every process; the root writes it.

    Args:
        history: Of the run.
        clock: Of this process.
        transport: Adds up over processes.
        variables: What workers send each other in training.
        status: How the run ended.
        options: All of them, resolved.
        dataset: Name and counts.
        split: (first, last) layer of every worker, from 1.
        stages: What each came to.
        more: Further entries.
    """
    best = history.best
    *by_variable, evaluation, plain = transport.total(
        np.array(
            [
                *[transport.sent[variable] for variable in (*variables, "evaluation")],
                sum(transport.plain[variable] for variable in variables),
            ],
            float,
        )
    )
    seconds = transport.gather(clock.seconds())
    last = history.evaluations[-1]._asdict() if history.evaluations else {}
    summary = {
        "schema": 1,
        "options": options,
        "versions": versions(),
        "dataset": dataset,
        "workers": {
            "ranks": transport.size,
            "layers_per_rank": [list(layers) for layers in split],
            "threads_per_rank": len(os.sched_getaffinity(0)),
            "mpi": transport.library,
            "device": jax.devices()[0].device_kind,
        },
        "stages": list(stages),
        "best": scores(best) if best is not None else None,
        "final": {name: last.get(name) for name in _FINAL},
        "seconds": {
            name: sum(each[name] for each in seconds) / len(seconds) for name in seconds[0]
        },
        "bytes": {
            "sent": int(sum(by_variable)),
            "float32": int(plain),
            "by_variable": dict(zip(variables, map(int, by_variable), strict=True)),
            "evaluation": int(evaluation),
        },
        "peak_rss_bytes": transport.gather(
            1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ),
        **more,
        "status": status,
    }
    history.write_summary(summary)
    return summary


def scores(evaluation: Evaluation) -> dict[str, float]:
    """An evaluation in short."""
    names = ("layers", "epoch", "train_accuracy", "val_accuracy", "test_accuracy")
    return {name: getattr(evaluation, name) for name in names}


_FINAL = (
    "train_loss",
    "train_accuracy",
    "val_accuracy",
    "test_accuracy",
    "lagrangian",
    "primal_residual",
    "dual_residual",
)
