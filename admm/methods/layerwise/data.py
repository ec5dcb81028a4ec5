"""The data of a GA-MLP, loaded at the root; the other processes learn only the facts."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm import datasets
from admm.comm import Transport
from admm.errors import InputError, spelled
from admm.methods.labelled import Labelled, description, load_at_root
from admm.methods.layerwise.options import GAMLPOptions, PDADMMGOptions
from layers import hop_inputs, layer_costs, row_basis, split_layers, widths


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
class Inputs:
    """Network inputs, at the root.

    Attributes:
        rows: Training, validation and test rows, (rows, columns).
        basis: Q of `row_basis`, (features, columns), or None where it would not be smaller.
    """

    rows: np.ndarray
    basis: np.ndarray | None


@dataclass(frozen=True)
class LayerShare:
    """What a process has of the data.

    Attributes:
        options: Of the run.
        facts: Of the data.
        rows: Inputs of training, validation and test rows, at the root.
        basis: See `Inputs`.
        split: (first, last) layer of every worker, from 1.
    """

    options: GAMLPOptions
    facts: Facts
    rows: Array | None
    basis: np.ndarray | None
    split: list[tuple[int, int]]

    @property
    def dataset(self) -> dict[str, Any]:
        return self.facts.dataset

    @cached_property
    def targets(self) -> Array:
        """One-hot labels of the training rows."""
        labels = self.facts.labels[: self.facts.training_rows]
        return jnp.asarray(np.eye(self.facts.classes)[labels], self.options.dtype)

    @property
    def training_inputs(self) -> Array | None:
        """X, at the root."""
        return None if self.rows is None else self.rows[: self.facts.training_rows]

    @property
    def introduction(self) -> str:
        data, options = self.dataset, self.options
        owners = ", ".join(f"{first}–{last}" for first, last in self.split)
        return (
            f"{data['name']}: {data['nodes']:,} nodes, {data['edges']:,} directed edges, "
            f"{data['features']:,} features, {data['classes']} classes; {data['train']} training, "
            f"{data['val']} validation, {data['test']} test nodes\n"
            f"{datasets.told(data['provenance'])}\n"
            f"{options.layers} layers of {options.hidden} on {len(self.split)} "
            f"workers (layers {owners}); stages of {', '.join(map(str, options.depths))} "
            f"layers, {options.epochs} epochs each\n"
        )


def load_share(options: GAMLPOptions, transport: Transport, data: Any) -> LayerShare:
    """The data of a run.

    Raises:
        InputError: In every process, if they cannot be used, or there are more workers than layers.
    """
    if transport.size > options.layers:
        raise InputError(
            f"got {transport.size} workers for {options.layers} layers; every worker needs at "
            f"least one: start fewer ranks or raise {spelled('layers')}"
        )
    given = {name: getattr(options, name) for name in ("split", "weights", "features")}
    for name, value in given.items():
        if value and data is not None and options.resume is None:
            raise InputError(
                f"{spelled(name, value)} is for data that are loaded; those in memory are as "
                "checked_graph has made them"
            )
    facts, inputs = load_at_root(lambda: training_inputs(options, data), transport)
    shape = widths(facts.columns, options.hidden, facts.classes, options.layers)
    split = split_layers(layer_costs(shape), transport.size)
    if inputs is None:
        return LayerShare(options, facts, None, None, split)
    rows = jax.device_put(inputs.rows, transport.device(0))
    return LayerShare(options, facts, rows, inputs.basis, split)


def full_inputs(
    options: GAMLPOptions, data: Any = None, every: bool = False
) -> tuple[Facts, Inputs]:
    """Load a graph and compute its hop inputs, all columns kept.

    Args:
        options: Name the graph.
        data: The graph, in place of a name.
        every: Whether the rows are those of every node, in order, and not the labelled ones.

    Raises:
        InputError: If the data cannot be loaded or their inputs are all zero.
    """
    graph = _graph(options, data)
    wanted = np.arange(graph.nodes) if every else np.concatenate(graph.split)
    rows = hop_inputs(
        graph.features,
        graph.adjacency,
        wanted,
        hops=options.hops,
        normalize=options.normalize,
        dtype=np.dtype(options.dtype).type,
    )
    if not np.isfinite(rows).all() or not (every or rows[: len(graph.split.train)].any()):
        raise InputError(
            f"{graph.name}: the features of the training nodes are all zero, or overflow "
            f"{options.dtype}"
        )
    contents = (graph.adjacency, graph.features)
    dataset = description(graph, graph.nodes, graph.edges, graph.features.shape[1], *contents)
    labels, sizes, columns = graph.labels[wanted], tuple(map(len, graph.split)), rows.shape[1]
    return Facts(dataset, labels, sizes, columns, columns), Inputs(rows, None)


def _graph(options: GAMLPOptions, data: Any) -> datasets.Graph:
    if data is None:
        return datasets.load(
            options.dataset,
            options.data_dir,
            options.split_seed,
            split=options.split,
            weights=options.weights,
            features=options.features,
        )
    if not isinstance(data, datasets.Graph):
        raise InputError(
            f"{spelled('solver', options.solver)} trains on a Graph of admm.datasets, got "
            f"a {type(data).__name__}"
        )
    return data


def training_inputs(options: GAMLPOptions, data: Any = None) -> tuple[Facts, Inputs]:
    """As `full_inputs`, in the coordinates of `row_basis` where that is narrower.

    Optimisers that scale every weight by itself depend on the coordinates: they get all columns.
    """
    facts, inputs = full_inputs(options, data)
    if not isinstance(options, PDADMMGOptions):
        return facts, inputs
    basis = row_basis(inputs.rows[: facts.training_rows])
    if basis is None:
        return facts, inputs
    rows = np.asarray(jnp.asarray(inputs.rows) @ basis)
    return replace(facts, columns=basis.shape[1]), Inputs(rows, basis)
