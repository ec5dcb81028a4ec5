"""Whether every worker has a device, or a core, to itself."""

import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

import jax

from admm.comm import Transport, launch
from admm.errors import in_shell


def shared_devices(transport: Transport) -> str | None:
    """What to say, in every process, where workers share a device; None where each has its own.

    On CPUs the cores that a rank may use are its device.
    """
    local = len(transport.local)
    own = len({transport.device(worker) for worker in transport.local})
    if own < local:
        hint = (
            f"`jax.config.update('jax_num_cpu_devices', {local})` before JAX starts gives each one"
        )
        return f"{local} workers share {own} {_plural('device', own)} and take turns; {hint}"
    return shared_on_a_host(transport.gather(own_device(transport.device(transport.local[0]))))


class Used(NamedTuple):
    """What a process computes on."""

    host: str
    platform: str
    parts: list[str]  # cores, or a GPU


def own_device(device: jax.Device) -> Used:
    """What this process computes on, by the names that its host has for them."""
    if device.platform == "cpu":
        parts = list(map(str, launch.own_cores()))
    else:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        parts = [f"{device.platform} {visible or device.id}"]
    return Used(socket.gethostname(), device.platform, parts)


def shared_on_a_host(every: Sequence[Used]) -> str | None:
    """What to say where ranks have fewer cores or GPUs than they are; None where there are enough.

    Example:
        >>> shared_on_a_host([Used("a", "gpu", ["gpu 0"]), Used("a", "gpu", ["gpu 0"])])
        '2 ranks on a share 1 GPU and take turns; a communicator of 1 gives each one of its own'
    """
    for host in sorted({each.host for each in every}):
        ranks = [each for each in every if each.host == host]
        there = {part for each in ranks for part in each.parts}
        if len(there) < len(ranks):
            kind = "core" if ranks[0].platform == "cpu" else "GPU"
            start = "mpirun -n" if in_shell() else "a communicator of"
            return (
                f"{len(ranks)} ranks on {host} share {len(there)} {_plural(kind, len(there))} and "
                f"take turns; {start} {len(there)} gives each one of its own"
            )
    return None


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
