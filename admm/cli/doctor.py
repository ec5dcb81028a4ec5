"""`admm doctor`: what keeps runs from starting here, makes them wrong, or makes them slow."""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from admm.cli.compilation import cache_home
from admm.cli.start import SPEAKING_SECONDS, show, start_jax
from admm.comm import launch
from admm.doctor import Finding, folder_finding, look, mpi_findings, ping, process_findings, speed
from admm.errors import InputError
from admm.files import absolute

# Seconds to wait for another rank.
_TIMEOUT = 30.0


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The folder."""
    parser.description = (
        "Look at launcher, MPI library, ranks, cores, threads, devices, versions, folders and the "
        "speed of messages; start it as you start training. Each line says ok, warning or fault. "
        "A fault makes runs wrong or impossible: the exit code is then 2, else 0."
    )
    text = "a folder that all ranks have to share [the current one]"
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help=text)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Print the findings.

    Raises:
        InputError: On every rank, if there are faults.
    """
    faults, silent = 0, comm is not None and comm.rank > 0
    for finding in _findings(absolute(arguments.out), comm):
        if finding.check == "start" and finding.level == "fault":
            silent = not launch.first_on_host()  # ranks that cannot talk to each other
        faults += finding.level == "fault"
        if not silent:
            show(str(finding))
    if faults and comm is None and silent:
        time.sleep(SPEAKING_SECONDS)  # the launcher ends all with the first that ends
        raise SystemExit(InputError.exit_code)
    if faults:
        raise InputError(f"{faults} fault{'s' * (faults > 1)}: runs are wrong or impossible here")


def _findings(folder: Path, comm: Any) -> Iterator[Finding]:
    """All findings, on every rank."""
    root = comm is None or comm.rank == 0
    of_mpi = list(mpi_findings(1 if comm is None else comm.size)) if root else []
    yield from of_mpi if comm is None else comm.bcast(of_mpi)
    process = look(lambda: start_jax("float32", 1), _cache())
    ranks = [process] if comm is None else comm.allgather(process)
    yield from process_findings(ranks)
    if any(each.used is None for each in ranks):
        return  # there is no transport without JAX
    from admm.comm import LocalTransport, MPITransport

    transport = LocalTransport() if comm is None else MPITransport(comm, timeout=_TIMEOUT)
    yield folder_finding(folder, transport)
    if transport.size > 1:
        yield speed(ping(transport))
    transport.close()


def _cache() -> Path | None:
    """Where compiled functions are kept, if that can be known."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    with contextlib.suppress(ImportError):
        return cache_home()
    return None
