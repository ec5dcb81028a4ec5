"""One hidden layer's iteration against its floor, the four bare matrix products.

    python -m benchmarks kernels --threads 1

A row is a shape: V nodes, n inputs and n outputs. `layer_ms` is a whole iteration of the layer
(p, W, b, z, q, u) as a worker runs it, `products_ms` the products r Wᵀ, g W, pᵀ r and p G alone,
each a call of its own into an array that is there already, and none waiting for another. Both are
medians, and take turns in the same process, so that a processor whose rate drifts treats them
alike. `roofline_fraction` is
products ÷ layer; `gflops` the rate of the products.

`state_arrays` counts arrays of V × n held between iterations; `peak_arrays` is how far the
process's resident memory rises above that within an iteration, in arrays of V × n (Linux only).
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.launch import run_module
from benchmarks.looks import color_of
from benchmarks.report import Report, Row, at_least, make_parser, positive, set_defaults

_SHAPES = (
    *((140, 100), (1024, 256), (4096, 256), (4096, 512)),
    *((8192, 512), (8192, 1024), (8192, 2048)),
)
_COLUMNS = {
    "nodes": ">6d",
    "width": ">6d",
    "threads": ">7d",
    "layer_ms": ">9.3f",
    "products_ms": ">11.3f",
    "roofline_fraction": ">17.3f",
    "gflops": ">7.1f",
    "state_arrays": ">12d",
    "peak_arrays": ">11.1f",
}


def main(argv: Sequence[str]) -> None:
    parser = make_parser("kernels", __doc__)
    parser.add_argument(
        "--threads", type=at_least(1), nargs="+", default=[1], help="cores to use [1]"
    )
    parser.add_argument("--nodes", type=at_least(1), help="with --width: this shape only")
    parser.add_argument("--width", type=at_least(1))
    parser.add_argument("--seconds", type=positive, help="per row [20; quick: 5]")
    given = parser.parse_args(argv)
    set_defaults(given, {"seconds": 5.0}, {"seconds": 20.0})
    shapes: Sequence[tuple[int, int]] = _SHAPES[:4] if given.quick else _SHAPES
    cores = len(os.sched_getaffinity(0))
    if max(given.threads) > cores:
        parser.error(f"--threads must be at most {cores}, the cores here, got {max(given.threads)}")
    if (given.nodes is None) != (given.width is None):
        parser.error("--nodes and --width make a shape together")
    if given.nodes is not None:
        shapes = ((given.nodes, given.width),)
    report = Report("kernels", given)
    report.begin(_COLUMNS, len(given.threads) * len(shapes))
    for threads in given.threads:
        for nodes, width in shapes:
            case = {"nodes": nodes, "width": width, "threads": threads, "seconds": given.seconds}
            report.add(json.loads(run_module("benchmarks.kernels", json.dumps(case))))
    report.finish(draw)


def measure(nodes: int, width: int, threads: int, seconds: float) -> Row:
    """One row, on the last `threads` cores of this process, before JAX makes its thread pools."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    import jax
    import jax.numpy as jnp

    from admm.solvers import PDADMMG, Layer
    from layers import init_dense

    keys = jax.random.split(jax.random.key(0), 8)
    p, z, r, q, u, q_below, u_below, p_above = (
        jax.random.normal(key, (nodes, width)) for key in keys
    )
    W, b = init_dense(0, 1, (width, width), width**-0.5, "float32")
    solver = PDADMMG()
    rho = nu = jnp.float32(3e-3)

    def into(product: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        """A product whose result gets the buffer of the first argument, as a layer's do."""
        return jax.jit(lambda out, a, b: product(a, b), donate_argnums=0, keep_unused=True)

    products = [
        (into(product), operands)
        for product, operands in (
            (lambda r, W: r @ W.T, (z + 0, W)),
            (lambda g, W: g @ W, (q_below, W)),
            (lambda p, r: p.T @ r, (q_below, u_below)),
            (lambda p, G: p @ G, (p_above, W)),
        )
    ]
    results = [jnp.zeros_like(x) for x in (z, q_below, W, p_above)]
    layer = Layer(p, W, b, z, r, q, u)

    def iterate() -> None:
        nonlocal layer
        layer = solver.update_layer(layer, q_below, u_below, p_above, None, rho, nu)
        jax.block_until_ready(layer)

    def multiply() -> None:
        nonlocal results
        each = zip(products, results, strict=True)
        results = [product(result, *operands) for (product, operands), result in each]
        jax.block_until_ready(results)

    times: dict[str, list[float]] = {"layer_ms": [], "products_ms": []}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["layer_ms"]) < 7:
        for name, work in (("products_ms", multiply), ("layer_ms", iterate)):
            start = time.perf_counter()
            work()
            times[name].append(1e3 * (time.perf_counter() - start))
    row: Row = {name: statistics.median(values[2:]) for name, values in times.items()}
    rise = _memory_rise(iterate)
    held = [value for value in jax.tree.leaves(layer) if value.size == nodes * width]
    return {
        "nodes": nodes,
        "width": width,
        "threads": threads,
        **row,
        "roofline_fraction": row["products_ms"] / row["layer_ms"],
        "gflops": 8e-6 * nodes * width**2 / row["products_ms"],
        "state_arrays": len(held),
        "peak_arrays": rise / (4 * nodes * width) if rise is not None else None,
        "repetitions": len(times["layer_ms"]) - 2,
    }


def _memory_rise(work: Callable[[], None]) -> int | None:
    """Bytes by which the resident memory rises while `work` is done."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None

    def resident(field: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return 1024 * int(line.split()[1])

    before = resident("VmRSS:")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    except OSError:
        return None
    work()
    return max(resident("VmHWM:") - before, 0)


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Bare products over a whole iteration."""
    axes = figure.subplots()
    names = [f"{row['nodes']:,}\n×{row['width']:,}" for row in rows]
    if len({row["threads"] for row in rows}) > 1:
        names = [f"{name}\n{row['threads']} cores" for name, row in zip(names, rows, strict=True)]
    bars = axes.bar(names, [row["roofline_fraction"] for row in rows], color=color_of("pdadmm-g"))
    axes.bar_label(bars, fmt="%.2f", label_type="center", color="white")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        xlabel="nodes × neurons",
        ylabel="time of four bare matrix products\n÷ time of a hidden layer's iteration",
    )


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
