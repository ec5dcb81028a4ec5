"""The launcher's and MPI's part: detection, checks, cores, failure. Needs no JAX.

mpi4py is imported when it is used. MPI starts after the checks: a library that does not understand
its launcher ends the process itself, or starts it as a run of its own.

A rank takes its cores before JAX is imported, since JAX sizes its thread pools at start-up.
"""

import contextlib
import os
import re
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.errors import InputError

# What launchers tell a process: PMI (Hydra, which is MPICH's mpirun, and SLURM), PMI by a port,
# PMIx (SLURM), Open MPI.
_RANKS = ("PMI_RANK", "PMI_ID", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
_RANKS_ON_HOST = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")

# The processes above a rank, up to which one looks for a program that is the rank itself.
_LAUNCHERS = ("hydra", "mpiexec", "mpirun", "orted", "prte", "slurmstepd")

_ALONE = "to run this process on its own, set ADMM_MPI=0 or add --no-mpi"

# What a rank prints passes through the launcher, which an abort does not wait for.
_PRINTING_SECONDS = 0.1


def launched() -> bool:
    """Whether an MPI launcher started this process; with `ADMM_MPI=0` none counts.

    Raises:
        InputError: If `ADMM_MPI` is neither 0 nor 1, or SLURM started several tasks and told MPI
            nothing, so that each would be a whole run.
    """
    switch = os.environ.get("ADMM_MPI", "1")
    if switch not in ("0", "1"):
        raise InputError(f"ADMM_MPI must be 0, for no MPI, or 1, got {switch!r}")
    if switch == "0":
        return False
    if any(name in os.environ for name in _RANKS):
        return True
    tasks = _number(("SLURM_STEP_NUM_TASKS",), 1)
    if tasks is not None and tasks > 1:
        raise InputError(
            f"srun started {tasks} tasks (SLURM_STEP_NUM_TASKS) and told MPI nothing (neither "
            f"PMI_RANK nor PMIX_RANK), so each would be a whole run; {right_start()}; {_ALONE}"
        )
    return False


def launch_rank() -> int:
    """This process's rank by the launcher's word, 0 without one; needs no MPI library.

    Raises:
        InputError: If the launcher's variables hold no rank.
    """
    rank, size = _number(_RANKS, 0) or 0, _number(_SIZES, 1)
    if size is not None and rank >= size:
        raise InputError(f"the launcher's variables tell of rank {rank} among {size}; {_ALONE}")
    return rank


def is_first() -> bool:
    """Whether this process is the first of its launch, or alone; needs no MPI library.

    Raises:
        InputError: As `launched` and `launch_rank` do.
    """
    return not launched() or launch_rank() == 0


def check_alone() -> None:
    """Whether this process may train by itself.

    Raises:
        InputError: If a launcher started it among several, each of which would be a whole run.
    """
    ranks = _number((*_SIZES, "SLURM_STEP_NUM_TASKS"), 1) if launched() else None
    if ranks is not None and ranks > 1:
        raise InputError(
            f"an MPI launcher started {ranks} ranks, and without a transport each would be a whole "
            "run; pass MPITransport(launch.world()) of admm.comm, or set ADMM_MPI=0 for a run in "
            "each"
        )


def world() -> Any:
    """`MPI.COMM_WORLD`, started once launcher and library are known to belong together.

    Raises:
        InputError: If mpi4py or the MPI library is missing, the launcher is another MPI's, or the
            process that started this one is the rank itself.
        SystemExit: In place of the first two on all ranks of a host but its first, which tells.
    """
    rank = launch_rank()
    try:
        import mpi4py

        mpi4py.rc(initialize=False, finalize=True)
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise _shared_on_host(
            f"started by an MPI launcher, but mpi4py cannot load an MPI library ({error}); "
            f"install both, for example: pip install mpi4py mpich; {_ALONE}"
        ) from error
    if not MPI.Is_initialized():
        _check_place()
        _check_language(MPI.Get_library_version())
        MPI.Init_thread()
    told, size = _number(_SIZES, 1), MPI.COMM_WORLD.size
    if told not in (None, size) or rank >= size:
        raise _shared_on_host(
            f"the launcher started {told or 'several'} ranks but the MPI library ({library()}) "
            f"sees {size}: they are of different MPIs; {right_start()}; {_ALONE}"
        )
    return MPI.COMM_WORLD


def _number(names: Sequence[str], least: int) -> int | None:
    """What the first of these variables that is set says, None without any.

    Raises:
        InputError: If that is no whole number, or one below the least.
    """
    name = next((each for each in names if each in os.environ), None)
    if name is None:
        return None
    told = os.environ[name]
    if not re.fullmatch("[0-9]{1,9}", told) or int(told) < least:
        raise InputError(
            f"{name} must be a whole number of at least {least}, as launchers set it, "
            f"got {told!r}; unset it, or {right_start()}; {_ALONE}"
        )
    return int(told)


def _shared_on_host(message: str) -> InputError | SystemExit:
    """The error of all ranks of a host, who cannot talk: with its message on the first alone."""
    return InputError(message) if first_on_host() else SystemExit(InputError.exit_code)


def first_on_host() -> bool:
    """Whether this process is the one to tell what all of its host know, by the launcher's word.

    Raises:
        InputError: If the launcher's variables hold no rank.
    """
    return not _number(_RANKS_ON_HOST, 0)


def right_start() -> str:
    """How to start several ranks."""
    beside = Path(sysconfig.get_path("scripts"), "mpirun")
    mpirun = beside if beside.exists() else "the mpirun of this Python's MPI library"
    return (
        f"start ranks with {mpirun} -n N, or, under SLURM, with srun --mpi=pmi2 -n N for MPICH and "
        "srun --mpi=pmix -n N for Open MPI"
    )


def _check_place() -> None:
    """Whether this process itself is the rank, not one that the rank has started.

    Raises:
        InputError: If a process above has MPI, or the launcher's connection is not handed down.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError):  # a system without /proc, or a process that ended
        while parent > 1:
            process = Path("/proc", str(parent))
            name = (process / "comm").read_text().strip()
            if name.startswith(_LAUNCHERS):
                break
            if "/libmpi" in (process / "maps").read_text():
                raise InputError(
                    f"started inside a rank of another MPI program ({name}, process {parent}), "
                    f"whose place among the ranks it cannot take; {_ALONE}"
                )
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    descriptor = _number(("PMI_FD",), 0)
    if descriptor is not None:
        try:
            os.fstat(descriptor)
        except OSError:
            raise InputError(
                f"PMI_FD={descriptor} is a closed connection to the launcher: the rank that it "
                f"started has started this process, without its descriptors; {_ALONE}"
            ) from None


def _check_language(version: str) -> None:
    """Whether an MPI library understands the launcher, as far as its version tells.

    Raises:
        InputError: If not, or SystemExit, see `world`.
    """
    told = {"PMI" for name in ("PMI_RANK", "PMI_ID") if name in os.environ}
    told |= {"PMIx" for name in ("PMIX_RANK", "OMPI_COMM_WORLD_RANK") if name in os.environ}
    understood = {"PMI", "PMIx"}
    if version.startswith("MPICH Version") and "pmix" not in version.lower():
        understood = {"PMI"}
    elif found := re.match(r"Open MPI v(\d+)", version):
        understood = {"PMIx"} if int(found[1]) >= 5 else understood
    if not told & understood:
        raise _shared_on_host(
            f"the launcher ({launcher()}) speaks {' and '.join(told)}, the MPI library "
            f"({name_of(version)}) {' and '.join(understood)}; {right_start()}"
        )


def launcher() -> str:
    """The launcher, by what it left."""
    if "HYDI_CONTROL_FD" in os.environ:
        return "Hydra, the mpirun of MPICH"
    if "OMPI_COMM_WORLD_RANK" in os.environ:
        return "the mpirun of Open MPI"
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        return f"srun --mpi={os.environ.get('SLURM_MPI_TYPE', '?')}"
    return "by its variables"


def library() -> str:
    """Name and version of the MPI library."""
    from mpi4py import MPI

    return name_of(MPI.Get_library_version())


def name_of(version: str) -> str:
    """The first words of what an MPI library says of itself."""
    return " ".join(version.split()[:3]).rstrip(",")


def status() -> Any:
    """Where a probe says what it has found."""
    from mpi4py import MPI

    return MPI.Status()


def own_cores() -> list[int]:
    """The cores that this process may use; none where the system does not bind processes."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def take_share_of_host() -> None:
    """Give this rank its cores, and its GPU where there are any; call before JAX is imported.

    Ranks of a host that may use the same cores share them out evenly, in order; with more ranks
    than cores, ranks take turns. A rank that shares its cores with none, as the launcher has bound
    it, keeps them. Likewise, ranks that see the same GPUs, in `CUDA_VISIBLE_DEVICES` or as devices,
    get one each, in turns.
    """
    from mpi4py import MPI

    host = world().Split_type(MPI.COMM_TYPE_SHARED)
    cores = own_cores()
    turn, ranks = _turn(host, cores)
    if cores and ranks > 1:
        share = max(1, len(cores) // ranks)
        first = turn * share % len(cores)
        # The MPI library has threads already; without /proc, 0 is this thread.
        for thread in [int(path.name) for path in Path("/proc/self/task").glob("*")] or [0]:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.sched_setaffinity(thread, cores[first : first + share])
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        gpus = sorted(
            path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")
        )
    else:
        gpus = named.split(",")
    turn, _ = _turn(host, gpus)
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[turn % len(gpus)]
    host.Free()


def _turn(host: Any, seen: list[Any]) -> tuple[int, int]:
    """This rank's place among those of its host that see the same, and how many they are."""
    same = [rank for rank, other in enumerate(host.allgather(seen)) if other == seen]
    return same.index(host.rank), len(same)


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
