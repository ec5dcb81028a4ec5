"""Many runs of the `train` command, as many at a time as there are cores."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from benchmarks.launch import run_module

Summary = dict[str, Any]


def train_all(runs: Sequence[Sequence[str]], ranks: int | None = None) -> Iterator[Summary]:
    """`summary.json` of every run, in order, as soon as it and those before it are done.

    Runs of one process take turns on the cores, one core each; runs of several ranks follow each
    other. Accuracies do not depend on that. Compiled code is kept for the runs that follow.

    Args:
        runs: Options of `admm train`, but for `--out`.
        ranks: Under mpirun with so many ranks.
    """
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def run(options: Sequence[str]) -> Summary:
        core = cores.get()
        try:
            with tempfile.TemporaryDirectory() as out:
                bound = None if ranks else core
                run_module(
                    "admm", "train", *options, "--out", out, ranks=ranks, core=bound, cache=cache
                )
                return json.loads(Path(out, "summary.json").read_text())
        finally:
            cores.put(core)

    with (
        tempfile.TemporaryDirectory() as cache,
        ThreadPoolExecutor(1 if ranks else cores.qsize()) as pool,
    ):
        yield from pool.map(run, runs)


def mean_and_std(name: str, values: Sequence[float]) -> dict[str, float]:
    """Two columns of a row."""
    return {f"{name}_mean": float(np.mean(values)), f"{name}_std": float(np.std(values))}
