"""Sensors by name that are made as they are needed: one linear system, seen by many clients."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Self

import numpy as np

from admm.checks import SEED, Check
from admm.datasets.federation import ReadFederation
from admm.datasets.named import check_options, name_of, options_of_name
from admm.datasets.windows import Client, Cut, forecast

_PERIOD = 24
_SHARED = 0  # the stream of the system; that of a client is its number + 1

# More would only keep a machine busy until its memory is full.
_CHECKS = {
    "clients": Check("in 1…10,000", lambda value: 1 <= value <= 10_000, Integral),
    "columns": Check("in 1…1,000", lambda value: 1 <= value <= 1000, Integral),
    "hours": Check("in 100…1,000,000", lambda value: 100 <= value <= 10**6, Integral),
    "missing": Check("in [0, 1)", lambda value: 0 <= value < 1, Real),
    "seed": SEED,
}


@dataclass(frozen=True)
class Sensors:
    """Hourly sensors whose dynamics all clients share, each seen through gains of its own.

    With Q a random rotation, t the hour, and w, v from N(0, I):

        s_{t+1} = .95 Q s_t + c sin(2πt/24 + φ) + w_t     Q and φ shared, c ∈ [0, 2] of the client
        x_t = b + g ∘ (s_t + .1 v_t)                      g ∈ [½, 2] and b of the client

    Every column is forecast. A client has between a quarter of `hours` and all of them for
    training, then 200 for validation and 400 for the test.

    Args:
        clients: K.
        columns: Sensors of a client.
        hours: The most that a client has for training.
        missing: Fraction of the values that are missing.
        seed: Of everything.

    Raises:
        InputError: If an option is out of range.

    Example:
        >>> Sensors.of_name("sensors:clients=3,seed=1").federation(Cut()).client(2).name
        'client 2'
    """

    clients: int = 8
    columns: int = 4
    hours: int = 400
    missing: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        check_options("sensors", {name: getattr(self, name) for name in _CHECKS}, _CHECKS)

    @classmethod
    def of_name(cls, name: str) -> Self:
        """The model of a name: `sensors`, or `sensors:` and options as `clients=8`.

        Raises:
            InputError: If an option is unknown, given twice, no number, or out of range.
        """
        given = options_of_name(name, _CHECKS, "clients=8,seed=0")
        return cls(**given)  # type: ignore[arg-type]  # whole numbers are int

    @property
    def name(self) -> str:
        """The name that makes it again."""
        return name_of(self, "sensors", always=("clients", "seed"))

    def series(self, number: int) -> tuple[np.ndarray, tuple[range, range, range]]:
        """The values of a client, (hours, columns), NaN where missing; the hours of its parts."""
        shared = np.random.default_rng((_SHARED, self.seed))
        rotation = np.linalg.qr(shared.standard_normal((self.columns, self.columns)))[0]
        phase = shared.uniform(0, 2 * np.pi, self.columns)
        own = np.random.default_rng((number + 1, self.seed))
        ends = np.cumsum([own.integers(self.hours // 4, self.hours + 1), 200, 400]).tolist()
        gain, bias = np.exp2(own.uniform(-1, 1, self.columns)), own.normal(0, 5, self.columns)
        daily = own.uniform(0, 2, self.columns)
        state, states = np.zeros(self.columns), np.empty((ends[-1], self.columns))
        for hour in range(len(states)):
            cycle = daily * np.sin(2 * np.pi * hour / _PERIOD + phase)
            state = 0.95 * rotation @ state + cycle + own.standard_normal(self.columns)
            states[hour] = state
        values = bias + gain * (states + 0.1 * own.standard_normal(states.shape))
        values[own.random(values.shape) < self.missing] = np.nan
        return values, (range(ends[0]), range(ends[0], ends[1]), range(ends[1], ends[2]))

    def federation(self, cut: Cut) -> ReadFederation:
        """Its windows."""
        columns = tuple(f"sensor {number}" for number in range(self.columns))
        names = tuple(f"client {number}" for number in range(self.clients))

        def read(number: int) -> Client:
            series, parts = self.series(number)
            return forecast(names[number], series, columns, columns, parts, cut, hour=0)

        return ReadFederation(
            self.name,
            "regression",
            names,
            columns,
            columns,
            cut.length,
            self.columns,
            read,
            slots=cut.period,
        )
