"""Windows of sensor data: what a client has of them, and how they are cut out of a series."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from admm.checks import COUNT, FROM_ZERO
from admm.datasets.scaling import scale_of
from admm.errors import InputError, spelled


class Windows(NamedTuple):
    """Windows of one client, and what is to be learned of them.

    Attributes:
        inputs: Shape (n, T, D), float32, finite.
        targets: Shape (n, outputs), float32; of classes (n,), int32.
        present: The shape of the targets: False where one is missing.
        slots: Shape (n,), whole numbers: in which slot of the clients' common clock each begins,
            for example in which hour of the day. None where there is no such clock.

    Example:
        >>> windows = Windows(np.zeros((5, 12, 3)), np.zeros((5, 2)), np.ones((5, 2), bool))
        >>> windows.inputs.shape
        (5, 12, 3)
    """

    inputs: np.ndarray
    targets: np.ndarray
    present: np.ndarray
    slots: np.ndarray | None = None


class Client(NamedTuple):
    """The data of one client.

    Attributes:
        name: Of the client.
        train: What it trains on.
        val: What the best network is picked by.
        test: What nothing is picked by.

    Example:
        >>> from admm import read_federation
        >>> read_federation("sensors").client(3).name
        'client 3'
    """

    name: str
    train: Windows
    val: Windows
    test: Windows


@dataclass(frozen=True)
class Cut:
    """How windows are cut out of a series.

    Args:
        length: T, steps in a window.
        stride: Steps from one window to the next: of training, validation and test.
        horizon: Steps from the last of a window to its target; 0 where that is the window's own.
        period: Steps in a day, or in another cycle; 0 for none.

    Raises:
        InputError: If a length or stride is not at least 1, or the horizon negative.

    Warns:
        UserWarning: If the stride of training shares a factor with the period: windows then start
            at some hours of the day alone.

    Example:
        >>> Cut(length=3, horizon=2).starts(range(10, 20), stride=4)
        range(10, 16, 4)
    """

    length: int = 12
    stride: tuple[int, int, int] = (5, 5, 5)
    horizon: int = 1
    period: int = 0

    def __post_init__(self) -> None:
        COUNT("length", self.length)
        FROM_ZERO("horizon", self.horizon)
        for stride in self.stride:
            COUNT("stride", stride)
        seen = self.period // math.gcd(self.period, self.stride[0]) if self.period else 0
        if seen < self.period:
            warnings.warn(
                f"{spelled('stride', self.stride[0])} shares a factor with the {self.period} "
                f"steps of a day: training windows start at {seen} of them only; take a stride "
                "that shares none",
                stacklevel=2,
            )

    def starts(self, steps: range, stride: int) -> range:
        """First steps of the windows that lie in `steps` with their targets."""
        return range(steps.start, steps.stop - self.length - self.horizon + 1, stride)


def forecast(
    name: str,
    series: np.ndarray,
    columns: tuple[str, ...],
    outputs: tuple[str, ...],
    parts: Sequence[range],
    cut: Cut,
    hour: int | None = None,
) -> Client:
    """A client that forecasts some columns of its series.

    A gap in the inputs takes the last value before it, or else the median of the training part. A
    missing target stays missing. Every column is then scaled by mean and deviation of the training
    part. A window and its target lie in the same part.

    Args:
        name: Of the client.
        series: Shape (steps, D); NaN where a value is missing.
        columns: Names of the D columns.
        outputs: Those that are forecast.
        parts: Steps of training, validation and test.
        cut: Of the windows.
        hour: The first step in its period, by the clock of all clients; None: they have none.

    Raises:
        InputError: If a value is infinite, or a column has no value in the training part.

    Example:
        >>> series = np.arange(60.0).reshape(-1, 1)
        >>> parts = (range(40), range(40, 50), range(50, 60))
        >>> forecast("a", series, ("x",), ("x",), parts, Cut(length=4)).train.inputs.shape
        (8, 4, 1)
    """
    values = series.astype(np.float64)
    if np.isinf(values).any():
        raise InputError(f"client {name}: infinite values; expected finite ones, NaN where missing")
    known = ~np.isnan(values)
    train = slice(parts[0].start, parts[0].stop)
    for number in np.flatnonzero(~known[train].any(axis=0)):
        raise InputError(
            f"client {name}: column {columns[number]} has no value in the training part, steps "
            f"{train.start}…{train.stop - 1}; fill it in or leave it out of all clients"
        )
    steps = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    filled = np.where(last < 0, np.nanmedian(values[train], axis=0), filled)
    with np.errstate(over="ignore", invalid="ignore"):  # the checks of a client tell
        scaled = (filled - filled[train].mean(axis=0)) / scale_of(filled[train])
    places = np.array([columns.index(output) for output in outputs])

    def windows(part: range, stride: int) -> Windows:
        starts = np.array(cut.starts(part, stride), int)[:, None]
        ends = starts[:, 0] + cut.length - 1 + cut.horizon
        inputs = scaled[starts + np.arange(cut.length)].astype(np.float32)
        at = np.ix_(ends, places)
        slots = (hour + starts[:, 0]) % cut.period if hour is not None and cut.period else None
        return Windows(inputs, scaled[at].astype(np.float32), known[at], slots)

    return Client(name, *map(windows, parts, cut.stride))


def chronological(steps: int) -> tuple[range, range, range]:
    """Training, validation and test steps of a series, in the order of time: 70, 15 and 15 %.

    Example:
        >>> chronological(100)
        (range(0, 70), range(70, 85), range(85, 100))
    """
    first, second = round(0.7 * steps), round(0.85 * steps)
    return range(first), range(first, second), range(second, steps)
