"""From a graph to network inputs, on the process that reads data; the rest learn only the facts."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from admm import datasets
from admm.errors import InputError
from admm.training.options import Options
from layers import hop_inputs, row_basis


@dataclass(frozen=True)
class Facts:
    """What every process knows of the data.

    Attributes:
        summary: Name and counts, as in `summary.json`.
        labels: Class of every row: training rows, then validation, then test.
        sizes: Rows of each of the three.
        features: Columns of the network input as the user sees it, K·d.
        columns: Columns of the input of the network in training: K·d, or fewer, see `row_basis`.
    """

    summary: dict[str, str | int]
    labels: np.ndarray
    sizes: tuple[int, int, int]
    features: int
    columns: int

    @property
    def nodes(self) -> int:
        """V, the number of training nodes."""
        return self.sizes[0]

    @property
    def classes(self) -> int:
        return int(self.summary["classes"])


@dataclass(frozen=True)
class Inputs:
    """Network inputs, on the worker of layer 1.

    Attributes:
        rows: Training, validation and test rows, (rows, columns).
        basis: Q of `row_basis`, (features, columns), or None where it would not be smaller.
    """

    rows: np.ndarray
    basis: np.ndarray | None


def full_inputs(options: Options) -> tuple[Facts, Inputs]:
    """Load a data set and compute its hop inputs, all columns kept.

    Raises:
        InputError: If the data cannot be loaded or its inputs are all zero.
    """
    graph = datasets.load(options.dataset, options.data_dir, options.split_seed)
    parts = (graph.split.train, graph.split.val, graph.split.test)
    wanted = np.concatenate(parts)
    rows = hop_inputs(
        graph.features,
        graph.adjacency,
        wanted,
        hops=options.hops,
        normalize=options.normalize,
        dtype=np.dtype(options.dtype).type,
    )
    if not np.isfinite(rows).all() or not rows[: len(parts[0])].any():
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
        **dict(zip(("train", "val", "test"), sizes, strict=True)),
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
