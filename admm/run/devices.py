"""Whether every worker has a device, or a core, to itself."""

import os
import socket

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
    device = transport.device(transport.local[0])
    if device.platform == "cpu":
        mine = list(map(str, launch.own_cores()))
    else:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        mine = [f"{device.platform} {visible or device.id}"]
    every = transport.gather((socket.gethostname(), device.platform, mine))
    for host in sorted({host for host, _, _ in every}):
        ranks = [(platform, used) for name, platform, used in every if name == host]
        there = {each for _, used in ranks for each in used}
        if len(there) < len(ranks):
            kind = "core" if ranks[0][0] == "cpu" else "GPU"
            start = "mpirun -n" if in_shell() else "a communicator of"
            return (
                f"{len(ranks)} ranks on {host} share {len(there)} {_plural(kind, len(there))} and "
                f"take turns; {start} {len(there)} gives each one of its own"
            )
    return None


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
