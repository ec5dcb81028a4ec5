"""A row of the benchmark of accuracy: its runs, and the choice of a setting on validation."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from admm import PDADMMGOptions
from admm.methods.layerwise.data import full_inputs
from admm.solvers import LEARNING_RATES, default_stages
from benchmarks.report import Row
from benchmarks.shallow import GRID, Setting, train_shallow
from benchmarks.training import Summary, train_all, words_of

_LEVELS = "-1:20"
_OURS = {
    "pdadmm-g": (),
    "pdadmm-g-at-once": (),
    "pdadmm-g-q": (f"--levels={_LEVELS}",),
    "pdadmm-g-q-pq": (f"--levels={_LEVELS}", f"--levels-q={_LEVELS}"),
}
# Around those of the paper.
RATES = {
    "gd": (1.0, 0.1, 0.01),
    "adadelta": (1.0, 0.1, 0.01, 0.001),
    "adagrad": (0.1, 0.01, 0.001),
    "adam": (0.01, 0.001, 0.0001),
}
_PENALTIES = (1e-2, 1e-3, 1e-4)
_DECAYS = (0.0, 5e-4, 5e-3)
SHALLOW = "shallow"
METHODS = (*_OURS, *LEARNING_RATES, *(f"{name}-grown" for name in LEARNING_RATES), SHALLOW)
_TUNED_WITH = 2


class RowKey(NamedTuple):
    """What a row is of; no two rows share it."""

    dataset: str
    inputs: str
    hidden: int
    method: str
    layers: int
    epochs: int
    eval_every: int
    seeds: int
    split_seed: int


class Run(NamedTuple):
    """What is kept of a run."""

    val: float
    test: float
    deep_test: float  # of the deepest stage
    seconds: float | None
    diverged: bool = False


def grows(method: str) -> bool:
    """Whether a method trains in stages."""
    return method.endswith("-grown") or (method in _OURS and not method.endswith("-at-once"))


def measure(key: RowKey, data_dir: Path | None) -> Row:
    """Choose a setting on validation, and run it with all seeds."""
    seeds = tuple(range(key.seeds))
    choice = settings(key)
    first = seeds[:_TUNED_WITH] if len(choice) > 1 else seeds
    tried = _run(key, [(setting, seed) for setting in choice for seed in first], data_dir)
    found = [tried[n : n + len(first)] for n in range(0, len(tried), len(first))]
    best = int(np.argmax([np.mean([run.val for run in runs]) for runs in found]))
    rest = [(choice[best], seed) for seed in seeds[len(first) :]]
    runs = [*found[best], *_run(key, rest, data_dir)]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    return {
        "mean_test": float(np.mean([run.test for run in runs])),
        "std_test": float(np.std([run.test for run in runs])),
        "deep_test": float(np.mean([run.deep_test for run in runs])),
        "mean_val": float(np.mean([run.val for run in runs])),
        "seconds": float(np.mean(seconds)) if seconds else None,
        "setting": " ".join(map(str, choice[best])) or "defaults",
        "settings": [" ".join(map(str, setting)) for setting in choice],
        "diverged": sum(run.diverged for run in runs),
    }


def settings(key: RowKey) -> list[tuple[Any, ...]]:
    """What there is to choose from: options of `admm train`, or what `train_shallow` takes."""
    if key.method == SHALLOW:
        return list(GRID)
    if key.method in _OURS:
        if key.inputs == "hops":
            return [()]
        return [("--rho", penalty, "--nu", penalty) for penalty in _PENALTIES]
    rates = RATES[key.method.removesuffix("-grown")]
    return [("--lr", rate, "--weight-decay", decay) for rate, decay in product(rates, _DECAYS)]


def _run(
    key: RowKey, what: Sequence[tuple[tuple[Any, ...], int]], data_dir: Path | None
) -> list[Run]:
    if key.method == SHALLOW:
        return _run_shallow(key, what, data_dir)
    runs = [_options(key, setting, seed, data_dir) for setting, seed in what]
    return [_score(summary) for summary in train_all(runs, diverging=True)]


def _score(summary: Summary) -> Run:
    """The accuracies of a run; 0 for one that diverged before its first evaluation."""
    nothing = {"val_accuracy": 0.0, "test_accuracy": 0.0}
    best = summary["best"] or nothing
    deep = summary["stages"][-1]["best"] if summary["stages"] else nothing
    return Run(
        best["val_accuracy"],
        best["test_accuracy"],
        deep["test_accuracy"],
        summary["seconds"]["total"],
        summary["status"] == "diverged",
    )


def _options(key: RowKey, setting: Sequence[Any], seed: int, data_dir: Path | None) -> list[str]:
    """Options of `admm train`."""
    solver = "pdadmm-g" if key.method in _OURS else key.method.removesuffix("-grown")
    stages = default_stages(key.layers) if grows(key.method) else (key.layers,)
    values = {
        "dataset": key.dataset,
        "split-seed": key.split_seed,
        "normalize": key.inputs,
        "hidden": key.hidden,
        "layers": key.layers,
        "grow": ",".join(map(str, stages)),
        "epochs": key.epochs,
        "eval-every": key.eval_every,
        "solver": solver,
        "seed": seed,
    }
    if data_dir is not None:
        values["data-dir"] = data_dir
    return [*words_of(values), *_OURS.get(key.method, ()), *map(str, setting)]


def _run_shallow(
    key: RowKey, what: Sequence[tuple[tuple[Any, ...], int]], data_dir: Path | None
) -> list[Run]:
    options = PDADMMGOptions(
        dataset=key.dataset,
        data_dir=data_dir,
        normalize=key.inputs,  # type: ignore[arg-type]
        split_seed=key.split_seed,
    )
    facts, inputs = full_inputs(options)
    rows = jnp.asarray(inputs.rows)
    runs: dict[tuple[Any, int], Run] = {}
    for setting in dict.fromkeys(setting for setting, _ in what):
        seeds = tuple(seed for other, seed in what if other == setting)
        scores = train_shallow(
            rows,
            facts.labels,
            facts.sizes,
            key.hidden,
            Setting(*setting),
            seeds,
            key.epochs,
            key.eval_every,
        )
        for seed, score in zip(seeds, scores, strict=True):
            runs[setting, seed] = Run(score.val, score.test, score.test, None)
    return [runs[each] for each in what]
