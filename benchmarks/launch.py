"""Starts Python modules alone or under the mpirun that belongs to this Python, and binds them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from admm.comm.launch import launch_rank
from admm.errors import AdmmError

_ADMM = "admm: error: "


class RunError(AdmmError):
    """A process that was started ended with an unexpected code.

    Args:
        command: What was started.
        done: How it ended. Of a message of `admm` nothing else is told.
    """

    def __init__(self, command: Sequence[str], done: subprocess.CompletedProcess[str]) -> None:
        messages = [line for line in done.stderr.splitlines() if line.startswith(_ADMM)]
        said = messages[0].removeprefix(_ADMM) if messages else done.stderr.strip()
        ended = f"ended with code {done.returncode}: {' '.join(command)}"
        super().__init__("\n".join(filter(None, (said, ended))))
        self.exit_code = max(done.returncode, 1)  # below 0 is a signal


def run_module(
    module: str,
    *arguments: str,
    ranks: int | None = None,
    prefixes: Sequence[Sequence[str]] = (),
    cache: str | None = None,
    codes: Sequence[int] = (0,),
) -> str:
    """Standard output of `python -m MODULE ARGUMENTS`, under mpirun where `ranks` are given.

    Args:
        module: Name of the module.
        arguments: Its arguments.
        ranks: Number of MPI ranks.
        prefixes: Words in front of the command of every rank, such as `ip netns exec NAME env
            NAME=VALUE`.
        cache: Folder of compiled code, shared with other runs, unless the environment names one.
        codes: Exit codes to accept.

    Raises:
        RunError: At any other code.
    """
    if ranks is None:
        command = [sys.executable, "-m", module, *arguments]
    else:
        # `-m mpi4py` ends all ranks when one raises.
        python = [sys.executable, "-m", "mpi4py", "-m", module, *arguments]
        command = [str(Path(sys.executable).with_name("mpirun"))]
        if not prefixes:
            command += ["-n", str(ranks), *python]
        for number, prefix in enumerate(prefixes):
            command += [":"] if number else []
            command += ["-n", "1", *prefix, *python]
    env = dict(os.environ)
    if cache is not None and "JAX_COMPILATION_CACHE_DIR" not in env:
        env |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env
    )
    if done.returncode not in codes:
        raise RunError(command, done)
    return done.stdout


def take_cores(count: int) -> None:
    """Bind this process to the cores of its rank; ranks take turns where there are too few.

    By rank alone, not by host: network namespaces are hosts that see the same cores.
    """
    cores, rank = sorted(os.sched_getaffinity(0)), launch_rank()
    if count > len(cores):
        sys.exit(f"{count} cores per rank asked for, got {len(cores)}; is the launcher binding?")
    os.sched_setaffinity(0, {cores[(rank * count + k) % len(cores)] for k in range(count)})
