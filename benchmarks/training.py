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

from admm.errors import DivergedError
from benchmarks.launch import run_module

Summary = dict[str, Any]


def train_all(runs: Sequence[Sequence[str]], diverging: bool = False) -> Iterator[Summary]:
    """`summary.json` of every run, in order, as soon as it and those before it are done.

    Beside its contents there is `history`, the evaluations of `history.jsonl`. Runs take turns on
    the cores, one core each; accuracies do not depend on that. Compiled code is kept for the runs
    that follow.

    Args:
        runs: Options of `admm train`, but for `--out`.
        diverging: Whether a run may diverge, as its `status` then says.

    Raises:
        RunError: If a run fails, or diverges and may not.
    """
    codes = (0, DivergedError.exit_code) if diverging else (0,)
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def take_core() -> None:
        os.sched_setaffinity(0, {cores.get()})  # of this thread and of what it starts

    def run(options: Sequence[str]) -> Summary:
        with tempfile.TemporaryDirectory() as out:
            command = ("train", *options, "--checkpoint-every", "0", "--out", out)
            run_module("admm", *command, cache=cache, codes=codes)
            lines = Path(out, "history.jsonl").read_text().splitlines()
            summary = json.loads(Path(out, "summary.json").read_text())
            return {**summary, "history": [json.loads(line) for line in lines]}

    with (
        tempfile.TemporaryDirectory() as cache,
        ThreadPoolExecutor(cores.qsize(), initializer=take_core) as pool,
    ):
        yield from pool.map(run, runs)


def mean_and_std(name: str, values: Sequence[float]) -> dict[str, float]:
    """Two columns of a row."""
    return {f"{name}_mean": float(np.mean(values)), f"{name}_std": float(np.std(values))}
