"""The launcher's and MPI's part: detection, checks, cores, failure. Needs no JAX.

mpi4py is imported when it is used.

A rank takes its cores before JAX is imported, since JAX sizes its thread pools at start-up.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from admm.errors import InputError

# Set by the launchers of MPICH (and everything that speaks PMI), PMIx and Open MPI.
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")

# What a rank prints passes through the launcher, which an abort does not wait for.
_PRINTING_SECONDS = 0.1


def launched() -> bool:
    """Whether an MPI launcher started this process."""
    return any(name in os.environ for name in _RANKS)


def launch_rank() -> int:
    """This process's rank by the launcher's word, 0 without one; needs no MPI library."""
    return next((int(os.environ[name]) for name in _RANKS if name in os.environ), 0)


def world() -> Any:
    """`MPI.COMM_WORLD`, once it is certain that launcher and library belong together.

    Raises:
        InputError: If mpi4py or the MPI library is missing, or the launcher is another MPI's.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"started by an MPI launcher, but mpi4py cannot load an MPI library ({error}); "
            "install one, for example: pip install 'layerwise-admm[mpi]'"
        ) from error
    expected = next((int(os.environ[name]) for name in _SIZES if name in os.environ), None)
    if expected not in (None, MPI.COMM_WORLD.size):
        raise InputError(
            f"the launcher started {expected} ranks but the MPI library sees "
            f"{MPI.COMM_WORLD.size}: launcher and library are of different MPIs "
            f"({library()}); use the mpirun beside this Python"
        )
    return MPI.COMM_WORLD


def library() -> str:
    """Name and version of the MPI library."""
    from mpi4py import MPI

    return " ".join(MPI.Get_library_version().split()[:3]).rstrip(",")


def status() -> Any:
    """Where a probe says what it has found."""
    from mpi4py import MPI

    return MPI.Status()


def take_share_of_host() -> None:
    """Give this rank its cores, and its GPU where there are any; call before JAX is imported.

    Ranks of a host that see the same cores share them out evenly, in order; with more ranks than
    cores, ranks take turns. Where the ranks see different cores, the launcher has bound them and
    nothing is touched. GPUs are dealt out in turns, unless `CUDA_VISIBLE_DEVICES` names one.
    """
    from mpi4py import MPI

    host = world().Split_type(MPI.COMM_TYPE_SHARED)
    rank, size = host.rank, host.size
    cores = sorted(os.sched_getaffinity(0))
    bound = any(other != cores for other in host.allgather(cores))
    host.Free()
    if not bound:
        share = max(1, len(cores) // size)
        first = rank * share % len(cores)
        for thread in os.listdir("/proc/self/task"):  # the MPI library has some already
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.sched_setaffinity(int(thread), cores[first : first + share])
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        gpus = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    else:
        gpus = named.split(",")
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = sorted(gpus)[rank % len(gpus)]


class Failure:
    """Tells a failure that every rank shares from one that is this rank's own.

    Bad input fails all ranks in the same way: then one message is enough. A rank that fails alone
    must end the others, which wait for its messages.
    """

    def __init__(self) -> None:
        self._comm = world().Dup()

    def is_shared(self, seconds: float = 2.0) -> bool:
        """Whether every rank comes to ask this within some seconds."""
        request = self._comm.Ibarrier()
        end = time.monotonic() + seconds
        while not request.Test():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def abort(self, code: int) -> None:
        """End every rank with this exit code, once what was printed has had time to travel."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            time.sleep(_PRINTING_SECONDS)
        finally:  # an interrupt too
            self._comm.Abort(code)

    def close(self) -> None:
        """Give the communicator back, on every rank, at the end of a good run."""
        self._comm.Free()
