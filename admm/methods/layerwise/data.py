"""The data of a GA-MLP, loaded at the root; the other processes learn only the facts."""

from collections.abc import Iterator
from contextlib import contextmanager
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
from admm.memory import check_memory, memory_told
from admm.methods.labelled import Labelled, description, load_at_root, read_graph
from admm.methods.layerwise.options import GAMLPOptions, HopOptions, PDADMMGOptions
from admm.run.method import Arrays
from admm.run.options import MethodOptions
from admm.run.saved import Saved
from layers import (
    basis_columns,
    hop_inputs,
    hop_product,
    layer_costs,
    row_basis,
    split_layers,
    widths,
)

# Bytes of the rows that are multiplied by the basis at a time: JAX has a copy of them.
_BLOCK_BYTES = 64 * 2**20

_COPIES = "copies of the inputs for JAX"


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


def load_share(
    options: GAMLPOptions, transport: Transport, data: Any, shapes_only: bool = False
) -> LayerShare:
    """The data of a run; without inputs if it is for their shapes only.

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
    read = _shapes if shapes_only else training_inputs
    facts, inputs = load_at_root(lambda: read(options, data), transport)
    shape = widths(facts.columns, options.hidden, facts.classes, options.layers)
    split = split_layers(layer_costs(shape), transport.size)
    if inputs is None:
        return LayerShare(options, facts, None, None, split)
    rows = jax.device_put(inputs.rows, transport.device(0))
    return LayerShare(options, facts, rows, inputs.basis, split)


def full_inputs(options: HopOptions, data: Any = None) -> tuple[Facts, Inputs]:
    """Load a graph and compute the hop inputs of its labelled nodes, all columns kept.

    Args:
        options: Name the graph.
        data: The graph, in place of a name.

    Raises:
        InputError: If the data cannot be loaded, their inputs are all zero, or these overflow.
        AdmmError: If there is not enough memory for them.
    """
    graph = read_graph(options, data)
    wanted, dtype = np.concatenate(graph.split), np.dtype(options.dtype)
    facts = graph_facts(options, graph, wanted)
    what = f"inputs of {len(wanted):,} nodes × {facts.columns:,} columns"
    check_memory(len(wanted) * facts.columns * dtype.itemsize, what, options)
    with memory_told(what, options), _in_range(graph.name):
        rows = hop_inputs(
            graph.features,
            graph.adjacency,
            wanted,
            hops=options.hops,
            normalize=options.normalize,
            dtype=dtype.type,
        )
    if not rows[: facts.training_rows].any():
        raise InputError(
            f"{graph.name}: the features of the training nodes are all zero in {options.dtype}"
        )
    _check_finite(rows, options, graph.name)
    return facts, Inputs(rows, None)


def first_layer(
    options: HopOptions, saved: Saved, data: Any = None, every: bool = False
) -> tuple[Facts, np.ndarray]:
    """X W₁ + b₁ of a saved network, (rows, n_1), without X: its inputs are never all there.

    Args:
        options: Name the graph.
        saved: The network.
        data: The graph, in place of a name.
        every: Whether the rows are those of every node, in order, and not the labelled ones.

    Raises:
        InputError: If data or network cannot be read, do not belong together, or overflow.
        AdmmError: If there is not enough memory.
    """
    graph = read_graph(options, data)
    wanted = np.arange(graph.nodes) if every else np.concatenate(graph.split)
    facts = graph_facts(options, graph, wanted)
    saved.check_dataset(facts.dataset)
    return facts, first_layer_rows(options, graph, wanted, saved.read(1))


def first_layer_rows(
    options: HopOptions, graph: datasets.Graph, wanted: np.ndarray, first: Arrays
) -> np.ndarray:
    """X W₁ + b₁ of some nodes of a graph, see `first_layer`.

    Args:
        options: Of the run.
        graph: Any; only its adjacency and features count.
        wanted: Numbers of the nodes.
        first: W and b of layer 1, of all columns.

    Raises:
        InputError: If the products overflow.
        AdmmError: If there is not enough memory.
    """
    columns = options.hops * graph.features.shape[1]
    what = f"products of layer 1 on {len(wanted):,} nodes × {columns:,} columns"
    check_memory((options.hops + 1) * len(wanted) * first["b"].nbytes, what, options)
    with memory_told(what, options), _in_range(graph.name):
        rows = first["b"] + hop_product(
            graph.features,
            graph.adjacency,
            wanted,
            first["W"],
            hops=options.hops,
            normalize=options.normalize,
        )
    _check_finite(rows, options, graph.name)
    return rows


def graph_facts(options: HopOptions, graph: datasets.Graph, rows: np.ndarray) -> Facts:
    """The facts of some nodes of a graph, all columns kept."""
    width = graph.features.shape[1]
    counts = {"nodes": graph.nodes, "edges": graph.edges, "features": width}
    counts["classes"] = graph.classes
    dataset = description(graph, counts, datasets.identifying(graph), graph.class_names)
    sizes, columns = tuple(map(len, graph.split)), options.hops * width
    return Facts(dataset, graph.labels[rows], sizes, columns, columns)


@contextmanager
def _in_range(name: str) -> Iterator[None]:
    """Within, values that no type holds are an error of the data."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def _check_finite(rows: np.ndarray, options: HopOptions, name: str) -> None:
    if (
        rows.size and not np.isfinite([rows.min(), rows.max()]).all()
    ):  # without an array of their size
        raise InputError(
            f"{name}: the features overflow {spelled('dtype', options.dtype)} with "
            f"{spelled('normalize', options.normalize)}; scale them down, or train with "
            f"{spelled('normalize', 'hops')}"
        )


def _shapes(options: GAMLPOptions, data: Any = None) -> tuple[Facts, None]:
    """The facts that `training_inputs` returns; no input is computed."""
    graph = read_graph(options, data)
    facts = graph_facts(options, graph, np.concatenate(graph.split))
    if isinstance(options, PDADMMGOptions):
        facts = replace(facts, columns=basis_columns(facts.training_rows, facts.features))
    return facts, None


def training_inputs(options: GAMLPOptions, data: Any = None) -> tuple[Facts, Inputs]:
    """As `full_inputs`, in the coordinates of `row_basis` where that is narrower.

    Optimisers that scale every weight by itself depend on the coordinates: they get all columns.
    """
    facts, inputs = full_inputs(options, data)
    if isinstance(options, PDADMMGOptions):
        inputs = in_basis(options, inputs.rows, facts.training_rows)
    else:
        check_memory(inputs.rows.nbytes, _COPIES, options)
    return replace(facts, columns=inputs.rows.shape[1]), inputs


def in_basis(options: MethodOptions, rows: np.ndarray, training: int) -> Inputs:
    """Rows in the coordinates of `row_basis` of the first so many, where that is narrower.

    Raises:
        AdmmError: If there is not enough memory.
    """
    with memory_told(f"the basis of {training:,} training rows", options):
        basis = row_basis(rows[:training])
    if basis is None:
        check_memory(rows.nbytes, _COPIES, options)
        return Inputs(rows, None)
    found = np.empty((len(rows), basis.shape[1]), basis.dtype)
    on_device, size = jnp.asarray(basis), max(1, _BLOCK_BYTES // rows[0].nbytes)
    for start in range(0, len(rows), size):
        found[start : start + size] = jnp.asarray(rows[start : start + size]) @ on_device
    return Inputs(found, basis)
