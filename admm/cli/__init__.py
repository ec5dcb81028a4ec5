"""The command line, alone or under `mpirun`: a file for each command; see `admm.cli.main`."""

from admm.cli.main import main

__all__ = ["main"]
