"""Checks of settings, each said once: solvers and options share them. Needs no JAX."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

from admm.errors import InputError, spelled

KINDS: dict[type, str] = {Real: "a number", Integral: "a whole number", str: "text"}


class Check(NamedTuple):
    """What a setting has to be.

    Example:
        >>> POSITIVE("rho", -1.0)
        Traceback (most recent call last):
            ...
        admm.errors.InputError: rho= must be positive and finite, got -1.0
    """

    expected: str
    holds: Callable[[Any], bool]
    kind: type = object  # of what `holds` can be asked about

    def refusal(self, value: Any) -> str:
        """What a message says of a value after its name; empty where the value holds."""
        if not isinstance(value, self.kind):
            return f"must be {KINDS[self.kind]}, {self.expected}, got {value!r}"
        return "" if self.holds(value) else f"must be {self.expected}, got {value}"

    def __call__(self, name: str, value: Any) -> None:
        """Refuse a value that does not hold.

        Raises:
            InputError: With the name as the person writes it.
        """
        if refusal := self.refusal(value):
            raise InputError(f"{spelled(name)} {refusal}")


COUNT = Check("at least 1", lambda value: value >= 1, Integral)
POSITIVE = Check("positive and finite", lambda value: 0 < value < math.inf, Real)
NOT_NEGATIVE = Check("finite and ≥ 0", lambda value: 0 <= value < math.inf, Real)
FROM_ZERO = Check("0 or more", lambda value: value >= 0, Integral)
FRACTION = Check("in (0, 1]", lambda value: 0 < value <= 1, Real)
PROPORTION = Check("in (0, 1)", lambda value: 0 < value < 1, Real)
SEED = Check("in 0…2³²−1", lambda value: 0 <= value < 2**32, Integral)
# More would only keep a machine busy until its memory is full.
LAYERS = Check("in 1…10,000", lambda value: 1 <= value <= 10_000, Integral)
WORKERS = Check("in 1…1,024", lambda value: 1 <= value <= 1024, Integral)


def check_protocol(name: str, value: Any, protocol: type, hint: str) -> None:
    """Refuse an object without the methods of a protocol, or one that cannot be static under jit.

    Raises:
        InputError: With the name as the person writes it.

    Example:
        >>> check_protocol("seed", [1], int, "take 1")
        Traceback (most recent call last):
            ...
        admm.errors.InputError: seed= must be an int that has a hash, got [1]; take 1
    """
    try:
        fits = isinstance(value, protocol) and not isinstance(value, type) and bool([hash(value)])
    except TypeError:
        fits = False
    if not fits:
        kind = f"{'an' if protocol.__name__[0] in 'AEIOUaeiou' else 'a'} {protocol.__name__}"
        raise InputError(f"{spelled(name)} must be {kind} that has a hash, got {value!r}; {hint}")
