"""How pdADMM-G converges: Figure 2 of Wang et al., arXiv 2105.09837, and its theorems.

    python -m benchmarks convergence --datasets cora --ratios 1 3 5 20 --plot convergence.png

All layers are trained at once, from random weights, on 2 workers of this process that exchange
coded messages, with constant penalties ν and ρ = ratio·ν. Theorem 1 says: for ρ > 4ν (ReLU) the
augmented Lagrangian never rises; theorem 4: c_k = min over i ≤ k of the squared change of all
variables in iteration i is o(1/k). A row has

- `lagrangian`, `objective` (the Lagrangian without u and ρ), `primal` (Σ ‖p_{l+1} − q_l‖²)^½ and
  `dual` (Σ ‖ρ Δq_l‖²)^½, at the end;
- `rises`: iterations in which the Lagrangian rose by more than rounding, 1e-5 of its value;
- `rate`: the slope of log c_k over log k in the last half of the iterations, below −1 for o(1/k);

and its curves in the JSON, at some 60 iterations and to 5 digits. With `levels`, p is confined to
−1…20.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm import LocalTransport, PDADMMGOptions
from admm.solvers import Block, Diagnosis
from benchmarks.report import Report, Row, at_least, make_parser, positive, set_defaults
from quant import CODEC_NAMES, Levels

# ρ/ν above which theorem 1 holds, for S = 1.
BOUND = 4.0
_CODECS = tuple(name for name in CODEC_NAMES if name != "float64")
_CURVES = ("lagrangian", "objective", "primal", "dual", "change")
# What the panels of the picture show.
_LABELS = {
    "lagrangian": "augmented Lagrangian",
    "primal": "primal residual",
    "dual": "dual residual",
    "change": "c_k: least squared change\nof an iteration so far",
}
# Kin have shades of one colour.
_COLORS = {
    "float32": "#222222",
    "bfloat16": "#909090",
    "uniform16": "#7a3500",
    "uniform8": "#b34e00",
    "uniform4": "#e57a22",
    "uniform2": "#f5b06f",
    "delta8": "#003d63",
    "delta4": "#0072b2",
    "delta2": "#6cbdea",
    "levels": "#009e73",
}
_STYLES = ("-", "--", ":", "-.")
_TOLERANCE = 1e-5
_WORKERS = 2
_COLUMNS = {
    "dataset": "<13",
    "layers": ">6",
    "hidden": ">6",
    "nu": ">7.0e",
    "ratio": ">5.1f",
    "bound": "<7",
    "codec": "<9",
    "iterations": ">10",
    "lagrangian": ">10.3e",
    "objective": ">9.3e",
    "primal": ">8.1e",
    "dual": ">8.1e",
    "rises": ">5",
    "rate": ">6.2f",
}


def main(argv: Sequence[str]) -> None:
    given = _parse(argv)
    report = Report("convergence", given)
    jax.config.update("jax_num_cpu_devices", _WORKERS)
    cases = list(product(given.datasets, given.nu, _cases(given)))
    report.begin(_COLUMNS, len(cases))
    for dataset, nu, (ratio, codec) in cases:
        case = PDADMMGOptions(
            dataset=dataset,
            data_dir=given.data_dir,
            layers=given.layers,
            hidden=given.hidden,
            grow="none",
            nu=nu,
            rho=ratio * nu,
            codec=codec,
            levels=Levels(-1, 20) if codec == "levels" else None,
            epochs=given.iterations,
            workers=_WORKERS,
        )
        curves = follow(case)
        head = {"dataset": dataset, "layers": given.layers, "hidden": given.hidden, "nu": nu}
        head |= {"ratio": ratio, "bound": "inside" if ratio > BOUND else "outside"}
        head |= {"codec": codec, "iterations": given.iterations}
        report.add(head | summarize(curves) | {"curves": thin(curves)})
    report.finish(draw)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("convergence", __doc__)
    parser.add_argument("--datasets", nargs="+", default=["digits"])
    parser.add_argument("--nu", nargs="+", type=positive, default=[1e-2], help="[0.01]")
    parser.add_argument(
        "--ratios",
        nargs="+",
        type=positive,
        default=[1, 3, 5, 20],
        help="ρ/ν, in float32 [1 3 5 20]",
    )
    parser.add_argument("--codecs", nargs="+", choices=_CODECS, default=_CODECS)
    parser.add_argument("--coded-ratio", type=positive, default=5.0, help="ρ/ν of the codecs [5]")
    parser.add_argument("--layers", type=at_least(_WORKERS), help="[10; quick: 3]")
    parser.add_argument("--hidden", type=at_least(1), help="[100; quick: 16]")
    parser.add_argument("--iterations", type=at_least(4), help="[500; quick: 20]")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets [$ADMM_DATA]")
    given = parser.parse_args(argv)
    small = {"layers": 3, "hidden": 16, "iterations": 20}
    full = {"layers": 10, "hidden": 100, "iterations": 500}
    set_defaults(given, small, full)
    return given


def _cases(given: argparse.Namespace) -> list[tuple[float, str]]:
    """Ratios in float32, then the other codecs at one ratio."""
    coded = [(given.coded_ratio, codec) for codec in given.codecs if codec != "float32"]
    return [*[(ratio, "float32") for ratio in given.ratios], *coded]


# A run.


def follow(options: PDADMMGOptions) -> dict[str, list[float]]:
    """The curves of a run in a single stage, one value an iteration."""
    transport = LocalTransport(_WORKERS)
    training = options.begin(options.load(transport), transport, 0, None)
    curves: dict[str, list[float]] = {name: [] for name in _CURVES}
    for number in range(1, options.epochs + 1):
        before = [_variables(worker.block) for worker in training.workers]
        training.epoch(number, True)
        layers = [layer for worker in training.workers for layer in worker.diagnose()]
        blocks = [worker.block for worker in training.workers]
        found = Diagnosis(*np.sum(jax.device_get(layers), axis=0, dtype=float))
        change = sum(float(_change(a, b)) for a, b in zip(before, blocks, strict=True))
        objective = found.risk + found.linear_penalty
        objective += found.activation_penalty + found.weight_decay
        lagrangian = objective + found.dual_term + found.coupling_penalty
        residuals = (found.primal_residual**0.5, found.dual_residual**0.5)
        values = (lagrangian, objective, *residuals, change)
        for name, value in zip(_CURVES, values, strict=True):
            curves[name].append(float(value))
    return curves


@jax.jit
def _variables(block: Block) -> list[tuple[Array | None, ...]]:
    """Copies, since an iteration overwrites them."""
    return jax.tree.map(jnp.copy, [(x.p, x.W, x.b, x.z, x.q) for x in block.layers])


@jax.jit
def _change(before: list[tuple[Array | None, ...]], block: Block) -> Array:
    """Σ ‖Δ‖² of all variables but u."""
    differences = jax.tree.map(jnp.subtract, before, _variables(block))
    return jnp.asarray(sum(jnp.sum(x**2) for x in jax.tree.leaves(differences)))


def summarize(curves: dict[str, list[float]]) -> Row:
    """The figures of a row."""
    lagrangian = np.array(curves["lagrangian"])
    slack = _TOLERANCE * np.abs(lagrangian[:-1])
    smallest = np.minimum.accumulate(curves["change"])
    k = np.arange(1, len(smallest) + 1)
    half = len(k) // 2
    return {
        **{name: curves[name][-1] for name in _CURVES if name != "change"},
        "rises": int(np.sum(np.diff(lagrangian) > slack)),
        "rate": float(np.polyfit(np.log(k[half:]), np.log(smallest[half:]), 1)[0]),
    }


def thin(curves: dict[str, list[float]]) -> dict[str, list[float]]:
    """The curves at some iterations, told first; c_k in place of the changes."""
    total = len(curves["change"])
    shown = np.unique(np.geomspace(1, total, min(total, 60)).astype(int))
    smallest = np.minimum.accumulate(curves["change"])
    every = {name: np.array(values)[shown - 1] for name, values in curves.items()}
    every["change"] = smallest[shown - 1]
    rounded = {name: [float(f"{x:.5g}") for x in values] for name, values in every.items()}
    return {"iteration": shown.tolist(), **rounded}


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Lagrangian, residuals and c_k over iterations: penalties on the left, codecs on the right.

    A colour is a ratio of penalties or a codec, a line style a data set.
    """
    from matplotlib import colormaps

    exact = [row for row in rows if row["codec"] == "float32"]
    coded = [row for row in rows if row["codec"] != "float32"]
    known = {row["ratio"] for row in coded}
    columns = [("float32, ρ/ν:", "ratio", exact)]
    if coded:
        title = f"ρ/ν = {', '.join(f'{ratio:g}' for ratio in sorted(known))}, codec:"
        columns.append((title, "codec", [row for row in rows if row["ratio"] in known]))
    figure.set_size_inches(4 * len(columns), 10)
    panels = figure.subplots(len(_LABELS), len(columns), sharex=True, sharey="row", squeeze=False)
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    for column, (title, key, own) in zip(panels.T, columns, strict=True):
        names = list(dict.fromkeys(row[key] for row in own))
        shades = colormaps["plasma"](np.linspace(0, 0.85, len(names)))
        colors = {name: _COLORS.get(name, shade) for name, shade in zip(names, shades, strict=True)}
        for axes, curve in zip(column, _LABELS, strict=True):
            for row in own:
                style = _STYLES[datasets.index(row["dataset"]) % len(_STYLES)]
                x, y = (row["curves"][name] for name in ("iteration", curve))
                axes.plot(x, y, style, color=colors[row[key]], lw=1.2)
            axes.set(xscale="log", yscale="log")
            axes.grid(alpha=0.25)
        for name, color in colors.items():
            column[0].plot([], [], color=color, lw=3, label=f"{name}")
        look = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "frameon": False}
        column[0].legend(title=title, ncols=4, fontsize="small", handlelength=1, **look)
        column[-1].set_xlabel("iteration")
    for axes, label in zip(panels[:, 0], _LABELS.values(), strict=True):
        axes.set_ylabel(label)
    for dataset, style in zip(datasets, _STYLES, strict=False):
        panels[1, 0].plot([], [], style, color="0.3", label=dataset)
    panels[1, 0].legend(frameon=False)
