"""How a command starts JAX, and the transport of its process."""

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from admm.console import discard
from admm.errors import InputError, OutputError
from admm.memory import return_freed_arrays

if TYPE_CHECKING:
    from admm.comm import Transport

# What a rank with something to say has before the others, who know the same, end the run.
SPEAKING_SECONDS = 5

# Seconds to wait for another rank where no option says it.
_TIMEOUT = 600.0

_PLACE = ("dataset", "data_dir")
_OF_JAX = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES")


def start(workers: int, dtype: str, comm: Any, **careful: Any) -> "Transport":
    """Start JAX and make the transport of this process.

    Args:
        workers: Workers of this process, where there is no MPI.
        dtype: Type of the arithmetic.
        comm: The ranks of the run, or None.
        careful: See `MPITransport`.
    """
    start_jax(dtype, workers if comm is None else 1)
    from admm.comm import LocalTransport, MPITransport

    return LocalTransport(workers) if comm is None else MPITransport(comm, **careful)


def start_jax(dtype: str, devices: int) -> None:
    """Start JAX, with so many devices where they are CPUs.

    Raises:
        InputError: If it refuses, for what the variables or the machine say.
    """
    return_freed_arrays()
    try:
        import jax

        jax.config.update("jax_enable_x64", dtype == "float64")
        jax.config.update("jax_num_cpu_devices", devices)
        jax.devices()
    except Exception as error:  # a wrong variable, or a device that is not there, raises anything
        told = [f"{n}={v}" for n, v in sorted(os.environ.items()) if n.startswith(_OF_JAX)]
        raise InputError(
            f"JAX cannot start ({(str(error).strip() or repr(error)).splitlines()[0]}); "
            + (f"it was told {' '.join(told)}" if told else "see that jax and jaxlib fit together")
        ) from error


def start_for(arguments: argparse.Namespace, comm: Any) -> tuple["Transport", dict[str, Any]]:
    """A transport to pass data through the network of a run, and the options to differ in."""
    from admm.run.options import folder_of
    from admm.run.saved import open_saved

    dtype = open_saved(folder_of(arguments.run)).manifest["options"]["dtype"]
    changes = {name: vars(arguments)[name] for name in _PLACE if name in arguments}
    return start(1, dtype, comm, timeout=_TIMEOUT), changes


def show(text: str) -> None:
    """Print a line of what a command is asked for.

    Raises:
        OutputError: If it cannot be written; where nobody reads on, nothing more is.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            message = f"cannot write to standard output ({error.strerror})"
            raise OutputError(message) from error


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments of commands that read a run."""
    parser.add_argument("run", metavar="RUN", help="the --out folder of a run")
    text = "where its data set is now, if that has moved"
    parser.add_argument("--dataset", metavar="NAME|PATH", default=argparse.SUPPRESS, help=text)
    parser.add_argument("--data-dir", metavar="DIR", default=argparse.SUPPRESS, help="as in train")
