"""The time of an epoch of gsADMM, gsAM and Adam: a part of `benchmarks.tssm`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.cases import NetworkCase
from benchmarks.epoch import time_epoch
from benchmarks.looks import draw_bars
from benchmarks.peers import find_families, is_peer, time_family
from benchmarks.report import Report, Row
from benchmarks.tssm_accuracy import OURS as SUBNETWORKS

OURS = (*SUBNETWORKS, "sadmm")  # whose subnetworks are layers
COLUMNS = {
    "network": "<7",
    "method": "<18",
    "subnetworks": ">11",
    "codec": "<8",
    "cut": ">3",
    "floor": ">5.2f",
    "ranks": ">5",
    "cores": ">5",
    "batches": ">7",
    "epoch_ms": ">9.1f",
    "wait_ms": ">8.1f",
    "compile_s": ">9.1f",
    "timed": ">5",
}


# What only some rows have.
_EMPTY = {"part": "time", "cut": None, "floor": None, "setting": None}

_SIZES = ("layers", "hidden", "blocks", "filters", "batch", "batches", "seconds")


class Way(NamedTuple):
    """A method and where it runs."""

    method: str
    subnetworks: int
    codec: str
    ranks: int
    cores_per_rank: int


def run(given: argparse.Namespace, report: Report) -> None:
    """Time every method on every network."""
    sizes = {name: getattr(given, name) for name in _SIZES}
    networks = given.network or (["mlp"] if given.quick else ["mlp", "resnet"])
    every = ways(given.methods, given.codecs)
    peers = find_families(report, ["adam"], images=True) if given.peers else []
    columns = COLUMNS | {"setting": "<22"} if peers else COLUMNS
    report.begin(columns, len(networks) * (len(every) + len(peers)))
    for network in networks:
        own = []
        cuts = None if given.cut is None else [given.cut]
        for method, parts, codec, ranks, cores in every:
            case = NetworkCase(method, network, parts, codec, **sizes)
            if parts > 1:
                case = replace(case, cuts=cuts)
            row = {**_EMPTY, **time_epoch(case, ranks, cores)}
            if row["cuts"] is not None:
                cuts = row["cuts"]  # of the first measurement, for all rows of the network
                row["cut"] = cuts[0]
            own.append(row | {"codec": codec if ranks > 1 and method in OURS else None})
            report.add(own[-1])
        for family in peers:
            case = NetworkCase(family.method, network, **sizes)
            own.append({**_EMPTY, **time_family(case, family)})
            report.add(own[-1])
        for name, value in compare_times(own).items():
            report.results[f"{name}: {network}"] = value


def ways(methods: Sequence[str], codecs: Sequence[str]) -> list[Way]:
    """Everything that is timed for a network."""
    ours = [
        Way(method, 2 if method in SUBNETWORKS else 1, codec, ranks, 1)
        for method in methods
        if method in OURS
        for ranks in (1, 2)
        for codec in (codecs if ranks > 1 else ["float32"])
    ]
    if "adam" not in methods:
        return ours
    serial = [Way("adam", 1, "float32", 1, cores) for cores in (1, 2)]
    return [*ours, *serial, Way("adam data-parallel", 1, "float32", 2, 1)]


def compare_times(rows: Sequence[Row]) -> dict[str, float]:
    """The results of one network."""
    found = {}
    others = [row for row in rows if row["method"] not in OURS]
    rivals = [row for row in others if not is_peer(row)]
    peers = [row["epoch_ms"] for row in others if is_peer(row) and row["cores"] == 2]
    for row in rows:
        method, ours = row["method"], row["epoch_ms"]
        if method not in OURS or row["ranks"] == 1:
            continue
        about = f"{method}, {row['codec']}"
        alone = next(r["epoch_ms"] for r in rows if (r["method"], r["ranks"]) == (method, 1))
        found[f"2 ranks / 1 rank: {about}"] = ours / alone
        found[f"efficiency: {about}"] = alone / (2 * ours)
        if rivals:
            best = min(rival["epoch_ms"] for rival in rivals if rival["cores"] == 2)
            one_core = next(rival["epoch_ms"] for rival in rivals if rival["cores"] == 1)
            found[f"2 ranks / adam: {about}"] = ours / one_core
            found[f"vs_best_backprop: {about}"] = best / ours
        if peers:
            found[f"vs_best_torch: {about}"] = min(peers) / ours
    return found


def draw(axes: Any, rows: Sequence[Row]) -> None:
    """Bars of time; those of backpropagation are hatched."""
    names = [
        f"{row['network']}, {row['method']}, {row['ranks']} × {row['cores'] // row['ranks']}"
        + "".join(f", {row[name]}" for name in ("codec", "setting") if row.get(name))
        for row in rows
    ]
    draw_bars(axes, names, [row["method"] for row in rows], [row["epoch_ms"] for row in rows])
    axes.set(xlabel="epoch [ms]", title="network, method, ranks × cores of each")
