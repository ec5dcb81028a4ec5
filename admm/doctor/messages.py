"""How fast messages travel between neighbours, from device to device, as training sends them."""

import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import jax
import jax.numpy as jnp

from admm.comm import Transport
from admm.doctor.finding import Finding

_VARIABLE = "ping"

# Bytes and round trips: of messages too small to take time by their size, and of large ones.
_SMALL, _LARGE = (8, 50), (2**22, 8)

# Bytes per second below which coded messages make epochs much shorter, see docs/speed.md.
_SLOW = 125e6


class Link(NamedTuple):
    """The way between a rank and the next."""

    lower: int
    latency: float  # seconds of a small message, one way
    bandwidth: float  # bytes per second of large ones


def ping(transport: Transport) -> list[Link]:
    """Send messages to and fro between all neighbours, every other pair at the same time.

    All processes call it, each with one worker.

    Raises:
        WorkerLostError: If a rank is silent for too long.
    """
    transport.declare(_VARIABLE)
    (rank,) = transport.local
    found = []
    for parity in (0, 1):
        lower = rank - (rank + parity) % 2
        if lower >= 0 and lower + 1 < transport.size:
            latency, transfer = (_one_way(transport, lower, *each) for each in (_SMALL, _LARGE))
            found += [Link(lower, latency, _LARGE[0] / transfer)] if rank == lower else []
        transport.gather(None)  # the other pairs begin when all are done
    return sorted(link for part in transport.gather(found) for link in part)


def _one_way(transport: Transport, lower: int, nbytes: int, times: int) -> float:
    """Half the median seconds of a round trip; the first one, which makes buffers, apart."""
    (rank,) = transport.local
    other = lower + 1 if rank == lower else lower
    device = transport.device(rank)
    message = jax.block_until_ready(jnp.zeros(nbytes, jnp.uint8, device=device))
    seconds = []
    for _ in range(1 + times):
        arrived = transport.expect(nbytes, other, rank, _VARIABLE)
        start = time.perf_counter()
        if rank != lower:
            jax.block_until_ready(arrived())
        transport.send(message, rank, other, _VARIABLE, elements=0)
        if rank == lower:
            jax.block_until_ready(arrived())
        seconds.append(time.perf_counter() - start)
        transport.flush()
    return median(seconds[1:]) / 2


def speed(links: Sequence[Link]) -> Finding:
    """What the ways between neighbours come to; the slowest decides, since all wait for it.

    Example:
        >>> speed([Link(0, 5e-6, 2e9), Link(1, 40e-6, 1e8)]).text
        '5 to 40 µs, 0.1 to 2 GB/s; slowest: ranks 1 and 2'
    """
    latencies, bandwidths = zip(*((link.latency, link.bandwidth) for link in links), strict=True)
    text = f"{_span(latencies, 1e6)} µs, {_span(bandwidths, 1e-9)} GB/s"
    slowest = min(links, key=lambda link: link.bandwidth)
    if len(links) > 1:
        text += f"; slowest: ranks {slowest.lower} and {slowest.lower + 1}"
    if slowest.bandwidth < _SLOW:
        return Finding("warning", "messages", text, "--codec delta4 or delta2, or a faster network")
    return Finding("ok", "messages", text)


def _span(values: Sequence[float], unit: float) -> str:
    least, most = f"{min(values) * unit:.3g}", f"{max(values) * unit:.3g}"
    return least if least == most else f"{least} to {most}"
