"""Air quality of Beijing: twelve stations, hour by hour, in one archive."""

from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Self

import numpy as np

from admm.checks import SEED, Check
from admm.datasets.archive import Arrays
from admm.datasets.federation import ReadFederation
from admm.datasets.named import check_options, name_of, options_of_name
from admm.datasets.sensor_files import check_shape, reading_arrays, texts
from admm.datasets.windows import Client, Cut, Windows, forecast
from admm.errors import InputError

_COUNT = Check("at least 2", lambda value: value >= 2, Integral)
_CHECKS = {
    "least": _COUNT,
    "most": Check("0 or at least 2", lambda value: value == 0 or value >= 2, Integral),
    "seed": SEED,
}
_TARGETS = ("PM2.5", "PM10", "NO2", "CO", "O3", "SO2")
_SKEWED = (*_TARGETS, "RAIN")  # whose logarithm is learned
_WIND = ("wind sine", "wind cosine")
_HOUR = ("hour sine", "hour cosine")
_DIRECTIONS = 16
# Of validation, and of the test; training goes before.
_STARTS = ("2016-03-01T00", "2016-09-01T00")


@dataclass(frozen=True)
class Beijing:
    """Six pollutants of twelve stations, to be forecast from 15 columns.

    The columns are eleven of the archive, and sine and cosine of wind direction and hour. Of the
    pollutants and the rain it is log(1 + x). Training ends before March 2016, validation before
    September 2016. Columns are scaled by all of a station's training hours.

    A client trains on n consecutive windows from a random place, n = round(exp(U(ln `least`,
    ln `most`))), or on as many as there are.

    Args:
        least: The fewest windows that a client trains on.
        most: The most; 0 for all that there are.
        seed: Of their number and place.

    Raises:
        InputError: If an option is out of range.

    Example:
        >>> Beijing.of_name("beijing:seed=2").name
        'beijing:seed=2'

    Source: Zhang et al. 2017, Proc. R. Soc. A 473:20170457; UCI's data set 501.
    """

    least: int = 40
    most: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        check_options("beijing", {name: getattr(self, name) for name in _CHECKS}, _CHECKS)
        if self.most and self.most < self.least:
            raise InputError(f"beijing: most {self.most} must not be below least {self.least}")

    @classmethod
    def of_name(cls, name: str) -> Self:
        """The recipe of a name: `beijing`, or `beijing:` and options as `seed=2`.

        Raises:
            InputError: If an option is unknown, given twice, no number, or out of range.
        """
        given = options_of_name(name, _CHECKS, "least=40,seed=0")
        return cls(**given)  # type: ignore[arg-type]  # whole numbers are int

    @property
    def name(self) -> str:
        """The name that makes it again."""
        return name_of(self, "beijing", always=("seed",) if self.most else ())

    def federation(self, path: Path, cut: Cut) -> ReadFederation:
        """The stations of an archive.

        Raises:
            InputError: If it cannot be read, or is another; `client` raises it too.
        """
        with reading_arrays(path) as arrays:
            stations, columns = (texts(path, arrays, key) for key in ("stations", "columns"))
        missing = set(_SKEWED) - set(columns)
        if missing:
            raise InputError(f"{path}: expected columns {sorted(missing)} too, got {columns}")
        names = (*columns, *_WIND, *_HOUR)

        def read(number: int) -> Client:
            with reading_arrays(path) as arrays:
                series, parts, hour = _series(path, arrays, number, columns)
            client = forecast(stations[number], series, names, _TARGETS, parts, cut, hour)
            return client._replace(train=self._drawn(client.train, number))

        return ReadFederation(
            self.name,
            "regression",
            stations,
            names,
            _TARGETS,
            cut.length,
            len(names),
            read,
            slots=cut.period,
        )

    def _drawn(self, windows: Windows, number: int) -> Windows:
        if not self.most:
            return windows
        random, count = np.random.default_rng((number, self.seed)), len(windows.inputs)
        size = round(np.exp(random.uniform(np.log(self.least), np.log(self.most))))
        start = int(random.integers(0, max(count - size, 0) + 1))
        return Windows(*(array[start : start + size] for array in windows if array is not None))


def _series(
    path: Path, arrays: Arrays, number: int, columns: tuple[str, ...]
) -> tuple[np.ndarray, tuple[range, range, range], int]:
    """The values of a station, (hours, 15), NaN where missing; its parts; the first hour's name."""
    every, wind = arrays["series"], arrays["wind_direction"]
    start = np.datetime64(str(arrays["start"]), "h")
    check_shape(path, "series", every, (None, None, len(columns)), "f")
    check_shape(path, "wind_direction", wind, every.shape[:2], "i")
    values, direction = every[number].astype(np.float64), wind[number]
    for column in _SKEWED:
        place = columns.index(column)
        if (values[:, place] < 0).any():
            raise InputError(f"{path}: {column} is negative, expected amounts")
        values[:, place] = np.log1p(values[:, place])
    hours = start.astype(int) + np.arange(len(values))
    angles = np.where(direction < 0, np.nan, direction / _DIRECTIONS), hours / 24
    turns = [turn(2 * np.pi * angle) for angle in angles for turn in (np.sin, np.cos)]
    ends = [int((np.datetime64(day, "h") - start).astype(int)) for day in _STARTS]
    if not 0 < ends[0] < ends[1] < len(values):
        raise InputError(f"{path}: hours from {start} on do not reach beyond {_STARTS[1]}")
    parts = range(ends[0]), range(ends[0], ends[1]), range(ends[1], len(values))
    return np.column_stack([values, *turns]), parts, int(hours[0] % 24)
