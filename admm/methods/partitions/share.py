"""The graph in parts: every process has its own, with what their layers read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from admm import datasets
from admm.comm import Transport
from admm.datasets import SBM, is_generated
from admm.errors import InputError, spelled
from admm.memory import memory_told
from admm.methods.labelled import Labelled, description, read_graph
from admm.methods.partitions.exchange import Plan
from admm.methods.partitions.options import PartitionOptions
from layers import Part, Partition, drop_cut, partition, propagation, split_graph, split_layers

# Columns are kept sparse where fewer than this fraction of their values are not 0.
_SPARSE = 0.1

Matrix: TypeAlias = np.ndarray | sp.csr_array


@dataclass(frozen=True)
class Facts(Labelled):
    """What every process knows of a graph.

    Attributes:
        rows: Node of every target.
    """

    rows: np.ndarray

    @property
    def nodes(self) -> int:
        return int(self.dataset["nodes"])


class Inputs(NamedTuple):
    """What the first layer reads of some nodes: S X, and X where it reads that."""

    p: Matrix
    x: Matrix | None


class Piece(NamedTuple):
    """One part, as it is dealt out.

    Attributes:
        part: Nodes, operator of the whole graph, and who needs what.
        own: Of own nodes.
        halo: Of the halo, where its rows are computed by this part.
        alone: Operator on own nodes and inputs without the cut edges, where training drops them.
        classes: Of own nodes; 0 where there is none.
        training: Own training nodes.
        induced: S among own nodes and halo, in this order, where a predictor reads it.
    """

    part: Part
    own: Inputs
    halo: Inputs | None
    alone: tuple[sp.csr_array, Inputs] | None
    classes: np.ndarray
    training: np.ndarray
    induced: sp.csr_array | None


@dataclass(frozen=True)
class PartitionShare:
    """What a process has of a graph.

    Attributes:
        options: Of the run.
        facts: Of the data.
        plan: Who owns which parts.
        pieces: Those of the workers of this process, by number.
        widths: n_0…n_L.
    """

    options: PartitionOptions
    facts: Facts
    plan: Plan
    pieces: Mapping[int, Piece]
    widths: Sequence[int]

    @property
    def dataset(self) -> dict[str, Any]:
        return self.facts.dataset

    def units(self, worker: int) -> str:
        """The parts of a worker, from 1."""
        own = self.plan.owned[worker]
        return f"{own.start + 1}–{own.stop}"

    @property
    def introduction(self) -> str:
        data, options, plan = self.dataset, self.options, self.plan
        return (
            f"{data['name']}: {data['nodes']:,} nodes, {data['edges']:,} directed edges, "
            f"{data['features']:,} features, {data['classes']} classes; {data['train']} training, "
            f"{data['val']} validation, {data['test']} test nodes\n"
            f"{datasets.told(data['provenance'])}\n"
            f"{options.network} of {options.layers} layers of {options.hidden}; {plan.parts} parts "
            f"by {plan.how} on {len(plan.owned)} workers, {plan.cut:.0%} of the edges cut, "
            f"{plan.counts.sum() / data['nodes']:.2f} halo rows a node; halo {options.halo}\n"
        )


class _Cut:
    """A graph cut into parts, where it has been read.

    Args:
        options: Of the run.
        graph: The graph; its features do not count.
        features: Those of some nodes.
        found: The parts.
    """

    def __init__(
        self,
        options: PartitionOptions,
        graph: datasets.Graph,
        features: Callable[[np.ndarray], sp.csr_array],
        found: Partition,
    ) -> None:
        self._options, self._graph, self._features, self._found = options, graph, features, found
        owner, parts = found.owner, int(found.owner.max()) + 1
        self._S = propagation(graph.adjacency, options.network, options.dtype)
        self.parts = list(split_graph(self._S, owner, parts))
        self._alone: sp.csr_array | None = None
        if options.halo == "drop":
            alone = drop_cut(graph.adjacency, owner)
            self._alone = propagation(alone, options.network, options.dtype)
        self._induced: list[sp.csr_array] = []
        if options.predictor == "lstm-gcn":
            nodes = [np.concatenate([part.own, part.halo]) for part in self.parts]
            self._induced = [self._S[each][:, each] for each in nodes]
        self._training = np.zeros(graph.nodes, bool)
        self._training[graph.split.train] = True

    def plan(self, owned: Sequence[range], values: np.ndarray) -> Plan:
        """Who needs what, and the sizes that all parts have in common.

        Args:
            owned: Parts of every worker.
            values: How many features of every node are stored.
        """
        parts = len(self.parts)
        counts = np.zeros((parts, parts), int)
        for number, part in enumerate(self.parts):
            for other, rows in part.sends.items():
                counts[number, other] = len(rows)
        return Plan(
            owned,
            self._found.owner,
            counts,
            own=max(len(part.own) for part in self.parts),
            halo=max(1, *counts.sum(axis=0).tolist()),
            copies=max(1, *counts.sum(axis=1).tolist()),
            inner=max(part.inner.nnz for part in self.parts),
            outer=max(part.outer.nnz for part in self.parts),
            induced=max((each.nnz for each in self._induced), default=0),
            inputs=min(
                max(len(part.own) for part in self.parts) * self._graph.features.shape[1],
                max(int(values[self._S[part.own].indices].sum()) for part in self.parts),
            ),
            how=self._found.how,
            cut=self._found.cut,
        )

    def piece(self, number: int) -> Piece:
        """A part with what it needs of others.

        Raises:
            InputError: If products of the features are not finite.
        """
        part = self.parts[number]
        own = self._inputs(self._S, part.own)
        halo = self._inputs(self._S, part.halo) if self._options.halo == "refresh" else None
        alone = None
        if self._alone is not None:
            inner = self._alone[part.own][:, part.own]
            alone = inner, self._inputs(self._alone, part.own)
        classes = np.maximum(self._graph.labels[part.own], 0).astype(np.int32)
        induced = self._induced[number] if self._induced else None
        return Piece(part, own, halo, alone, classes, self._training[part.own], induced)

    def _inputs(self, S: sp.csr_array, nodes: np.ndarray) -> Inputs:
        """Of the rows that they need of the features, and no others."""
        rows = S[nodes]
        needed, columns = np.unique(rows.indices, return_inverse=True)
        shape = (len(nodes), len(needed))
        rows = sp.csr_array((rows.data, columns.astype(np.int32), rows.indptr), shape=shape)
        dtype = self._options.dtype
        with np.errstate(over="ignore"):  # it is told below
            p = _stored(rows @ self._features(needed).astype(dtype))
        if not np.isfinite(_values(p)).all():
            raise InputError(
                f"{self._graph.name}: the features overflow {spelled('dtype', dtype)}; scale them "
                "down"
            )
        is_read = self._options.network == "sage"
        return Inputs(p, _stored(self._features(nodes).astype(dtype)) if is_read else None)


def _stored(matrix: sp.csr_array) -> Matrix:
    dense = matrix.nnz >= _SPARSE * np.prod(matrix.shape)
    return matrix.toarray() if dense else sp.csr_array(matrix)


def _values(matrix: Matrix) -> np.ndarray:
    return matrix if isinstance(matrix, np.ndarray) else matrix.data


def load_share(
    options: PartitionOptions, transport: Transport, data: Any = None, parts: int | None = None
) -> PartitionShare:
    """The graph of a run, cut into parts, of which each process gets its own.

    A generated graph is made where it is needed. Any other is read at the root, which sends every
    process its parts.

    Args:
        options: Of the run.
        transport: Of its workers.
        data: The graph, in place of a name.
        parts: In place of those of the options.

    Raises:
        InputError: In every process, if the graph cannot be read or cut, there are more workers
            than parts, or an optimiser of one's own is missing.
    """
    options.check_given("optimizer")
    parts = options.parts if parts is None else parts
    if transport.size > parts:
        raise InputError(
            f"got {transport.size} workers for {parts} parts; every worker needs at least one: "
            f"start fewer ranks or raise {spelled('parts')}"
        )
    owned = [range(a - 1, b) for a, b in split_layers([1] * parts, transport.size)]
    if data is None and options.features is None and is_generated(options.dataset):
        facts, plan, pieces = _generate(options, transport, parts, owned)
    else:
        facts, plan, pieces = _deal(options, transport, data, parts, owned)
    hidden = [options.hidden] * (options.layers - 1)
    widths = [facts.dataset["features"], *hidden, facts.classes]
    return PartitionShare(options, facts, plan, pieces, widths)


_Dealt = tuple[Facts, Plan, dict[int, Piece]]


def _deal(
    options: PartitionOptions, transport: Transport, data: Any, parts: int, owned: list[range]
) -> _Dealt:
    """The root reads the graph, and deals out the parts."""
    cuts: list[_Cut] = []

    def read() -> tuple[Facts, Plan]:
        graph = read_graph(options, data)
        features = graph.features
        with memory_told(f"the parts of {graph.name}", options):
            found = _found(options, graph, parts)
            cuts.append(_Cut(options, graph, features.__getitem__, found))
        return graph_facts(graph), cuts[0].plan(owned, np.diff(features.indptr))

    facts, plan = transport.at_root(read)
    dealt = transport.deal(lambda worker: {n: cuts[0].piece(n) for n in owned[worker]})
    return facts, plan, {number: piece for own in dealt for number, piece in own.items()}


def _generate(
    options: PartitionOptions, transport: Transport, parts: int, owned: list[range]
) -> _Dealt:
    """Every process makes the edges, and features only of its own parts and their neighbours."""
    model = transport.agreed(lambda: SBM.of_name(options.dataset))

    def make() -> tuple[Facts, _Cut]:
        with memory_told(f"the parts of {graph.name}", options):
            cut = _Cut(
                options, graph, lambda nodes: sp.csr_array(model.rows(nodes).features), found
            )
        return graph_facts(graph), cut

    graph = transport.agreed(lambda: options.with_first_rows(model.outline(options.split)))
    found = transport.at_root(lambda: _found(options, graph, parts))
    facts, cut = transport.agreed(make)
    numbers = [number for worker in transport.local for number in owned[worker]]
    pieces = transport.agreed(lambda: {number: cut.piece(number) for number in numbers})
    return facts, cut.plan(owned, np.full(graph.nodes, model.features)), pieces


def _found(options: PartitionOptions, graph: datasets.Graph, parts: int) -> Partition:
    """The parts.

    Raises:
        InputError: If there cannot be so many, or nothing finds them.
    """
    try:
        return partition(graph.adjacency, parts, options.partition, options.seed)
    except ValueError as error:
        raise InputError(f"{graph.name}: {error}") from error


def graph_facts(graph: datasets.Graph) -> Facts:
    """The facts of the labelled nodes of a graph."""
    counts = {"nodes": graph.nodes, "edges": graph.edges, "features": graph.features.shape[1]}
    counts["classes"] = graph.classes
    rows = np.concatenate(graph.split)
    dataset = description(graph, counts, datasets.identifying(graph), graph.class_names)
    return Facts(dataset, graph.labels[rows], tuple(map(len, graph.split)), rows)
