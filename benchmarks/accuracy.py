"""Accuracy of every method on every data set: Tables III and IV of Wang et al., arXiv 2105.09837.

    python -m benchmarks accuracy --datasets cora citeseer --json rows.json -- --data-dir DIR

Networks of `--layers` layers, over seeds; accuracies are those of the earliest evaluation of
highest validation accuracy of a run. A method may have several settings to choose from (the rivals'
learning rates, and λ, μ or dropout): each is tried with the first two seeds, and the one of the
highest mean validation accuracy is run with all of them. `inputs` is `--normalize`.

- pdadmm-g, pdadmm-g-q (p in −1…20) and pdadmm-g-q-pq (p and q): defaults, unless the inputs are
  the paper's (`none`), for which ρ = ν is chosen like a rival's learning rate; grown in stages;
- gd, adadelta, adagrad, adam: all layers at once, for as many epochs as all stages have together;
- adam-grown and so on: the same with the stages of pdADMM-G;
- shallow: two layers, Adam, dropout and weight decay (`benchmarks.shallow`).

It takes long. With `--json` every row is kept as soon as it is there; rows that the file holds
already are not run again, and others that it holds stay. `seconds` is the mean time of a run
beside the others: runs share the cores, one each. Options behind `--` go to `admm train`.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from admm.solvers.backprop import LEARNING_RATES
from admm.solvers.growth import default_stages
from admm.training.data import full_inputs
from admm.training.options import Options
from benchmarks.report import Report, Row, make_parser
from benchmarks.shallow import GRID, Setting, train_shallow
from benchmarks.training import train_all

_LEVELS = "-1:20"
_OURS = {
    "pdadmm-g": (),
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
_SHALLOW = "shallow"
METHODS = (*_OURS, *LEARNING_RATES, *(f"{name}-grown" for name in LEARNING_RATES), _SHALLOW)
_TUNED_WITH = 2
_COLUMNS = {
    "dataset": "<13",
    "inputs": "<6",
    "hidden": ">6",
    "method": "<14",
    "layers": ">6",
    "epochs": ">6",
    "seeds": ">5",
    "mean_test": ">9.4f",
    "std_test": ">8.4f",
    "mean_val": ">8.4f",
    "seconds": ">7.1f",
    "setting": "<20",
}


class Case(NamedTuple):
    """What a row is of; no two rows share it."""

    dataset: str
    inputs: str
    hidden: int
    method: str
    layers: int
    epochs: int
    seeds: int


class Run(NamedTuple):
    """What is kept of a run."""

    val: float
    test: float
    seconds: float


def main(argv: Sequence[str]) -> None:
    cut = list(argv).index("--") if "--" in argv else len(argv)
    given, options = _parse(argv[:cut]), list(argv[cut + 1 :])
    report = Report("accuracy", _COLUMNS)
    known = {} if given.json is None else _rows_of(given.json)
    cases = list(_cases(given))
    report.rows += [row for case, row in known.items() if case not in cases]
    for case in cases:
        row = known.get(case)
        if row is None or row["options"] != options:
            row = {**case._asdict(), **_measure(case, options)}
        report.add(row)
        report.save(given)
    report.finish(given, draw)
    print(table(report.rows))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("accuracy", __doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--inputs", nargs="+", default=["hops"], choices=("hops", "none"))
    parser.add_argument("--hidden", nargs="+", type=int, help="[100 500; quick: 16]")
    parser.add_argument("--layers", type=int, help="[10; quick: 4]")
    parser.add_argument("--epochs", type=int, help="of a stage [200; quick: 10]")
    parser.add_argument("--seeds", type=int, metavar="N", help="0…N−1 [5; quick: 2]")
    given = parser.parse_args(argv)
    small = {"hidden": [16], "layers": 4, "epochs": 10, "seeds": 2}
    full = {"hidden": [100, 500], "layers": 10, "epochs": 200, "seeds": 5}
    for name, value in (small if given.quick else full).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.seeds < 1:
        parser.error("--seeds must be at least 1")
    return given


def _cases(given: argparse.Namespace) -> Iterator[Case]:
    stages = default_stages(given.layers)
    for dataset, inputs, hidden, method in product(
        given.datasets, given.inputs, given.hidden, given.methods
    ):
        grown = method in _OURS or method.endswith("-grown")
        yield Case(
            dataset,
            inputs,
            hidden,
            method,
            2 if method == _SHALLOW else given.layers,
            given.epochs if grown else given.epochs * len(stages),
            given.seeds,
        )


def _rows_of(path: Path) -> dict[Case, Row]:
    """The rows of an earlier run of this benchmark, if the file is one's."""
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text())["rows"]
    return {Case(*[row[name] for name in Case._fields]): row for row in rows}


# A row.


def _measure(case: Case, options: Sequence[str]) -> Row:
    """Choose a setting on validation, and run it with all seeds."""
    seeds = tuple(range(case.seeds))
    settings = _settings(case)
    first = seeds[:_TUNED_WITH] if len(settings) > 1 else seeds
    tried = _run(case, [(setting, seed) for setting in settings for seed in first], options)
    found = [tried[n : n + len(first)] for n in range(0, len(tried), len(first))]
    best = int(np.argmax([np.mean([run.val for run in runs]) for runs in found]))
    rest = seeds[len(first) :]
    runs = [*found[best], *_run(case, [(settings[best], seed) for seed in rest], options)]
    vals, tests, seconds = zip(*runs, strict=True)
    return {
        "mean_test": float(np.mean(tests)),
        "std_test": float(np.std(tests)),
        "mean_val": float(np.mean(vals)),
        "seconds": float(np.mean(seconds)),
        "setting": " ".join(map(str, settings[best])) or "defaults",
        "tried": len(settings),
        "options": list(options),
    }


def _settings(case: Case) -> list[tuple[Any, ...]]:
    """What there is to choose from."""
    if case.method == _SHALLOW:
        return list(GRID)
    if case.method in _OURS:
        if case.inputs == "hops":
            return [()]
        return [("--rho", penalty, "--nu", penalty) for penalty in _PENALTIES]
    return [("--lr", rate) for rate in RATES[case.method.removesuffix("-grown")]]


def _run(
    case: Case, what: Sequence[tuple[tuple[Any, ...], int]], options: Sequence[str]
) -> list[Run]:
    if case.method == _SHALLOW:
        return _run_shallow(case, what, options)
    summaries = train_all([_options(case, setting, seed, options) for setting, seed in what])
    return [
        Run(
            run["best"]["val_accuracy"],
            run["best"]["test_accuracy"],
            run["seconds"]["total"],
        )
        for run in summaries
    ]


def _options(case: Case, setting: Sequence[Any], seed: int, options: Sequence[str]) -> list[str]:
    solver = "pdadmm-g" if case.method in _OURS else case.method.removesuffix("-grown")
    grown = default_stages(case.layers) if case.method != solver or solver == "pdadmm-g" else ()
    head = {
        "dataset": case.dataset,
        "normalize": case.inputs,
        "hidden": case.hidden,
        "layers": case.layers,
        "epochs": case.epochs,
        "solver": solver,
        "seed": seed,
    }
    return [
        *(str(part) for name, value in head.items() for part in (f"--{name}", value)),
        *(["--grow", ",".join(map(str, grown))] if grown else []),
        *_OURS.get(case.method, ()),
        *map(str, setting),
        *options,
    ]


def _run_shallow(
    case: Case, what: Sequence[tuple[tuple[Any, ...], int]], options: Sequence[str]
) -> list[Run]:
    about = graph_options(options)
    facts, inputs = full_inputs(replace(about, dataset=case.dataset, normalize=case.inputs))  # type: ignore[arg-type]
    rows = jnp.asarray(inputs.rows)
    runs: dict[tuple[Any, int], Run] = {}
    for setting in dict.fromkeys(setting for setting, _ in what):
        seeds = tuple(seed for other, seed in what if other == setting)
        started = perf_counter()
        scores = train_shallow(
            rows, facts.labels, facts.sizes, case.hidden, Setting(*setting), seeds, case.epochs
        )
        seconds = (perf_counter() - started) / len(seeds)
        runs |= {
            (setting, seed): Run(score.val, score.test, seconds)
            for seed, score in zip(seeds, scores, strict=True)
        }
    return [runs[each] for each in what]


def graph_options(options: Sequence[str]) -> Options:
    """What of the options behind `--` is about data; the rest is left out."""
    parser = argparse.ArgumentParser(allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--split-seed", type=int)
    parser.add_argument("--hops", type=int)
    known, _ = parser.parse_known_args(list(options))
    return Options(**vars(known))


# What comes out.


def table(rows: Sequence[Row]) -> str:
    """The rows as tables in Markdown, a column for each data set: mean ± standard deviation."""
    lines = []
    for inputs, hidden in dict.fromkeys((row["inputs"], row["hidden"]) for row in rows):
        own = [row for row in rows if (row["inputs"], row["hidden"]) == (inputs, hidden)]
        datasets = list(dict.fromkeys(row["dataset"] for row in own))
        cells = {
            (row["method"], row["dataset"]): f"{row['mean_test']:.3f} ± {row['std_test']:.3f}"
            for row in own
        }
        lines += [
            "",
            f"| inputs {inputs}, {hidden} neurons | {' | '.join(datasets)} |",
            "|---" * (len(datasets) + 1) + "|",
        ]
        for method in dict.fromkeys(row["method"] for row in own):
            found = [cells.get((method, dataset), "–") for dataset in datasets]
            lines.append(f"| {method} | {' | '.join(found)} |")
    return "\n".join(lines)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Test accuracies, a panel for each data set."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for axes, dataset in zip(panels, datasets, strict=True):
        own = [row for row in rows if row["dataset"] == dataset]
        for inputs, hidden in dict.fromkeys((row["inputs"], row["hidden"]) for row in own):
            part = [row for row in own if (row["inputs"], row["hidden"]) == (inputs, hidden)]
            axes.errorbar(
                [row["mean_test"] for row in part],
                [methods.index(row["method"]) for row in part],
                xerr=[row["std_test"] for row in part],
                fmt="o",
                capsize=3,
                label=f"{inputs}, {hidden}",
            )
        axes.set(title=dataset, xlabel="test accuracy")
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].invert_yaxis()
    panels[-1].legend()
