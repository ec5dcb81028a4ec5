"""The command line: `admm train` and `admm evaluate`, alone or under `mpirun`."""

from admm.cli.main import main

__all__ = ["main"]
