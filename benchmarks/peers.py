"""PyTorch as a rival: which settings of it are tried, and the fastest of each kind.

It trains the same network from the same parameters on the same data, in processes that take their
cores and time their epochs as ours do. `benchmarks.torch_peer` is what runs there; nothing here
imports PyTorch.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from typing import NamedTuple

from benchmarks.cases import Case, NetworkCase
from benchmarks.epoch import time_epoch
from benchmarks.report import Report, Row

PEER = "torch"

# What is not known of a peer: its messages are not ours to count, and go in its own format.
_UNKNOWN = ("products_ms", "least_products_ms", "wait_ms", "least_wait_ms", "bytes", "codec")


class Family(NamedTuple):
    """A way to run a peer, and the settings that are tried."""

    method: str
    settings: Sequence[str]
    ranks: int
    cores_per_rank: int


def find_families(
    report: Report, optimizers: Sequence[str], images: bool = False, pipeline: bool = False
) -> list[Family]:
    """All that is tried of a peer; what is missing here gets a line of the report.

    Args:
        report: Where the line goes.
        optimizers: Their names.
        images: Whether there are convolutions, which depend on the order of the channels.
        pipeline: Whether batches are large enough to be cut into micro-batches.
    """
    if find_spec(PEER) is None:
        report.write("PyTorch is not installed, and has no rows: pip install -e '.[peers]'")
        return []
    ways = ["eager"]
    if shutil.which(os.environ.get("CXX", "g++")):
        ways.append("compiled")
    else:
        report.write("torch.compile needs a C++ compiler, such as g++, and is not tried")
    orders = ["", " channels-last"] if images else [""]
    settings = ["".join(words) for words in product(ways, orders)]
    return [each for name in optimizers for each in _families(f"{PEER} {name}", settings, pipeline)]


def _families(method: str, settings: Sequence[str], pipeline: bool) -> Iterator[Family]:
    yield Family(method, settings, 1, 1)
    yield Family(method, settings, 1, 2)
    yield Family(f"{method} DDP", settings, 2, 1)
    if pipeline:
        yield Family(f"{method} 1F1B", ["2", "4", "8"], 2, 1)


def time_family(case: Case | NetworkCase, family: Family) -> Row:
    """The row of the fastest setting, with PyTorch's version; `tried` has the rows of all."""
    tried = []
    for setting in family.settings:
        given = replace(case, method=f"{family.method} {setting}")
        row = time_epoch(given, family.ranks, family.cores_per_rank)
        known = {"method": family.method, "setting": setting, PEER: version(PEER)}
        tried.append(row | dict.fromkeys(_UNKNOWN) | known)
    return {**min(tried, key=lambda row: row["epoch_ms"]), "tried": tried}


def is_peer(row: Row) -> bool:
    """Whether a row is one of a peer."""
    return PEER in row
