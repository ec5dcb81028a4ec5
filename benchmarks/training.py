"""Runs of the `train` command: many, as many at a time as there are cores, and timed ones."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
        return _trained(options, cache=cache, codes=codes)

    with (
        tempfile.TemporaryDirectory() as cache,
        ThreadPoolExecutor(cores.qsize(), initializer=take_core) as pool,
    ):
        yield from pool.map(run, runs)


def train_timed(options: Sequence[str], prefixes: Sequence[Sequence[str]]) -> Summary:
    """A run on ranks with a core each, as far as there are cores; else as `train_all` has it.

    Args:
        options: Of `admm train`, but for `--out`.
        prefixes: Words in front of the command of every rank, as `run_module` takes them.

    Raises:
        RunError: If it fails.
    """
    cores = sorted(os.sched_getaffinity(0))
    bound = [
        [*prefix, "taskset", "-c", str(cores[rank % len(cores)])]
        for rank, prefix in enumerate(prefixes)
    ]
    return _trained(options, ranks=len(bound), prefixes=bound)


def _trained(options: Sequence[str], **how: Any) -> Summary:
    """What a run has left in its folder; `how` is for `run_module`."""
    with tempfile.TemporaryDirectory() as out:
        run_module("admm", "train", *options, "--checkpoint-every", "0", "--out", out, **how)
        lines = Path(out, "history.jsonl").read_text().splitlines()
        summary = json.loads(Path(out, "summary.json").read_text())
        return {**summary, "history": [json.loads(line) for line in lines]}


def epoch_ms(history: Sequence[Mapping[str, Any]]) -> float:
    """Mean of the epochs after the first of two evaluations or more.

    Example:
        >>> lines = [{"epoch": 2, "iterate_seconds": 9.0}, {"epoch": 6, "iterate_seconds": 9.2}]
        >>> round(epoch_ms(lines))
        50
    """
    first, last = history[0], history[-1]
    seconds = last["iterate_seconds"] - first["iterate_seconds"]
    return 1e3 * seconds / (last["epoch"] - first["epoch"])


def words_of(options: Mapping[str, Any]) -> list[str]:
    """Options of a command by name, as words.

    Example:
        >>> words_of({"lr": 0.1, "eval-every": 4})
        ['--lr', '0.1', '--eval-every', '4']
    """
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def seeded(dataset: str, seed: int) -> str:
    """The name of a data set; what is drawn, a graph or clients, is another for every seed.

    Example:
        >>> [seeded(name, 2) for name in ("sbm:", "sensors:clients=3", "beijing", "har")]
        ['sbm:seed=2', 'sensors:clients=3,seed=2', 'beijing:seed=2', 'har']
    """
    name, _, given = dataset.partition(":")
    if name not in ("sbm", "sensors", "beijing"):
        return dataset
    return f"{name}:{given},seed={seed}" if given else f"{name}:seed={seed}"


def mean_and_std(name: str, values: Sequence[float]) -> dict[str, float]:
    """Two columns of a row."""
    return {f"{name}_mean": float(np.mean(values)), f"{name}_std": float(np.std(values))}
