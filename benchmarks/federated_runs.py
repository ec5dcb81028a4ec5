"""The runs of `admm train` that `benchmarks.federated` has rows of."""

import argparse
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from admm.datasets.clients import read_federation
from admm.methods.federated.options import METHODS
from benchmarks.training import seeded, words_of

# What a slow link tells apart: messages of fewer bits, and gradients of single steps.
_OVER_LINK = (
    ("fed-admm", "float32"),
    ("fed-admm", "delta4"),
    ("fed-admm", "delta2"),
    ("fedavg", "float32"),
    ("fedsgd", "float32"),
)


class Way(NamedTuple):
    """Of training."""

    method: str
    codec: str
    offline: float
    late: float


def ways(given: argparse.Namespace) -> list[Way]:
    """Every method with every codec, fraction offline and fraction that joins late."""
    pairs = [*product(given.methods or METHODS, given.codecs or ["float32"])]
    if given.part == "link" and given.methods is None and given.codecs is None:
        pairs = [*_OVER_LINK]
    return [Way(*pair, *away) for pair, *away in product(pairs, given.offline, given.late)]


def train_options(
    given: argparse.Namespace,
    rest: Sequence[str],
    dataset: str,
    way: Way,
    rate: float,
    seed: int,
    baselines: bool = False,
) -> list[str]:
    """Options of `admm train`; every seed has clients of its own, where they are drawn."""
    times = given.local_steps if METHODS[way.method].sends_gradient else 1
    named: dict[str, Any] = {"solver": way.method, "codec": way.codec}
    named |= {"dataset": seeded(dataset, seed), "seed": seed, "lr": rate}
    named |= {"epochs": times * given.rounds, "eval-every": times * given.eval_every}
    named |= {"local-steps": given.local_steps // times, "participation": 1 - way.offline}
    if given.data_dir is not None:
        named["data-dir"] = given.data_dir
    if way.late:
        clients = read_federation(named["dataset"], data_dir=given.data_dir).clients
        named["late-joiners"] = round(way.late * len(clients))
        named["join-round"] = times * given.rounds // 2 + 1
    return [*rest, *words_of(named), *([] if baselines else ["--no-baselines"])]
