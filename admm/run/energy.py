"""Energy of a machine, as its processors count it (RAPL, under /sys/class/powercap)."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_POWERCAP = Path("/sys/class/powercap")

# Domains that do not overlap: `core` and `uncore` are parts of a package, `psys` contains packages.
_COUNTED = ("package", "dram")


class Energy(NamedTuple):
    """What a machine took over some time: everything on it, whoever it worked for."""

    host: str
    joules: float


class Meter:
    """Adds up the energy of this machine from its creation on.

    The counters begin anew after some 100 to 300 kJ: `read` has to be called more often than that.

    Example:
        >>> energy = Meter().read()
        >>> energy is None or energy.joules >= 0
        True
    """

    def __init__(self) -> None:
        self._joules = 0.0
        self._domains = list(_domains())
        self._before = self._counts()

    def read(self) -> Energy | None:
        """The energy so far; None where no counter can be read."""
        if not self._domains:
            return None
        now = self._counts()
        for (_, most), old, new in zip(self._domains, self._before, now, strict=True):
            self._joules += (new - old if new >= old else new - old + most) / 1e6
        self._before = now
        return Energy(socket.gethostname(), self._joules)

    def _counts(self) -> list[int]:
        """Microjoules of every domain."""
        return [_number(folder / "energy_uj") for folder, _ in self._domains]


def _domains() -> Any:
    """Folders that can be read, and where their counters begin anew."""
    with suppress(OSError):
        for folder in sorted(_POWERCAP.iterdir()):
            with suppress(OSError, ValueError):  # other powercap drivers, or root's to read
                if (folder / "name").read_text().startswith(_COUNTED):
                    _number(folder / "energy_uj")
                    yield folder, _number(folder / "max_energy_range_uj")


def _number(path: Path) -> int:
    return int(path.read_text())


def total_energy(every: Sequence[Energy | None]) -> float | None:
    """Joules of all hosts, each once; None unless every process could read a meter.

    Example:
        >>> total_energy([Energy("a", 2.0), Energy("a", 2.5), Energy("b", 1.0)])
        3.5
    """
    known = [each for each in every if each is not None]
    if len(known) < len(every):
        return None
    return sum({each.host: each.joules for each in known}.values())
