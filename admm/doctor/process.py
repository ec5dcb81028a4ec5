"""What one process is and has: its host, cores, device, libraries, versions, cache."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from admm.comm import launch
from admm.datasets.files import data_folder
from admm.doctor.finding import Finding
from admm.errors import InputError, OutputError
from admm.files import make_folder
from admm.run.devices import Used, own_device
from admm.run.versions import versions


class Process(NamedTuple):
    """One process; of several ranks each looks at itself."""

    host: str
    cores: list[int]  # that it may use
    limit: float | None  # cores' worth of time that its container has
    fault: str | None  # why JAX does not start
    used: Used | None  # its device, as others see it
    device: str  # kind of it
    gpus: int  # NVIDIA's, on this host
    bounded: bool  # whether JAX was told to leave memory of a GPU to others
    blas: list[tuple[str, int]]  # library and version, threads
    versions: dict[str, str | None]
    cache: str  # where compiled functions are kept
    cache_fault: str | None  # why they are not
    data: Finding  # where it looks for data sets


def look(start_jax: Callable[[], None], cache: Path | None) -> Process:
    """Look at this process, which has its cores already.

    Args:
        start_jax: Starts JAX, or raises InputError.
        cache: Where compiled functions are to be kept.
    """
    fault, used, device = None, None, ""
    try:
        start_jax()
    except InputError as error:
        fault = str(error)
    else:
        import jax

        first = jax.local_devices()[0]
        used, device = own_device(first), first.device_kind
    return Process(
        socket.gethostname(),
        launch.own_cores() or list(range(os.cpu_count() or 1)),  # not every system binds
        _limit_of_container(),
        fault,
        used,
        device,
        len(list(Path("/dev").glob("nvidia[0-9]*"))),
        _is_bounded(),
        _blas(),
        versions(),
        str(cache),
        _cache_fault(cache),
        _data(),
    )


def _limit_of_container() -> float | None:
    try:
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if most == "max" else int(most) / int(period)


def _is_bounded() -> bool:
    whole = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true").lower() in ("true", "1")
    return not whole or "XLA_PYTHON_CLIENT_MEM_FRACTION" in os.environ


def _blas() -> list[tuple[str, int]]:
    """Under NumPy and SciPy; JAX has its own."""
    import scipy.linalg  # noqa: F401  # it may load another than NumPy
    from threadpoolctl import threadpool_info

    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    known = {(f"{each['internal_api']} {each['version']}", each["num_threads"]) for each in found}
    return sorted(known)


def _cache_fault(cache: Path | None) -> str | None:
    if cache is None:
        return "this user has no home folder"
    try:
        make_folder(cache)
        tempfile.TemporaryFile(dir=cache).close()
    except (OSError, OutputError) as error:
        return str(error)
    return None


def _data() -> Finding:
    try:
        folder = data_folder()
    except InputError as error:
        return Finding("warning", "data", str(error))
    if "ADMM_DATA" not in os.environ:
        return Finding("ok", "data", f"ADMM_DATA is not set; data sets are looked for in {folder}")
    if not Path(folder).is_dir():
        mend = "set it to the folder of your data sets, or unset it"
        return Finding("fault", "data", f"ADMM_DATA={folder} is no folder", mend)
    return Finding("ok", "data", f"ADMM_DATA={folder}")
