"""Checks that both kinds of options share, and how their values travel as JSON."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax

from admm.errors import InputError

Dtype = Literal["float32", "float64"]

# The paths among the options.
PATHS = ("data_dir", "out", "trace", "resume")


def flag(name: str) -> str:
    """An option as the command line spells it, without the dashes."""
    return name.replace("_", "-")


def check_counts(options: Any, names: Sequence[str]) -> None:
    """Whether these options are at least 1, and the seeds in their range.

    Raises:
        InputError: If not.
    """
    for name in names:
        if getattr(options, name) < 1:
            raise InputError(f"--{flag(name)} must be at least 1, got {getattr(options, name)}")
    for name in ("seed", "split_seed"):
        if not 0 <= getattr(options, name) < 2**32:
            raise InputError(f"--{flag(name)} must be in 0…2³²−1, got {getattr(options, name)}")


def check_recovery(options: Any) -> None:
    """Whether the options about checkpoints and lost workers are in their range.

    Raises:
        InputError: If not.
    """
    check_counts(options, ("keep",))
    check_positive("timeout", options.timeout)
    if options.checkpoint_every < 0:
        raise InputError(f"--checkpoint-every must not be negative, got {options.checkpoint_every}")
    if options.resume is not None and options.out != options.resume:
        raise InputError(
            f"--resume {options.resume} goes on in that folder; leave out --out {options.out}"
        )


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


def check_codec(codec: str | None, dtype: Dtype, names: Sequence[str]) -> None:
    """Whether a codec, if any is given, is one of these and fits the type of the arithmetic.

    Raises:
        InputError: If not.
    """
    if codec is not None and codec not in names:
        raise InputError(f"unknown codec {codec!r}; expected one of {', '.join(names)}")
    if codec == "float64" and dtype == "float32":
        raise InputError("--codec float64 needs --dtype float64")


def check_dtype(dtype: Dtype) -> None:
    """Whether JAX is in the mode that a type needs.

    Raises:
        InputError: If not.
    """
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError("float64 needs JAX's 64-bit mode: set JAX_ENABLE_X64=1")


def paths_json(options: Any) -> dict[str, str | None]:
    """The paths among the options, as JSON values."""
    paths = {name: getattr(options, name) for name in PATHS}
    return {name: None if path is None else str(path) for name, path in paths.items()}
