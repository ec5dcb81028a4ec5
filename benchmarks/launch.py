"""Starts Python modules alone or under the mpirun that belongs to this Python."""

import subprocess
import sys
from pathlib import Path


def run_module(module: str, *arguments: str, ranks: int | None = None) -> str:
    """Standard output of `python -m MODULE ARGUMENTS`, under mpirun where `ranks` are given."""
    command = [sys.executable, "-m", module, *arguments]
    if ranks is not None:
        mpirun = Path(sys.executable).with_name("mpirun")
        command = [str(mpirun), "-n", str(ranks), *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with code {done.returncode}:\n{done.stderr}")
    return done.stdout
