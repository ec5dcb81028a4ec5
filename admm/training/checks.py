"""Checks of options."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax

from admm.errors import InputError

Dtype = Literal["float32", "float64"]


def flag(name: str) -> str:
    """An option as the command line spells it, without the dashes."""
    return name.replace("_", "-")


def check_counts(options: Any, names: Sequence[str]) -> None:
    """Whether these options are at least 1.

    Raises:
        InputError: If not.
    """
    for name in names:
        if getattr(options, name) < 1:
            raise InputError(f"--{flag(name)} must be at least 1, got {getattr(options, name)}")


def check_choice(name: str, value: str, choices: Any) -> None:
    """Whether an option is one of the values of a `Literal`.

    Raises:
        InputError: If not.
    """
    if value not in get_args(choices):
        raise InputError(f"--{name} must be one of {', '.join(get_args(choices))}, got {value!r}")


def check_positive(name: str, value: float) -> None:
    """Whether an option is positive and finite.

    Raises:
        InputError: If not.
    """
    if not 0 < value < math.inf:
        raise InputError(f"--{name} must be positive and finite, got {value}")


def check_dtype(dtype: Dtype) -> None:
    """Whether JAX is in the mode that a type needs.

    Raises:
        InputError: If not.
    """
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError("float64 needs JAX's 64-bit mode: set JAX_ENABLE_X64=1")
