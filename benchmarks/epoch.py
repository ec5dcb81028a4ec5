"""The common timer: one epoch of any method, on one and more ranks, each on its own cores.

    mpirun -n 2 python -m mpi4py -m benchmarks.epoch '{"method": "pdadmm-g", "nodes": 4096,
        "width": 512, "layers": 8, "codec": "delta4"}' 1

times one case with one core per rank and prints its row as JSON; the benchmarks call
`time_epoch`. Epochs run in trains of some that follow each other at once, as they do between two
evaluations; a train ends when all new arrays are there, and its time is shared out evenly. Between
trains, the same rank times the bare matrix products of its share of the work, where they are known.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.cases import Case, NetworkCase
from benchmarks.launch import run_module, take_cores


def time_epoch(
    case: Case | NetworkCase,
    ranks: int,
    cores_per_rank: int = 1,
    prefixes: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """Time a case in new processes.

    Args:
        case: What to time.
        ranks: Number of ranks.
        cores_per_rank: Cores that each has for itself.
        prefixes: See `benchmarks.launch.run_module`.

    Returns:
        The case, `ranks`, `cores` of all ranks together, `timed` trains, `bytes` that all ranks
        send in an epoch, and the slowest rank's `epoch_ms`, `wait_ms` and, of a `Case`,
        `products_ms` (medians over trains), the shortest of each with `least_` in front,
        `compile_s` (set-up and first epoch) and `threads`.
    """
    arguments = (json.dumps(asdict(case)), str(cores_per_rank))
    printed = run_module("benchmarks.epoch", *arguments, ranks=ranks, prefixes=prefixes)
    return json.loads(printed.splitlines()[-1])


def measure(case: Case | NetworkCase, cores_per_rank: int) -> None:
    """The part of one rank; the first one prints the row."""
    take_cores(cores_per_rank)  # first of all, since JAX sizes its thread pools by them
    from admm.comm.launch import world
    from benchmarks import methods, subnetworks

    comm = world()
    start = time.perf_counter()
    if case.method.startswith("torch "):
        from benchmarks import torch_peer

        part = torch_peer.prepare(case, comm)
    elif isinstance(case, NetworkCase):
        part = subnetworks.prepare(case, comm)
    else:
        part = methods.prepare(case, comm)
    part.epoch()
    part.finish()
    compiled = time.perf_counter() - start
    transport = part.transport
    times: dict[str, list[float]] = {"epoch": [], "wait": []}
    if part.products is not None:
        times["products"] = []
        part.products()
    more, began, sent = True, 0.0, 0
    while more:
        count = len(times["epoch"])
        if count == case.warmup:
            began, sent = time.perf_counter(), sum(transport.sent.values())
        comm.Barrier()
        if part.products is not None:
            start = time.perf_counter()
            part.products()  # no message is on its way: `finish` has seen to that
            times["products"].append(time.perf_counter() - start)
            comm.Barrier()
        start, waited = time.perf_counter(), transport.waited
        for _ in range(case.train):
            part.epoch()
        part.finish()
        times["epoch"].append((time.perf_counter() - start) / case.train)
        times["wait"].append((transport.waited - waited) / case.train)
        more = count + 1 < case.warmup + case.trains
        more = comm.bcast(more or time.perf_counter() - began < case.seconds)
    transport.close()
    timed = {name: values[case.warmup :] for name, values in times.items()}
    own: dict[str, float] = {
        **{f"{name}_ms": 1e3 * statistics.median(t) for name, t in timed.items()},
        **{f"least_{name}_ms": 1e3 * min(t) for name, t in timed.items()},
        "compile_s": compiled,
        "threads": len(os.listdir("/proc/self/task")),
    }
    slowest = max(comm.allgather(own), key=lambda row: row["epoch_ms"])
    own_bytes = part.reduced + (sum(transport.sent.values()) - sent) / (
        case.train * len(timed["epoch"])
    )
    nbytes = comm.allreduce(own_bytes)
    if comm.rank == 0:
        where = {"ranks": comm.size, "cores": comm.size * cores_per_rank}
        row = {**asdict(case), **where, "timed": len(timed["epoch"]), "bytes": nbytes, **slowest}
        row |= part.about or {}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    kind = NetworkCase if "network" in given else Case
    measure(kind(**given), int(sys.argv[2]))
