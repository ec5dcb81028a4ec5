"""Accuracy of every method on every data set: Tables III and IV of Wang et al., arXiv 2105.09837.

    python -m benchmarks accuracy --datasets cora citeseer --data-dir DIR --json rows.json

Networks of up to `--layers` layers, over seeds; accuracies are those of the earliest evaluation of
highest validation accuracy of a run. A method that grows its network chooses its depth with it;
`deep_test` is of the last stage alone. A method may have several settings to choose from: each is
tried with the first two seeds, and the one of the highest mean validation accuracy is run with all
of them. `inputs` is `--normalize`.

- pdadmm-g, pdadmm-g-q (p in −1…20) and pdadmm-g-q-pq (p and q): grown in stages of `--epochs`, with
  the defaults, which were once chosen on the validation nodes of the data sets in the README; where
  the inputs are the paper's (`none`), ρ = ν is chosen;
- pdadmm-g-at-once: all layers at once, from class codes, for as many epochs as all stages together;
- gd, adadelta, adagrad, adam: all layers at once, for as many epochs; learning rate and weight
  decay are chosen;
- adam-grown and so on: the same with the stages of pdADMM-G;
- shallow: two layers, Adam; learning rate, dropout and weight decay are chosen
  (`benchmarks.shallow`).

It takes long. With `--json` every row is kept as soon as it is there; rows that the file holds
already, with the same settings to choose from, are not run again, and others that it holds stay;
`--render` makes tables and plot of them all.
Date, versions and command at the head of the file are of its last run. `seconds` is the mean time
of a run beside others, one core each; shallow has none, since all its seeds are one computation.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from admm.solvers.backprop import LEARNING_RATES
from admm.solvers.growth import default_stages
from admm.training.data import full_inputs
from admm.training.options import Options
from benchmarks.report import Report, Row, make_parser, set_defaults
from benchmarks.shallow import GRID, Setting, train_shallow
from benchmarks.training import Summary, train_all

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
    "deep_test": ">9.4f",
    "mean_val": ">8.4f",
    "seconds": ">7.1f",
    "setting": "<24",
}


class Case(NamedTuple):
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


def main(argv: Sequence[str]) -> None:
    given, known = _parse(argv)
    report = Report("accuracy", _COLUMNS)
    if given.render:
        for old in known.values():
            report.add(old)
        report.finish(given, draw, save=False)
        print(table(report.rows))
        return
    report.others = known.values()
    for case in _cases(given):
        row = known.get(case)
        if row is None or row["settings"] != _named(settings(case)):
            row = {**case._asdict(), **_measure(case, given.data_dir)}
        known.pop(case, None)
        report.add(row)
        report.save(given)
    report.finish(given, draw)
    print(table(report.rows))


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[Case, Row]]:
    """All settings, resolved, and the rows that are there already."""
    parser = make_parser("accuracy", __doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--render", action="store_true", help="run nothing: show what --json has")
    parser.add_argument("--inputs", nargs="+", default=["hops"], choices=("hops", "none"))
    parser.add_argument("--hidden", nargs="+", type=int, help="[100 500; quick: 16]")
    parser.add_argument("--layers", type=int, help="[10; quick: 4]")
    parser.add_argument("--epochs", type=int, help="of a stage [200; quick: 10]")
    parser.add_argument("--eval-every", type=int, help="epochs from one to the next [5; quick: 1]")
    parser.add_argument("--seeds", type=int, metavar="N", help="0…N−1 [5; quick: 2]")
    parser.add_argument("--split-seed", type=int, default=100, help="of random splits [100]")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets [$ADMM_DATA]")
    given = parser.parse_args(argv)
    small = {"hidden": [16], "layers": 4, "epochs": 10, "eval_every": 1, "seeds": 2}
    full = {"hidden": [100, 500], "layers": 10, "epochs": 200, "eval_every": 5, "seeds": 5}
    set_defaults(given, small, full)
    if given.seeds < 1:
        parser.error("--seeds must be at least 1")
    try:
        return given, _rows_of(given.json)
    except (KeyError, TypeError, ValueError) as error:
        parser.error(f"--json {given.json} is a file, but not of this benchmark ({error!r})")


def _cases(given: argparse.Namespace) -> Iterator[Case]:
    stages = default_stages(given.layers)
    for dataset, inputs, hidden, method in product(
        given.datasets, given.inputs, given.hidden, given.methods
    ):
        yield Case(
            dataset,
            inputs,
            hidden,
            method,
            2 if method == _SHALLOW else given.layers,
            given.epochs if _grows(method) else given.epochs * len(stages),
            given.eval_every,
            given.seeds,
            given.split_seed,
        )


def _grows(method: str) -> bool:
    return method.endswith("-grown") or (method in _OURS and not method.endswith("-at-once"))


def _rows_of(path: Path | None) -> dict[Case, Row]:
    """The rows of an earlier run of this benchmark."""
    if path is None or not path.is_file():
        return {}
    rows = json.loads(path.read_text())["rows"]
    return {Case(*[row[name] for name in Case._fields]): row for row in rows}


# A row.


def _measure(case: Case, data_dir: Path | None) -> Row:
    """Choose a setting on validation, and run it with all seeds."""
    seeds = tuple(range(case.seeds))
    choice = settings(case)
    first = seeds[:_TUNED_WITH] if len(choice) > 1 else seeds
    tried = _run(case, [(setting, seed) for setting in choice for seed in first], data_dir)
    found = [tried[n : n + len(first)] for n in range(0, len(tried), len(first))]
    best = int(np.argmax([np.mean([run.val for run in runs]) for runs in found]))
    rest = [(choice[best], seed) for seed in seeds[len(first) :]]
    runs = [*found[best], *_run(case, rest, data_dir)]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    return {
        "mean_test": float(np.mean([run.test for run in runs])),
        "std_test": float(np.std([run.test for run in runs])),
        "deep_test": float(np.mean([run.deep_test for run in runs])),
        "mean_val": float(np.mean([run.val for run in runs])),
        "seconds": float(np.mean(seconds)) if seconds else None,
        "setting": " ".join(map(str, choice[best])) or "defaults",
        "settings": _named(choice),
        "diverged": sum(run.diverged for run in runs),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def settings(case: Case) -> list[tuple[Any, ...]]:
    """What there is to choose from: options of `admm train`, or what `train_shallow` takes."""
    if case.method == _SHALLOW:
        return list(GRID)
    if case.method in _OURS:
        if case.inputs == "hops":
            return [()]
        return [("--rho", penalty, "--nu", penalty) for penalty in _PENALTIES]
    rates = RATES[case.method.removesuffix("-grown")]
    return [("--lr", rate, "--weight-decay", decay) for rate, decay in product(rates, _DECAYS)]


def _named(choice: Sequence[tuple[Any, ...]]) -> list[str]:
    return [" ".join(map(str, setting)) for setting in choice]


def _run(
    case: Case, what: Sequence[tuple[tuple[Any, ...], int]], data_dir: Path | None
) -> list[Run]:
    if case.method == _SHALLOW:
        return _run_shallow(case, what, data_dir)
    runs = [_options(case, setting, seed, data_dir) for setting, seed in what]
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


def _options(case: Case, setting: Sequence[Any], seed: int, data_dir: Path | None) -> list[str]:
    """Options of `admm train`."""
    solver = "pdadmm-g" if case.method in _OURS else case.method.removesuffix("-grown")
    stages = default_stages(case.layers) if _grows(case.method) else (case.layers,)
    values = {
        "dataset": case.dataset,
        "split-seed": case.split_seed,
        "normalize": case.inputs,
        "hidden": case.hidden,
        "layers": case.layers,
        "grow": ",".join(map(str, stages)),
        "epochs": case.epochs,
        "eval-every": case.eval_every,
        "solver": solver,
        "seed": seed,
    }
    if data_dir is not None:
        values["data-dir"] = data_dir
    head = [str(part) for name, value in values.items() for part in (f"--{name}", value)]
    return [*head, *_OURS.get(case.method, ()), *map(str, setting)]


def _run_shallow(
    case: Case, what: Sequence[tuple[tuple[Any, ...], int]], data_dir: Path | None
) -> list[Run]:
    options = Options(
        dataset=case.dataset,
        data_dir=data_dir,
        normalize=case.inputs,  # type: ignore[arg-type]
        split_seed=case.split_seed,
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
            case.hidden,
            Setting(*setting),
            seeds,
            case.epochs,
            case.eval_every,
        )
        for seed, score in zip(seeds, scores, strict=True):
            runs[setting, seed] = Run(score.val, score.test, score.test, None)
    return [runs[each] for each in what]


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
