"""What a process has of data and network of stochastic ADMM."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm import datasets
from admm.comm import Transport
from admm.comm.chain import CHUNK as ROWS_AT_ONCE
from admm.datasets.scaling import scale_of
from admm.errors import InputError, spelled
from admm.methods.labelled import load_at_root, read_graph
from admm.methods.layerwise.data import full_inputs, graph_facts, in_basis
from admm.methods.stochastic.options import StochasticOptions
from admm.methods.subnetworks.data import read_rows, row_inputs, row_shapes
from admm.methods.subnetworks.losses import loss_targets
from admm.methods.subnetworks.network import CHUNK as IMAGES_AT_ONCE, make_network
from admm.methods.tasks import Measured, Task
from admm.solvers.flops import stochastic_flops
from admm.solvers.stochastic import groups
from layers import (
    Affine,
    Dense,
    Stage,
    affine,
    basis_columns,
    build,
    module_shapes,
    sides,
    split_layers,
    widths,
)

# Rows that an epoch visits at least: of few rows it is several passes.
_VISITS = 700

# Rows of a micro-batch, in equal parts of the epochs; fewer where an epoch would have fewer W-steps
# than so many, but not fewer than the smallest.
_GROWING, _STEPS, _SMALLEST = (10, 25, 50, 100), 16, 5

# The dropout where there are fewer training rows than inputs.
_FEW_ROWS_DROPOUT = 0.5


@dataclass(frozen=True)
class Facts:
    """What every process knows of data.

    Attributes:
        task: Targets, parts and scores.
        features: Numbers in a row.
        shape: Of a row of the network in training, which may have fewer, see `layers.row_basis`.
    """

    task: Task
    features: int
    shape: tuple[int, ...]

    @property
    def columns(self) -> int:
        """Numbers in a row of the network in training."""
        return prod(self.shape)

    @property
    def dataset(self) -> dict[str, Any]:
        return self.task.dataset


class _Inputs(NamedTuple):
    """Inputs, at the root: attributes of `StochasticShare`."""

    rows: np.ndarray
    dropped: np.ndarray | None
    basis: np.ndarray | None


class Product(NamedTuple):
    """Sizes of p W, for one row."""

    positions: int  # 1 of a dense layer
    n_in: int
    n_out: int


class Epoch(NamedTuple):
    """The micro-batches of an epoch."""

    size: int  # rows of one
    batches: int
    groups: Sequence[range]  # those of every W-step


@dataclass(frozen=True)
class StochasticShare:
    """What a process has of data and network.

    Attributes:
        options: Of the run.
        facts: Of the data.
        rows: Inputs of all rows, at the root.
        dropped: Those of the training rows with all columns, at the root, if `dropout` and `basis`
            need them.
        basis: See `layers.row_basis`, at the root; None where it is not smaller.
        network: The layers in training, with shapes in place of arrays.
        shapes: Of one row before, between and after them.
        cuts: Layers of every subnetwork, from 1.
        owned: Subnetworks of every worker, from 0.
    """

    options: StochasticOptions
    facts: Facts
    rows: Array | None
    dropped: Array | None
    basis: np.ndarray | None
    network: list[Affine]
    shapes: list[tuple[int, ...]]
    cuts: list[range]
    owned: list[range]

    @property
    def dataset(self) -> dict[str, Any]:
        return self.facts.dataset

    @cached_property
    def target_scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each real number of the training targets; else 0 and 1."""
        task, (outputs,) = self.facts.task, self.shapes[-1]
        if not isinstance(task, Measured):
            return np.zeros(outputs), np.ones(outputs)
        y = task.targets[: task.training_rows].reshape(task.training_rows, outputs)
        y = y.astype(np.float64)
        return y.mean(axis=0), scale_of(y)

    @property
    def targets(self) -> Array:
        """What the loss compares the outputs of training rows with: numbers standardised."""
        task, (mean, scale) = self.facts.task, self.target_scale
        y = loss_targets(task, self.shapes[-1])[: task.training_rows]
        return jnp.asarray(
            ((y - mean) / scale).astype(y.dtype) if isinstance(task, Measured) else y
        )

    @property
    def chunk(self) -> int:
        """Rows that an evaluation passes on at a time."""
        return ROWS_AT_ONCE if self.options.network == "mlp" else IMAGES_AT_ONCE

    @cached_property
    def products(self) -> list[Product]:
        """Of every layer."""
        return products_of(self.network, self.shapes)

    def epoch(self, number: int) -> Epoch:
        """The micro-batches of an epoch, numbered from 1."""
        options, rows = self.options, self.facts.task.training_rows
        visits, least = rows * -(-_VISITS // rows), options.least_group
        sizes = options.batch or _GROWING
        size = sizes[min((number - 1) * len(sizes) // options.epochs, len(sizes) - 1)]
        if options.batch is None:
            size = max(min(size, visits // (_STEPS * least)), _SMALLEST)
            size = min(size, rows)
        count = -(-visits // size)
        return Epoch(size, count, groups(count, least))

    def units(self, worker: int) -> str:
        """The layers of a worker."""
        own = self.owned[worker]
        return f"{self.cuts[own[0]].start}–{self.cuts[own[-1]].stop - 1}"

    @property
    def introduction(self) -> str:
        data, options = self.dataset, self.options
        what = f"{data['classes']} classes" if "classes" in data else f"{data['outputs']} outputs"
        owners = ", ".join(map(self.units, range(len(self.owned))))
        sizes = sorted({self.epoch(number).size for number in (1, options.epochs)})
        told = f"{datasets.told(data['provenance'])}\n" if "provenance" in data else ""
        return (
            f"{data['name']}: {data['train']:,} training, {data['val']:,} validation, "
            f"{data['test']:,} test rows of {self.facts.features:,} inputs, {what}\n"
            f"{told}{options.network} of {options.depth} layers of {options.hidden} in "
            f"{len(self.cuts)} subnetworks on {len(self.owned)} workers (layers {owners}); "
            f"{options.epochs} epochs in micro-batches of {' to '.join(map(str, sizes))} rows\n"
        )


def load_share(
    options: StochasticOptions, transport: Transport, data: Any, shapes_only: bool = False
) -> StochasticShare:
    """The data of a run, and the network that fits them; no inputs if it is for shapes only.

    Raises:
        InputError: In every process, if the data cannot be used, or there are more workers than
            subnetworks.
    """
    if transport.size > options.parts:
        raise InputError(
            f"got {transport.size} workers for {options.parts} subnetworks; every worker "
            f"needs at least one: start fewer ranks or raise {spelled('subnetworks')}"
        )
    read = _shapes if shapes_only else _inputs
    facts, inputs = load_at_root(lambda: read(options, data), transport)
    if options.batch is not None and max(options.batch) > facts.task.training_rows:
        raise InputError(
            f"{spelled('batch', max(options.batch))} is larger than the data: "
            f"{facts.task.training_rows} training rows"
        )
    network, shapes = _network(options, facts)
    costs = layer_flops(options, products_of(network, shapes))
    cuts = [range(a, b + 1) for a, b in split_layers(costs, options.parts)]
    shares = [sum(costs[n - 1] for n in own) for own in cuts]
    owned = [range(a - 1, b) for a, b in split_layers(shares, transport.size)]
    if inputs is None:
        return StochasticShare(options, facts, None, None, None, network, shapes, cuts, owned)
    rows, dropped = jax.device_put(inputs[:2], transport.device(0))
    given = rows, dropped, inputs.basis
    return StochasticShare(options, facts, *given, network, shapes, cuts, owned)


def _network(
    options: StochasticOptions, facts: Facts
) -> tuple[list[Affine], list[tuple[int, ...]]]:
    """Layers, with shapes in place of arrays, and the shapes of one row around them.

    Raises:
        InputError: If the rows are no images that the network takes.
    """
    outputs = prod(facts.task.outputs or ())
    if options.network == "mlp":
        shape = widths(facts.columns, options.hidden, outputs, options.layers)
        array: Callable[..., Any] = partial(jax.ShapeDtypeStruct, dtype=options.dtype)
        dense = [Dense(array((n_in, n_out)), array((n_out,))) for n_in, n_out in pairwise(shape)]
        return [*dense], [(width,) for width in shape]
    whole = make_network(options.modules, facts.shape, outputs)
    every = range(len(whole.builders))
    modules = eqx.filter_eval_shape(lambda: build(whole, every, options.seed)).modules
    layers = [each if isinstance(each, Stage) else Dense(each.W, each.b) for each in modules]
    return layers, module_shapes(whole)


def products_of(network: Sequence[Affine], shapes: Sequence[tuple[int, ...]]) -> list[Product]:
    """Of layers that read rows of these shapes."""
    found = []
    for layer, shape in zip(network, shapes, strict=False):
        n_in, n_out = sides(layer)
        dtype = jax.tree.leaves(layer)[0].dtype
        s = jax.eval_shape(affine, layer, jax.ShapeDtypeStruct((1, *shape), dtype))
        found.append(Product(s.size // n_out, n_in, n_out))
    return found


def layer_flops(options: StochasticOptions, products: Sequence[Product]) -> list[float]:
    """Of every layer for a row, W-steps aside: what is shared out over subnetworks and workers."""
    return [
        stochastic_flops(*product, first=not number, factored=1 / options.factor_every)
        for number, product in enumerate(products)
    ]


def dropout_of(options: StochasticOptions, facts: Facts) -> float:
    """The fraction of its inputs that a row loses in training."""
    if options.dropout is not None:
        return options.dropout
    if options.network == "cnn":  # whose weights are few
        return 0.0
    return _FEW_ROWS_DROPOUT if facts.features > facts.task.training_rows else 0.0


def is_graph(options: StochasticOptions, data: Any) -> bool:
    """Whether the rows are nodes: of a name that is both, they are the images."""
    if data is not None:
        return isinstance(data, datasets.Graph)
    return options.dataset not in datasets.IMAGES


def read_data(options: StochasticOptions, data: Any = None) -> Any:
    """The data set that the options name, or the data that are given."""
    return (read_graph if is_graph(options, data) else read_rows)(options, data)


def _inputs(options: StochasticOptions, data: Any) -> tuple[Facts, _Inputs]:
    """Facts and inputs.

    Raises:
        InputError: If the data cannot be used.
        AdmmError: If there is not enough memory for them.
    """
    task: Task
    if is_graph(options, data):
        _check_graph(options)
        of_graph, hops = full_inputs(options, data)
        task, rows = of_graph, hops.rows
    else:
        _check_no_graph(options)
        found, rows = row_inputs(options, data)
        task = found.task
        if options.network == "cnn":
            return Facts(task, prod(found.shape), found.shape), _Inputs(rows, None, None)
        rows = rows.reshape(len(rows), -1)
    given = in_basis(options, rows, task.training_rows)
    facts = Facts(task, rows.shape[1], given.rows.shape[1:])
    needed = given.basis is not None and dropout_of(options, facts) > 0
    dropped = rows[: task.training_rows] if needed else None
    return facts, _Inputs(given.rows, dropped, given.basis)


def _check_graph(options: StochasticOptions) -> None:
    """Refuse numbers as targets where nodes have classes, and networks for images.

    Raises:
        InputError: If loss or network is such.
    """
    if options.network == "cnn":
        raise InputError(
            f"{spelled('network', 'cnn')} is for images; {options.dataset} is a graph: "
            f"leave it out, or name images, such as {spelled('dataset', 'mnist14')}"
        )
    if options.loss != "cross_entropy":
        raise InputError(
            f"{spelled('loss', options.loss)} is for samples with real numbers as targets; "
            f"{options.dataset} has classes: leave it out"
        )


def _check_no_graph(options: StochasticOptions) -> None:
    """Refuse what is for graphs where rows have no edges.

    Raises:
        InputError: If such an option is given.
    """
    for name in ("split", "weights", "features", "hops", "normalize"):
        if getattr(options, name) != getattr(StochasticOptions, name):
            value = spelled(name, getattr(options, name))
            raise InputError(f"{value} is for graphs; {options.dataset} has rows without edges")


def _shapes(options: StochasticOptions, data: Any) -> tuple[Facts, None]:
    """The facts that `_inputs` returns; no input is computed."""
    task: Task
    if is_graph(options, data):
        _check_graph(options)
        graph = read_graph(options, data)
        task = graph_facts(options, graph, np.concatenate(graph.split))
        features = task.features
    else:
        _check_no_graph(options)
        found, _ = row_shapes(options, data)
        task, features = found.task, prod(found.shape)
        if options.network == "cnn":
            return Facts(task, features, found.shape), None
    return Facts(task, features, (basis_columns(task.training_rows, features),)), None
