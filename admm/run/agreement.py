"""The processes of a run are one job: the same release, the same options."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from admm.errors import InputError, in_shell, spelled
from admm.run.versions import versions

if TYPE_CHECKING:
    from admm.comm import Transport
    from admm.run.options import MethodOptions

# Both ends of a message decode it with the same code.
_SAME = ("layerwise-admm", "jax", "jaxlib", "numpy")

# Data are known by their fingerprint, wherever they lie. Other places may have other names on other
# hosts, the folder of a run being known by a token; but all ranks have one, or none.
_MAY_DIFFER = ("data_dir",)
_PLACES = ("out", "resume", "trace")

# Differences in a message.
_SHOWN = 3


def check_one_job(options: "MethodOptions", transport: "Transport") -> None:
    """Whether all processes were started as parts of the same run.

    Raises:
        InputError: In every process, if not; the message says which rank differs, and in what.
    """
    chosen = {n: v for n, v in options.as_json().items() if n not in _MAY_DIFFER}
    releases, every = zip(*transport.gather((versions(), chosen)), strict=True)
    differences = other_releases(releases)
    for rank, theirs in enumerate(every):
        ours = every[0]
        differ = [n for n in {**ours, **theirs} if _differs(n, theirs.get(n), ours.get(n))]
        differences += [
            f"rank {rank} has {spelled(name, theirs.get(name))}, rank 0 "
            f"{spelled(name, ours.get(name))}"
            for name in (["solver"] if "solver" in differ else differ)
        ]
    if differences:
        raise InputError(
            "the ranks of a run are one job with one set of options: "
            f"{'; '.join(differences[:_SHOWN])}"
            f"{together(transport.size)}"
        )


def other_releases(every: Sequence[Mapping[str, str | None]]) -> list[str]:
    """Which ranks have other versions than rank 0 of what has to be the same, given `versions()`.

    Example:
        >>> release = dict.fromkeys(_SAME, "1")
        >>> other_releases([release, {**release, "jax": "2"}])
        ['rank 1 has jax 2, rank 0 1']
    """
    return [
        f"rank {rank} has {name} {theirs[name]}, rank 0 {every[0][name]}"
        for rank, theirs in enumerate(every)
        for name in _SAME
        if theirs[name] != every[0][name]
    ]


def _differs(name: str, theirs: object, ours: object) -> bool:
    return (theirs is None) != (ours is None) if name in _PLACES else theirs != ours


def together(ranks: int) -> str:
    """How to start so many ranks by one command, for a person who typed one."""
    if not in_shell():
        return ""
    return f"; start them together: mpirun -n {ranks} python -m admm {shlex.join(sys.argv[1:])}"
