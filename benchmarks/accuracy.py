"""Accuracy of the `train` command over data sets and seeds, selected on validation.

    python -m benchmarks accuracy --datasets cora citeseer --seeds 0 1 2 -- --levels=-1:20

Options behind `--` go to `admm train`. Every row is the mean ± standard deviation over the seeds
of what `summary.json` calls `best`, and of the deepest stage alone. Runs share the cores, one each;
`seconds` is the time of a run beside the others.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import mean_and_std, train_all


def main(argv: Sequence[str]) -> None:
    cut = list(argv).index("--") if "--" in argv else len(argv)
    options = list(argv[cut + 1 :])
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--split-seeds", nargs="+", type=int, default=[100])
    parser.add_argument("--ranks", type=int, help="under mpirun with so many ranks")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    arguments = parser.parse_args(argv[:cut])
    rows = []
    print(_HEADER, flush=True)
    for dataset in arguments.datasets:
        for split in arguments.split_seeds:
            cases = [_options(dataset, seed, split, options) for seed in arguments.seeds]
            runs = list(train_all(cases, arguments.ranks))
            rows.append({"dataset": dataset, "split_seed": split, "options": options, **_row(runs)})
            print(_ROW.format(**rows[-1]), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1))


def _options(dataset: str, seed: int, split: int, options: Sequence[str]) -> list[str]:
    given = ["--dataset", dataset, "--seed", str(seed), "--split-seed", str(split)]
    return [*given, *options]


def _row(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sent, plain = (sum(run["bytes"][name] for run in runs) for name in ("sent", "float32"))
    return {
        **mean_and_std("test", [run["best"]["test_accuracy"] for run in runs]),
        **mean_and_std("val", [run["best"]["val_accuracy"] for run in runs]),
        **mean_and_std("deep", [run["stages"][-1]["best"]["test_accuracy"] for run in runs]),
        "bytes_fraction": sent / plain if plain else 0.0,
        "seconds": float(np.mean([run["seconds"]["total"] for run in runs])),
        "seeds": len(runs),
    }


_HEADER = (
    f"{'dataset':18} {'split':>5} {'seeds':>5} {'test':>13} {'val':>13} {'deepest stage':>13} "
    f"{'bytes/float32':>13} {'seconds':>8}"
)
_ROW = (
    "{dataset:18} {split_seed:5} {seeds:5} {test_mean:.4f}±{test_std:.4f} "
    "{val_mean:.4f}±{val_std:.4f} {deep_mean:.4f}±{deep_std:.4f} "
    "{bytes_fraction:13.4f} {seconds:8.1f}"
)
