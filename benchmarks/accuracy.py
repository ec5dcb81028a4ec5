"""Accuracy of every method on every data set: Tables III and IV of Wang et al., arXiv 2105.09837.

    python -m benchmarks accuracy --datasets cora citeseer --data-dir DIR --json rows.json

Networks of up to `--layers` layers, over seeds; accuracies are those of the earliest evaluation of
highest validation accuracy of a run. A method that grows its network chooses its depth with it;
`deep_test` is of the last stage alone. A method may have several settings to choose from: each is
tried with the first two seeds, and the one of the highest mean validation accuracy is run with all
of them. `inputs` is `--normalize`.

- pdadmm-g, pdadmm-g-q (p in −1…20) and pdadmm-g-q-pq (p and q): grown in stages of `--epochs`, with
  the defaults, chosen once on the validation nodes of the data sets in docs/accuracy.md; where
  the inputs are the paper's (`none`), ρ = ν is chosen;
- pdadmm-g-at-once: all layers at once, from class codes, for as many epochs as all stages together;
- gd, adadelta, adagrad, adam: all layers at once, for as many epochs; learning rate and weight
  decay are chosen;
- adam-grown and so on: the same with the stages of pdADMM-G;
- shallow: two layers, Adam; learning rate, dropout and weight decay are chosen
  (`benchmarks.shallow`).

It takes long; `--json` keeps every row as soon as it is there. `seconds` is the mean time of a run
beside others, one core each; shallow has none, since all its seeds are one computation.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from admm.solvers import default_stages
from benchmarks import accuracy_row
from benchmarks.accuracy_row import METHODS, SHALLOW, RowKey, grows
from benchmarks.looks import GREY, color_of
from benchmarks.report import Report, Row, at_least, make_parser, set_defaults

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


def main(argv: Sequence[str]) -> None:
    given = _parse(argv)
    keys = list(_keys(given))
    report = Report("accuracy", given)
    report.begin(_COLUMNS, len(keys))
    for key in keys:
        report.add({**key._asdict(), **accuracy_row.measure(key, given.data_dir)})
    report.finish(draw)
    report.write(table(report.rows))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """All settings, resolved."""
    parser = make_parser("accuracy", __doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--inputs", nargs="+", default=["hops"], choices=("hops", "none"))
    parser.add_argument("--hidden", nargs="+", type=at_least(1), help="[100 500; quick: 16]")
    parser.add_argument("--layers", nargs="+", type=at_least(2), help="[10; quick: 4]")
    parser.add_argument("--epochs", type=at_least(1), help="of a stage [100; quick: 10]")
    parser.add_argument(
        "--eval-every", type=at_least(1), help="epochs from one to the next [5; quick: 1]"
    )
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="0…N−1 [5; quick: 2]")
    parser.add_argument(
        "--split-seed", type=at_least(0), default=100, help="of random splits [100]"
    )
    parser.add_argument("--data-dir", type=Path, help="folder of data sets [$ADMM_DATA]")
    given = parser.parse_args(argv)
    small = {"hidden": [16], "layers": [4], "epochs": 10, "eval_every": 1, "seeds": 2}
    full = {"hidden": [100, 500], "layers": [10], "epochs": 100, "eval_every": 5, "seeds": 5}
    set_defaults(given, small, full)
    return given


def _keys(given: argparse.Namespace) -> Iterator[RowKey]:
    for dataset, inputs, hidden, method, layers in product(
        given.datasets, given.inputs, given.hidden, given.methods, given.layers
    ):
        yield RowKey(
            dataset,
            inputs,
            hidden,
            method,
            2 if method == SHALLOW else layers,
            given.epochs if grows(method) else given.epochs * len(default_stages(layers)),
            given.eval_every,
            given.seeds,
            given.split_seed,
        )


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
    """Test accuracies, a panel for each data set: a colour a method, a marker a size or input."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    depths = {method: {r["layers"] for r in rows if r["method"] == method} for method in METHODS}
    names = [
        f"{row['method']}, {row['layers']} layers"
        if len(depths[row["method"]]) > 1
        else row["method"]
        for row in rows
    ]
    methods = list(dict.fromkeys(names))
    kinds = list(dict.fromkeys((row["inputs"], row["hidden"]) for row in rows))
    # Those of each method, below each other.
    beside: dict[str, list[int]] = {}
    for name, row in zip(names, rows, strict=True):
        kind = kinds.index((row["inputs"], row["hidden"]))
        if kind not in beside.setdefault(name, []):
            beside[name].append(kind)
    panels = figure.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        for name, row in zip(names, rows, strict=True):
            if row["dataset"] == dataset:
                kind, own = kinds.index((row["inputs"], row["hidden"])), beside[name]
                axes.errorbar(
                    row["mean_test"],
                    methods.index(name) + 0.16 * (own.index(kind) - (len(own) - 1) / 2),
                    xerr=row["std_test"],
                    fmt="osD^v"[kind % 5],
                    color=color_of(row["method"]),
                    mfc="white" if kind % 2 else None,
                    capsize=2,
                )
        axes.set(title=dataset, xlabel="test accuracy")
        axes.locator_params("x", nbins=4)
        axes.tick_params("x", labelsize="small")
        axes.grid(alpha=0.25)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].invert_yaxis()
    for kind, (inputs, hidden) in enumerate(kinds):
        look = {"color": GREY, "mfc": "white" if kind % 2 else None}
        label = f"inputs {inputs}, {hidden} neurons"
        panels[0].plot([], [], "osD^v"[kind % 5], label=label, **look)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
