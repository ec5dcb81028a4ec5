"""`python -m admm` with a fault: FAULT MOMENT VICTIM NOTE LAYERS CUTS ADMM-ARGUMENTS.

The rank VICTIM suffers the fault at the moment and writes the time to the file NOTE just before.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from admm.cli.main import main
from admm.comm import Channel, MPITransport, launch
from admm.methods.layerwise.worker import LayerWorker
from admm.run import saved
from admm.run.run import Run

# The epoch in which a fault in the middle of training happens; checkpoints come every four.
EPOCH = 10
EVERY = 4


SIGNALS = {
    "kill": [signal.SIGKILL],
    "freeze": [signal.SIGSTOP],
    "term": [signal.SIGTERM],
    "twice": [signal.SIGTERM, signal.SIGTERM],
    "hup": [signal.SIGHUP],
}


def strike(fault: str, note: Path) -> None:
    """Do the worst to this process."""
    note.write_text(str(time.time()))
    if fault == "raise":
        raise RuntimeError("a fault")
    if fault == "disk":
        # As of now no file can grow beyond this: the system refuses to write, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        return
    if fault == "pipe":
        # Nobody reads what it prints any more.
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, sys.stdout.fileno())
        return
    if fault == "writer":
        # Another run wants the folder; what became of it is for the matrix to see.
        command = [sys.executable, "-m", "admm", *sys.argv[7:]]
        env = {**os.environ, "ADMM_MPI": "0"}
        other = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        note.with_name("other").write_text(f"{other.returncode} {other.stderr}")
        return
    if fault == "termall":
        # As a scheduler does it: everybody, launcher included, which passes it on to the ranks.
        for pid in processes_of(sys.argv[-1]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return
    for number in SIGNALS[fault]:
        os.kill(os.getpid(), number)


def processes_of(out: str | Path) -> list[int]:
    """Processes, dead ones apart, that have the folder among their arguments."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if str(out).encode() in cmdline.read_bytes().split(b"\0"):
                found.append(int(cmdline.parent.name))
    return found


def before(owner: Any, name: str, act: Callable[[], None], calls: int = 1) -> None:
    """Act before a function is called for the so many-th time."""
    function = getattr(owner, name)
    left = [calls]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            act()
        return function(*args, **kwargs)

    setattr(owner, name, wrapped)


def prepare(fault: str, moment: str, note: Path, layers: int, cuts: int) -> None:
    """Arrange for the fault, on a rank with so many layers and neighbours."""
    if fault == "flip":
        flip(moment, note)
    elif fault == "nan":
        poison(note, layers)
    elif moment == "start":
        before(Run, "_go_to", lambda: strike(fault, note))
    elif moment == "iteration":
        calls = (EPOCH - 1) * layers + max(1, layers // 2)
        before(LayerWorker, "_update_layer", lambda: strike(fault, note), calls)
    elif moment == "message":
        # One variable arrives from each neighbour in every iteration.
        before(Channel, "receive", lambda: strike(fault, note), EPOCH * cuts)
    elif moment == "checkpoint":
        # The second checkpoint, when half of its first file is on the disk; each has a file of
        # state and one of the best network for every layer.
        write = saved.write_arrays
        left = [2 * layers + 1]

        def half(path: Path, arrays: Any) -> str:
            if "checkpoints" in path.parts:
                left[0] -= 1
                if left[0] == 0:
                    path.with_name(f"{path.name}.tmp-0").write_bytes(b"half")
                    strike(fault, note)
            return write(path, arrays)

        saved.write_arrays = half
    elif moment == "end":
        before(Run, "_end", lambda: strike(fault, note))


class BadLink:
    """A communicator that turns a bit of the tenth message of a variable round."""

    def __init__(self, transport: MPITransport, variable: str, note: Path) -> None:
        self._comm, self._tags = transport.comm, transport.tags
        self._variable, self._note = variable, note
        self._left = EPOCH

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def Isend(self, buffer: np.ndarray, target: int, tag: int) -> Any:
        ours = tag == self._tags[self._variable]
        self._left -= ours
        if ours and self._left == 0:
            self._note.write_text(str(time.time()))
            buffer = buffer.copy()
            buffer[len(buffer) // 2] ^= 16
        return self._comm.Isend(buffer, target, tag)


def flip(variable: str, note: Path) -> None:
    """Damage a message of a variable on its way."""
    init = MPITransport.__init__

    def linked(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.comm = BadLink(self, variable, note)

    MPITransport.__init__ = linked  # type: ignore[method-assign]


def poison(note: Path, layers: int) -> None:
    """Make a weight of the highest own layer NaN, once."""
    update = LayerWorker._update_layer
    left = [(EPOCH - 1) * layers + 1]

    def poisoned(self: Any, layers: Any, index: int) -> Any:
        left[0] -= 1
        layer = update(self, layers, index)
        if left[0] == 0:
            note.write_text(str(time.time()))
            layer = layer._replace(W=layer.W.at[0, 0].set(jnp.nan))
        return layer

    LayerWorker._update_layer = poisoned  # type: ignore[method-assign]


if __name__ == "__main__":
    fault, moment, victim, note, layers, cuts, *arguments = sys.argv[1:]
    if launch.launch_rank() == int(victim):
        prepare(fault, moment, Path(note), int(layers), int(cuts))
    sys.exit(main(arguments))
