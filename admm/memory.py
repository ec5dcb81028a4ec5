"""How much memory this process can still get, and what to say where that is not enough.

Needs neither JAX nor NumPy. Where the system tells nothing, as without /proc, all is allowed.
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from admm.errors import AdmmError, spelled

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")

# Options that make arrays smaller, of whichever method.
_SMALLER = ("hops", "hidden", "filters", "batch")

# Number of mallopt's option in glibc, and bytes from which a freed array goes back at once.
_M_MMAP_THRESHOLD = -3
_RETURNED = 4 * 2**20


class Available(NamedTuple):
    """Bytes that a process can still get, and what bounds them."""

    nbytes: int
    bound: str


def available_memory() -> Available | None:
    """The least that the machine, a control group or the limit of the address space leaves.

    Example:
        >>> left = available_memory()
        >>> left is None or left.nbytes > 0
        True
    """
    return min([*_of_machine(), *_of_control_groups(), *_of_address_space()], default=None)


def check_memory(nbytes: int, what: str, options: object = None, advice: str = "") -> None:
    """Refuse what there is no memory for, before the system ends the process for it.

    Args:
        nbytes: What is going to be allocated.
        what: Names it, in the plural.
        options: Of the run, for advice.
        advice: In place of what follows from the options.

    Raises:
        AdmmError: If less is available.
    """
    left = available_memory()
    if left is not None and nbytes > left.nbytes:
        raise AdmmError(
            f"{what} need {_gib(nbytes)}, but {_told(left)}; {advice or _advice(options)}"
        )


def return_freed_arrays() -> None:
    """Let glibc give large arrays back to the system when they are freed.

    Left alone it raises the size from which it does, up to 32 MiB, and keeps what is smaller in
    pieces that the next arrays may not fit: training then takes up to twice the memory of its
    arrays. `MALLOC_MMAP_THRESHOLD_` in the environment has priority; other C libraries have no such
    option.
    """
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _RETURNED)


@contextmanager
def memory_told(what: str, options: object) -> Iterator[None]:
    """Within, running out of memory is an error for a person.

    Args:
        what: Names what is done.
        options: Of the run, for advice.

    Raises:
        AdmmError: In place of NumPy's and Python's MemoryError, and of JAX's RESOURCE_EXHAUSTED.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, RuntimeError) and not text.startswith("RESOURCE_EXHAUSTED"):
            raise
        left = None if _on_accelerator(error) else available_memory()
        asked = _asked(text)
        raise AdmmError(
            f"out of memory in {what}"
            + (f": {asked} were asked for" if asked else "")
            + (f", but {_told(left)}" if left is not None else "")
            + f"; {_advice(options)}"
        ) from error


def _on_accelerator(error: Exception) -> bool:
    """Whether the memory that ran out is not the host's."""
    jax = sys.modules.get("jax")
    return isinstance(error, RuntimeError) and jax is not None and jax.default_backend() != "cpu"


def _asked(text: str) -> str:
    """What NumPy or JAX say that they wanted."""
    if found := re.search(r"allocat\w* (\d+) bytes", text):
        return _gib(int(found[1]))
    found = re.search(r"allocate ([\d.]+ \w+) for an array with (shape \(.*?\))", text)
    return f"{found[1]} for an array of {found[2]}" if found else ""


def _advice(options: object) -> str:
    names = [spelled(name) for name in _SMALLER if hasattr(options, name)]
    less = f"a smaller {' or '.join(names)} takes less, and " if names else ""
    return f"{less}more ranks on more machines share the work out"


def _told(left: Available) -> str:
    return f"{_gib(left.nbytes)} are available ({left.bound})"


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.3g} GiB"


def _of_machine() -> Iterator[Available]:
    with suppress(OSError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield Available(1024 * int(line.split()[1]), "MemAvailable of /proc/meminfo")


def _of_control_groups() -> Iterator[Available]:
    """What the groups that the process is in leave, of both versions, up to the root's."""
    with suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                yield from _of_group(_GROUPS, place, "memory.max", "memory.current", "")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
                yield from _of_group(_GROUPS / "memory", place, *names)


def _of_group(root: Path, place: str, most: str, used: str, prefix: str) -> Iterator[Available]:
    path = root / place.strip("/")
    for folder in (path, *path.parents):
        with suppress(OSError, ValueError):  # not seen from here, or `max`: without a limit
            limit = int((folder / most).read_text())
            statistics = (folder / "memory.stat").read_text().split()
            key = f"{prefix}inactive_file"  # cached files, which make room
            cached = int(statistics[statistics.index(key) + 1]) if key in statistics else 0
            left = limit - int((folder / used).read_text()) + cached
            yield Available(max(left, 0), f"{folder / most} is {_gib(limit)}")
        if folder == root:
            return


def _of_address_space() -> Iterator[Available]:
    with suppress(OSError, ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int((_PROC / "self" / "statm").read_text().split()[0])
            left = limit - pages * resource.getpagesize()
            yield Available(max(left, 0), f"the limit of the address space is {_gib(limit)}")
