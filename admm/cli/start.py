"""How a command starts JAX, and the transport of its process."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from admm.comm import Transport

# Seconds to wait for another rank where no option says it.
_TIMEOUT = 600.0


def start(workers: int, dtype: str, comm: Any, **careful: Any) -> "Transport":
    """Start JAX and make the transport of this process.

    Args:
        workers: Workers of this process, where there is no MPI.
        dtype: Type of the arithmetic.
        comm: The ranks of the run, or None.
        careful: See `MPITransport`.
    """
    import jax

    from admm.comm import LocalTransport, MPITransport

    jax.config.update("jax_enable_x64", dtype == "float64")
    if comm is not None:
        return MPITransport(comm, **careful)
    jax.config.update("jax_num_cpu_devices", workers)
    return LocalTransport(workers)


def start_for(arguments: argparse.Namespace, comm: Any) -> tuple["Transport", dict[str, Any]]:
    """A transport to pass data through the network of a run, and the options to differ in."""
    from admm.run.saved import open_saved

    dtype = open_saved(arguments.run).manifest["options"]["dtype"]
    changes = {} if arguments.data_dir is None else {"data_dir": arguments.data_dir}
    return start(1, dtype, comm, timeout=_TIMEOUT), changes


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments of commands that read a run."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the --out folder of a run")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="as in train")
