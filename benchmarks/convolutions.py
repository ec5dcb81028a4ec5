"""Convolutions of one sample under vmap, as subnetworks have them, against those of a whole batch.

    python -m benchmarks convolutions

A row is a convolution of the CNN or the ResNet-like network, on one core: forward, and the
gradients at image and kernel. `vmap_ms` is that of a sample, mapped over the batch; `batch_ms` is
one call for the batch; `products_ms` the floor, three matrix products of as many multiply-adds, of
patches that are there already. All are medians and take turns in one process. `fraction` is
products ÷ vmap.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.launch import run_module
from benchmarks.report import Report, Row, at_least, make_parser, positive, set_defaults

# Side of the image, channels in and out, side of the kernel, stride.
_SHAPES = {
    "cnn, first": (28, 1, 32, 3, 1),
    "cnn, second": (14, 32, 32, 3, 1),
    "resnet, stem": (32, 3, 32, 9, 3),
    "resnet, block": (4, 32, 32, 3, 1),
}
_COLUMNS = {
    "convolution": "<13",
    "batch": ">5",
    "vmap_ms": ">8.3f",
    "batch_ms": ">8.3f",
    "products_ms": ">11.3f",
    "fraction": ">8.2f",
}


def main(argv: Sequence[str]) -> None:
    parser = make_parser("convolutions", __doc__)
    parser.add_argument("--batch", type=at_least(1), help="images [120; quick: 24]")
    parser.add_argument("--seconds", type=positive, help="per row [10; quick: 1]")
    given = parser.parse_args(argv)
    set_defaults(given, {"batch": 24, "seconds": 1.0}, {"batch": 120, "seconds": 10.0})
    report = Report("convolutions", given)
    report.begin(_COLUMNS, len(_SHAPES))
    for name, shape in _SHAPES.items():
        case = {"shape": shape, "batch": given.batch, "seconds": given.seconds}
        row = json.loads(run_module("benchmarks.convolutions", json.dumps(case)))
        report.add({"convolution": name, **case, **row})
    report.finish(draw)


def measure(shape: Sequence[int], batch: int, seconds: float) -> Row:
    """One row, on the last core of this process, before JAX makes its thread pools."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    import jax

    side, n_in, n_out, size, stride = shape
    draw = jax.random.normal
    x_key, W_key, g_key, p_key = jax.random.split(jax.random.key(0), 4)
    x, W = draw(x_key, (batch, side, side, n_in)), draw(W_key, (size, size, n_in, n_out))

    def convolve(x: Any, W: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x,
            W,
            window_strides=(stride, stride),
            padding=[(size // 2, size // 2)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def of_samples(x: Any, W: Any) -> Any:
        return jax.vmap(lambda each: convolve(each[None], W)[0])(x)

    y = jax.eval_shape(convolve, x, W)
    g = draw(g_key, y.shape)
    patches = draw(p_key, (y.size // n_out, W.size // n_out))
    kernel, signal = W.reshape(-1, n_out), g.reshape(-1, n_out)

    def differentiated(function: Any) -> Any:
        def run(x: Any, W: Any, g: Any) -> Any:
            y, pull = jax.vjp(function, x, W)
            return y, pull(g)

        return jax.jit(run)

    products = jax.jit(lambda p, K, g: (p @ K, p.T @ g, g @ K.T))
    work = {
        "vmap_ms": (differentiated(of_samples), (x, W, g)),
        "batch_ms": (differentiated(convolve), (x, W, g)),
        "products_ms": (products, (patches, kernel, signal)),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["vmap_ms"]) < 7:
        for name, (function, operands) in work.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*operands))
            times[name].append(1e3 * (time.perf_counter() - start))
    row: Row = {name: statistics.median(values[2:]) for name, values in times.items()}
    return {**row, "fraction": row["products_ms"] / row["vmap_ms"]}


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Bars of time."""
    axes = figure.subplots()
    for offset, name in enumerate(("vmap_ms", "batch_ms", "products_ms")):
        places = [number + 0.25 * offset for number in range(len(rows))]
        axes.bar(places, [row[name] for row in rows], width=0.25, label=name.removesuffix("_ms"))
    axes.set_xticks(
        [number + 0.25 for number in range(len(rows))], [r["convolution"] for r in rows]
    )
    axes.set(xlabel="convolution", ylabel="forward and backward [ms]", yscale="log")
    axes.legend()


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
