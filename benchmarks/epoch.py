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
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.launch import run_module, take_cores


@dataclass(frozen=True)
class Case:
    """What is timed: a method on a network and data drawn from a fixed seed, in full batches.

    Inputs are as wide as the hidden layers; there are ten classes.

    Args:
        method: One of `benchmarks.methods`.
        nodes: V.
        width: Neurons of a hidden layer.
        layers: L.
        codec: How p and q travel; backpropagation ignores it.
        train: Epochs of a train.
        trains: Timed trains, at least.
        seconds: Further trains are timed until so much time has passed.
        warmup: Trains before the timed ones, without the epoch that compiles.
    """

    method: str
    nodes: int
    width: int
    layers: int
    codec: str = "float32"
    train: int = 4
    trains: int = 5
    seconds: float = 5.0
    warmup: int = 1


@dataclass(frozen=True)
class NetworkCase:
    """What is timed: a method on a network of images, in mini-batches, drawn from a fixed seed.

    Args:
        method: One of `benchmarks.subnetworks`.
        network: mlp, cnn or resnet.
        subnetworks: Parts that it is cut into; backpropagation has 1.
        codec: How f, p and q travel; backpropagation ignores it.
        layers: Of an mlp.
        hidden: Width of dense layers.
        blocks: Residual blocks of a resnet.
        filters: Channels of the convolutions of a cnn or a resnet.
        batch: Images of a mini-batch.
        batches: Mini-batches of an epoch.
        train: Epochs of a train; the pipeline fills and drains in each.
        trains: Timed trains, at least.
        seconds: Further trains are timed until so much time has passed.
        warmup: Trains before the timed ones, without the epoch that compiles.
    """

    method: str
    network: str
    subnetworks: int = 1
    codec: str = "float32"
    layers: int = 10
    hidden: int = 512
    blocks: int = 8
    filters: int = 32
    batch: int = 120
    batches: int = 100
    train: int = 1
    trains: int = 5
    seconds: float = 5.0
    warmup: int = 1


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
    from admm.parallel import mpi
    from benchmarks import methods, subnetworks

    comm = mpi.world()
    start = time.perf_counter()
    if isinstance(case, NetworkCase):
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
    transport.flush()
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
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    kind = NetworkCase if "network" in given else Case
    measure(kind(**given), int(sys.argv[2]))
