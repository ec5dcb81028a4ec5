"""The data of a run, loaded where they are read; the other processes learn only the facts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm import datasets
from admm.datasets.fingerprint import fingerprint
from admm.errors import InputError
from admm.parallel import Transport
from admm.training.history import History, Text
from admm.training.options import Options
from admm.training.subnetwork_options import SubnetworkOptions
from admm.training.trace_file import check_trace
from layers import hop_inputs, row_basis

F = TypeVar("F", bound="Labelled")
X = TypeVar("X")

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Labelled:
    """What every process knows of labelled rows.

    Attributes:
        summary: Name and counts, as in `summary.json`.
        labels: Class of every row: training rows, then validation, then test.
        sizes: Rows of each of the three.
    """

    summary: dict[str, str | int]
    labels: np.ndarray
    sizes: tuple[int, int, int]

    @property
    def nodes(self) -> int:
        """V, the number of training rows."""
        return self.sizes[0]

    @property
    def classes(self) -> int:
        return int(self.summary["classes"])

    def accuracies(self, logits: Array) -> dict[str, float]:
        """Fraction of right answers in `train`, `val` and `test`, from the logits of all rows."""
        right = np.asarray(logits.argmax(axis=1)) == self.labels
        parts = np.split(right, np.cumsum(self.sizes)[:-1])
        return {name: float(part.mean()) for name, part in zip(_PARTS, parts, strict=True)}


@dataclass(frozen=True)
class Facts(Labelled):
    """What every process knows of a graph.

    Attributes:
        features: Columns of the network input as the user sees it, K·d.
        columns: Columns of the input of the network in training: K·d, or fewer, see `row_basis`.
    """

    features: int
    columns: int


@dataclass(frozen=True)
class ImageFacts(Labelled):
    """What every process knows of images.

    Attributes:
        shape: Of one image.
    """

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Inputs:
    """Network inputs, on the worker of layer 1.

    Attributes:
        rows: Training, validation and test rows, (rows, columns).
        basis: Q of `row_basis`, (features, columns), or None where it would not be smaller.
    """

    rows: np.ndarray
    basis: np.ndarray | None


def full_inputs(options: Options, every: bool = False) -> tuple[Facts, Inputs]:
    """Load a data set and compute its hop inputs, all columns kept.

    Args:
        options: Name the data set.
        every: Whether the rows are those of every node, in order, and not the labelled ones.

    Raises:
        InputError: If the data cannot be loaded or its inputs are all zero.
    """
    graph = datasets.load(options.dataset, options.data_dir, options.split_seed)
    parts = (graph.split.train, graph.split.val, graph.split.test)
    wanted = np.arange(graph.nodes) if every else np.concatenate(parts)
    rows = hop_inputs(
        graph.features,
        graph.adjacency,
        wanted,
        hops=options.hops,
        normalize=options.normalize,
        dtype=np.dtype(options.dtype).type,
    )
    if not np.isfinite(rows).all() or not (every or rows[: len(parts[0])].any()):
        raise InputError(
            f"{graph.name}: the features of the training nodes are all zero, or overflow "
            f"{options.dtype}"
        )
    sizes = tuple(len(part) for part in parts)
    summary: dict[str, str | int] = {
        "name": graph.name,
        "nodes": graph.nodes,
        "edges": graph.edges,
        "features": graph.features.shape[1],
        "classes": graph.classes,
        "fingerprint": fingerprint(graph.adjacency, graph.features, graph.labels, *parts),
        **dict(zip(_PARTS, sizes, strict=True)),
    }
    facts = Facts(
        summary,
        graph.labels[wanted],
        sizes,  # type: ignore[arg-type]
        rows.shape[1],
        rows.shape[1],
    )
    return facts, Inputs(rows, None)


def training_inputs(options: Options) -> tuple[Facts, Inputs]:
    """As `full_inputs`, in the coordinates of `row_basis` where that is narrower.

    Optimisers that scale every weight by itself depend on the coordinates: they get all columns.
    """
    facts, inputs = full_inputs(options)
    if options.solver != "pdadmm-g":
        return facts, inputs
    basis = row_basis(inputs.rows[: facts.nodes])
    if basis is None:
        return facts, inputs
    rows = np.asarray(jnp.asarray(inputs.rows) @ basis)
    return replace(facts, columns=basis.shape[1]), Inputs(rows, basis)


def image_inputs(options: SubnetworkOptions, every: bool = False) -> tuple[ImageFacts, np.ndarray]:
    """Load an image data set: the facts, and inputs of all images in the order of the labels.

    Args:
        options: Name the data set.
        every: Whether they are in the order of the data set, not split into three.

    Raises:
        InputError: If the data cannot be loaded.
    """
    images = datasets.load_images(options.dataset, options.data_dir, options.split_seed)
    parts = (images.split.train, images.split.val, images.split.test)
    order = np.sort(np.concatenate(parts)) if every else np.concatenate(parts)
    rows = images.inputs(options.dtype)[order]
    sizes = (len(parts[0]), len(parts[1]), len(parts[2]))
    summary: dict[str, str | int] = {
        "name": images.name,
        "nodes": len(order),
        "edges": 0,
        "features": prod(rows.shape[1:]),
        "classes": images.classes,
        "fingerprint": fingerprint(images.pixels, images.labels, *parts),
        **dict(zip(_PARTS, sizes, strict=True)),
    }
    labels = images.labels[order].astype(np.int32)
    return ImageFacts(summary, labels, sizes, rows.shape[1:]), rows


def begin_run(
    load: Callable[[], tuple[F, X]],
    options: Options | SubnetworkOptions,
    transport: Transport,
    progress: Text | None,
) -> tuple[F, X | None, History]:
    """Open the history and load data, files being for the root only.

    Args:
        load: Loads facts and inputs.
        options: Of the run.
        transport: Tells the other processes the facts.
        progress: Where the root prints its table; None prints nothing.

    Returns:
        Facts, inputs in the root's process, and the history.

    Raises:
        InputError: In every process, if results cannot be written or data cannot be used.
    """
    own: list[tuple[X, History]] = []

    def prepare() -> F:
        history = History(options.out, progress, options.epochs)
        try:
            check_trace(options.trace)
            facts, inputs = load()
        except BaseException:
            history.close()
            raise
        own.append((inputs, history))
        return facts

    facts = transport.at_root(prepare)
    inputs, history = own[0] if own else (None, History(None, None, options.epochs))
    return facts, inputs, history


def load_again(
    load: Callable[[], tuple[F, X]], manifest: Mapping[str, Any], transport: Transport
) -> tuple[F, X | None]:
    """Facts, and inputs in the root's process, of the data that a saved network was trained on.

    Raises:
        InputError: In every process, if they cannot be loaded or are others now.
    """
    own: list[X] = []

    def check() -> F:
        facts, inputs = load()
        if facts.summary != manifest["dataset"]:
            raise InputError(
                f"the network was trained on {manifest['dataset']}, but the data set is now "
                f"{facts.summary}"
            )
        own.append(inputs)
        return facts

    facts = transport.at_root(check)
    return facts, own[0] if own else None
