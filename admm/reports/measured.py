"""What is measured of the saved network of a run, on its data: time, robustness, fidelity."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from admm.comm import LocalTransport
from admm.datasets import Graph, Images
from admm.run.inference import predict
from admm.run.options import MethodOptions, check_not_in_memory
from admm.run.registry import options_from_json
from admm.run.saved import Saved, hold_saved

# Passes that are timed, after one that compiles; seeds of the perturbations.
_PASSES = 5
SEEDS = (0, 1, 2)

# What a manifest says of data that perturbed ones do not keep.
_CHANGED = ("fingerprint", "edges")


class Opened(NamedTuple):
    """The best network of a run, and its data."""

    options: MethodOptions
    saved: Saved
    data: Any


def open_run(run: Path) -> Opened:
    """Read both.

    Raises:
        InputError: If network or data cannot be read, or the method has no such data.
    """
    saved = hold_saved(run)
    options = options_from_json(saved.manifest["options"])
    check_not_in_memory(options.dataset)
    return Opened(options, saved, options.read())


def inference_seconds(opened: Opened) -> tuple[float, int]:
    """Seconds of a pass over all rows of the data, and how many there are.

    Data and parameters are in memory. The pass makes the hop inputs, where there are any, and is
    compiled before; it is the median of five, by one worker.
    """
    seconds, rows = [], 0
    predict_all = opened.options.passing(opened.saved, LocalTransport(1), opened.data)
    for _ in range(1 + _PASSES):
        start = time.perf_counter()
        rows = len(predict_all())
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:]), rows


def robustness(opened: Opened, noise: float, dropped: float) -> dict[str, float]:
    """Mean test accuracy over the seeds 0, 1 and 2, under noise and without some edges.

    Args:
        opened: The run.
        noise: Standard deviation of Gaussian noise, in that of the features that it is added to (in
            their size where all are equal): of a graph those that are not zero, of images all.
        dropped: The fraction of edges that each draw leaves out; only graphs have any.
    """
    about = dict(opened.saved.manifest["dataset"])
    for name in _CHANGED:
        about.pop(name, None)
    saved = opened.saved._replace(manifest={**opened.saved.manifest, "dataset": about})
    transport = LocalTransport(1)

    def accuracy(kinds: Sequence[Any]) -> float:
        scores = [opened.options.evaluate(saved, transport, each) for each in kinds]
        return float(np.mean([each["test"] for each in scores]))

    found = {"noise": accuracy([noisy(opened.data, noise, seed) for seed in SEEDS])}
    if isinstance(opened.data, Graph):
        found["dropped"] = accuracy([thinned(opened.data, dropped, seed) for seed in SEEDS])
    return found


def noisy(data: Graph | Images, noise: float, seed: int) -> Graph | Images:
    """Data whose features, or pixels, have Gaussian noise; see `robustness`."""
    random = np.random.default_rng(seed)
    values = data.pixels if isinstance(data, Images) else data.features.data
    scale = values.std() or np.abs(values).mean()  # ones and zeros: those that are not zero agree
    moved = values + noise * scale * random.standard_normal(values.shape)
    if isinstance(data, Images):
        if data.pixels.dtype == np.uint8:
            moved = np.clip(np.round(moved), 0, 255)
        return replace(data, pixels=moved.astype(data.pixels.dtype))
    features = data.features.copy()
    features.data = moved.astype(values.dtype)
    return replace(data, features=features)


def thinned(graph: Graph, dropped: float, seed: int) -> Graph:
    """A graph without some of its undirected edges, drawn at random."""
    upper = sp.triu(graph.adjacency, format="coo")
    count = round((1 - dropped) * upper.nnz)
    kept = np.random.default_rng(seed).permutation(upper.nnz)[:count]
    half = sp.csr_array((upper.data[kept], (upper.row[kept], upper.col[kept])), shape=upper.shape)
    return replace(graph, adjacency=sp.csr_array(half + half.T))


def fidelity(run: Path, twin: Path) -> dict[str, float]:
    """How near the predictions of a network are to those of another, on all rows.

        agreement = fraction of rows with the same class,  KL = mean over rows of Σ p log(p/q)

    with p the probabilities of the twin and q those of the run; both at least 1e-12.
    """
    q, p = (np.maximum(predict(each), 1e-12).astype(np.float64) for each in (run, twin))
    agreement = (p.argmax(axis=1) == q.argmax(axis=1)).mean()
    return {"agreement": float(agreement), "kl": float((p * np.log(p / q)).sum(axis=1).mean())}
