"""Data sets whose name says how they are made: `sbm:nodes=500,seed=1`."""

from collections.abc import Container, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from admm.checks import KINDS, Check
from admm.errors import InputError, did_you_mean

_READERS: dict[type, type[int] | type[float]] = {Integral: int, Real: float}


def check_options(name: str, options: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Refuse an option of a data set that is of another kind, or out of range.

    Raises:
        InputError: With the name of the data set.
    """
    for key, value in options.items():
        if refusal := checks[key].refusal(value):
            raise InputError(f"{name}: {key} {refusal}")


def options_of_name(name: str, checks: Mapping[str, Check], example: str) -> dict[str, float]:
    """The options that follow the colon in a data set's name, as numbers.

    Args:
        name: `sbm`, or `sbm:` and options as `nodes=500`, with commas between.
        checks: Of every option that there is.
        example: Of options, for messages.

    Raises:
        InputError: If an option is unknown, given twice, or no number.

    Example:
        >>> from admm.checks import COUNT
        >>> options_of_name("sbm:nodes=500", {"nodes": COUNT}, "nodes=3000")
        {'nodes': 500}
    """
    given: dict[str, float] = {}
    listed = name.partition(":")[2]
    for item in listed.split(",") if listed else ():
        key, equals, text = item.partition("=")
        if key not in checks or not equals:
            raise InputError(
                f"{name}: expected options as {example}, of {', '.join(checks)}; got "
                f"{item!r}{did_you_mean(key, set(checks) - {key})}"
            )
        if key in given:
            raise InputError(f"{name}: {key} is given twice; leave one out")
        kind = checks[key].kind
        try:
            given[key] = int(text) if text.isdecimal() else _READERS[kind](text)
        except ValueError as error:
            raise InputError(f"{name}: {key} must be {KINDS[kind]}, got {text!r}") from error
    return given


def name_of(model: Any, prefix: str, always: Container[str]) -> str:
    """The name of a data set: the options of a dataclass that are not as by default, and some.

    Args:
        model: The dataclass; all of its fields have a default.
        prefix: In front of the colon.
        always: Options that are named in any case.

    Example:
        >>> from admm.datasets import SBM
        >>> name_of(SBM(classes=4), "sbm", always=("seed",))
        'sbm:classes=4,seed=0'
    """
    shown = [
        f"{field.name}={getattr(model, field.name)}"
        for field in fields(model)
        if field.name in always or getattr(model, field.name) != field.default
    ]
    return f"{prefix}:{','.join(shown)}" if shown else prefix
