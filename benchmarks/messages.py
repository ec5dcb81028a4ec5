"""What messages cost: their transfer between two ranks, and the work of coding them.

    mpirun -n 2 python -m mpi4py -m benchmarks.messages '{"sizes": [1024, 65536],
        "codecs": ["delta4"], "shape": [4096, 512]}'

prints the seconds of a message of each size one way, as half the median round trip over the
transport that training uses, and the seconds that each codec takes an end of a cut in an
iteration: it encodes and decodes its own message, and decodes the other's.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.launch import run_module, take_cores

# Bytes that travel one way in the round trips of a size, which decide how many there are.
_TRAFFIC = 16 * 2**20


class Link(NamedTuple):
    """A message of n bytes takes `latency + n/bandwidth`."""

    latency: float  # seconds
    bandwidth: float  # bytes per second

    def seconds(self, nbytes: float) -> float:
        """Time of a message, one way."""
        return self.latency + nbytes / self.bandwidth


def fit_link(transfer: Mapping[int, float]) -> Link:
    """The link whose relative errors over the measured messages are least (in squares).

    Args:
        transfer: Bytes to seconds.

    Example:
        >>> link = fit_link({100: 2e-3, 300: 4e-3})
        >>> round(link.latency, 6), round(link.bandwidth)
        (0.001, 100000)
    """
    sizes, seconds = np.array(list(transfer.items())).T
    rows = np.stack([1 / seconds, sizes / seconds], axis=1)
    (latency, per_byte), *_ = np.linalg.lstsq(rows, np.ones(len(rows)))
    return Link(max(0.0, float(latency)), 1 / float(per_byte))


def time_messages(
    sizes: Sequence[int],
    codecs: Sequence[str] = (),
    shape: tuple[int, int] = (1, 1),
    prefixes: Sequence[Sequence[str]] = (),
) -> tuple[dict[int, float], dict[str, float]]:
    """Seconds by size, and seconds by codec for an array of some shape; in new processes."""
    given = json.dumps({"sizes": sizes, "codecs": codecs, "shape": shape})
    printed = run_module("benchmarks.messages", given, ranks=2, prefixes=prefixes)
    measured = json.loads(printed.splitlines()[-1])
    return {int(size): t for size, t in measured["transfer"].items()}, measured["coding"]


def measure(sizes: Sequence[int], codecs: Sequence[str], shape: Sequence[int]) -> None:
    """The part of one of the two ranks; the first one prints."""
    take_cores(1)
    from admm.comm.launch import world

    comm = world()
    transfer = {size: _transfer(comm, size) for size in sizes}
    coding = {name: _coding(name, tuple(shape)) for name in codecs}
    comm.Barrier()
    if comm.rank == 0:
        print(json.dumps({"transfer": transfer, "coding": coding}), flush=True)


def _transfer(comm: Any, size: int) -> float:
    import jax.numpy as jnp

    from admm.comm import MPITransport

    transport = MPITransport(comm)
    transport.declare("q")
    own, other = comm.rank, 1 - comm.rank
    message = jnp.zeros(size, jnp.uint8)

    def send() -> None:
        transport.send(message, own, other, "q", elements=size)

    def receive() -> None:
        transport.expect(size, other, own, "q")()

    def round_trip() -> None:
        for step in (send, receive) if own == 0 else (receive, send):
            step()
        transport.flush()

    comm.Barrier()
    seconds = _median(round_trip, max(7, min(200, _TRAFFIC // size))) / 2
    transport.close()
    return seconds


def _coding(name: str, shape: tuple[int, ...]) -> float:
    import jax.numpy as jnp

    from quant import make_codec

    codec, last = make_codec(name), jnp.zeros(shape)
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))

    def code() -> None:
        message = codec.encode(x, last)
        for _ in range(2):
            codec.decode(message, last).block_until_ready()

    return _median(code, 5)


def _median(function: Callable[[], None], repeats: int) -> float:
    """Median time of a function, once it is compiled."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


if __name__ == "__main__":
    measure(**json.loads(sys.argv[1]))
