"""Time of one iteration on one and more ranks, one core each, the bare products beside it.

    python -m benchmarks iteration --ranks 1 2 --nodes 4096 --width 512 --layers 8 --codec uniform8

All figures are medians over iterations after warm-up, of the slowest rank. `products` is what the
bare matrix products of that rank's layers take, timed between the iterations of the same run;
The output layer has ten units.
`efficiency` is ranks × time of the first row ÷ (ranks × time).
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.launch import run_module

_CLASSES = 10


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks iteration", description=__doc__)
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--nodes", type=int, default=4096)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--codec", default="float32")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    given = parser.parse_args(argv)
    shape = {name: getattr(given, name) for name in ("nodes", "width", "layers", "iterations")}
    rows = []
    print(
        f"{'ranks':>5} {'iteration ms':>12} {'wait ms':>8} {'products ms':>11} {'efficiency':>10}"
    )
    for ranks in given.ranks:
        arguments = [str(value) for value in (*shape.values(), given.codec)]
        measured = run_module("benchmarks.iteration", *arguments, ranks=ranks)
        rows.append({**shape, "codec": given.codec, **json.loads(measured.splitlines()[-1])})
        one, row = rows[0], rows[-1]
        row["efficiency"] = one["ranks"] * one["iteration_ms"] / (ranks * row["iteration_ms"])
        print(
            f"{ranks:5}  {row['iteration_ms']:12.1f}  {row['wait_ms']:7.1f}  "
            f"{row['products_ms']:11.1f}  {row['efficiency']:10.2f}",
            flush=True,
        )
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1))


def measure(nodes: int, width: int, layers: int, iterations: int, codec_name: str) -> None:
    """The part of one rank, on one core; the first rank prints the row as JSON."""
    from admm.parallel import mpi

    comm = mpi.world()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[comm.rank % len(cores)]})
    import jax
    import numpy as np

    from admm.parallel import Codecs, Worker, chain, iterate
    from admm.parallel.mpi_transport import MPITransport
    from admm.solvers import PDADMMG
    from layers import init_dense, layer_costs, split_layers, widths
    from quant import make_codec

    shape = widths(width, width, _CLASSES, layers)
    owned = [range(a, b + 1) for a, b in split_layers(layer_costs(shape), comm.size)]
    own, codec = owned[comm.rank], make_codec(codec_name)
    transport = MPITransport(comm)
    worker = Worker(comm.rank, PDADMMG(), transport, Codecs(codec, codec))
    key, scale = jax.random.key(0), (2 / width) ** 0.5
    x, r = (jax.random.normal(jax.random.fold_in(key, k), (nodes, width)) for k in (0, 1))
    worker.start(
        [init_dense(0, n, (shape[n - 1], shape[n]), scale, "float32") for n in own],
        chain(owned)[comm.rank],
        x if 1 in own else None,
        nodes,
        jax.nn.one_hot(np.arange(nodes) % _CLASSES, _CLASSES) if layers in own else None,
    )
    W = init_dense(0, 1, (width, width), scale, "float32").W
    r_top, W_top = r[:, :_CLASSES], W[:, :_CLASSES]
    four = [jax.jit(f) for f in (_rWt, _pW, _ptr, _pW)]

    def bare() -> None:
        for number in own:
            top = number == layers
            for product in four[2:] if number == 1 else four:
                product(x, r_top if top else r, W_top if top else W).block_until_ready()

    def once() -> None:
        iterate([worker])
        transport.share(worker.loss(), comm.size - 1)  # as the penalty schedule does
        jax.block_until_ready(worker.block)

    times: dict[str, list[float]] = {"iteration": [], "wait": [], "products": []}
    for _ in range(iterations + 3):
        comm.Barrier()
        start = time.perf_counter()
        bare()
        times["products"].append(time.perf_counter() - start)
        comm.Barrier()
        start, waited = time.perf_counter(), transport.waited
        once()
        times["iteration"].append(time.perf_counter() - start)
        times["wait"].append(transport.waited - waited)
    transport.flush()
    own_row = {f"{k}_ms": 1e3 * statistics.median(v[3:]) for k, v in times.items()}
    slowest = max(comm.allgather(own_row), key=lambda row: row["iteration_ms"])
    if comm.rank == 0:
        print(json.dumps({"ranks": comm.size, **slowest}), flush=True)


def _rWt(p, r, W):
    return r @ W.T


def _pW(p, r, W):
    return p @ W


def _ptr(p, r, W):
    return p.T @ r


if __name__ == "__main__":
    nodes, width, layers, iterations = map(int, sys.argv[1:5])
    measure(nodes, width, layers, iterations, sys.argv[5])
