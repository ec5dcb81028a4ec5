"""The graph in parts: every process has its own, with what their layers read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from admm import datasets
from admm.comm import Transport
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
        part: Nodes, operator, and who needs what.
        own: Of own nodes.
        halo: Of the halo, where its rows are computed by this part.
        classes: Of own nodes; 0 where there is none.
        training: Own training nodes.
        induced: S among own nodes and halo, in this order, where a predictor reads it.
    """

    part: Part
    own: Inputs
    halo: Inputs | None
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
    """A graph at the root, about to be dealt out."""

    def __init__(self, options: PartitionOptions, graph: datasets.Graph, parts: int) -> None:
        self._options, self._graph = options, graph
        try:
            self.found: Partition = partition(
                graph.adjacency, parts, options.partition, options.seed
            )
        except ValueError as error:
            raise InputError(f"{graph.name}: {error}") from error
        adjacency = graph.adjacency
        if options.halo == "drop":
            adjacency = drop_cut(adjacency, self.found.owner)
        S = propagation(adjacency, options.network, options.dtype)
        self.parts = list(split_graph(S, self.found.owner, parts))
        self._induced: list[sp.csr_array] = []
        if options.predictor == "lstm-gcn":
            nodes = [np.concatenate([part.own, part.halo]) for part in self.parts]
            self._induced = [S[each][:, each] for each in nodes]
        features = graph.features.astype(options.dtype)
        self._inputs = _stored(S @ features), _stored(features)
        if not np.isfinite(_values(self._inputs[0])).all():
            raise InputError(
                f"{graph.name}: the features overflow {spelled('dtype', options.dtype)}; scale "
                "them down"
            )
        self._training = np.zeros(graph.nodes, bool)
        self._training[graph.split.train] = True

    def plan(self, owned: Sequence[range]) -> Plan:
        """Who needs what, and the sizes that all parts have in common."""
        parts = len(self.parts)
        counts = np.zeros((parts, parts), int)
        for number, part in enumerate(self.parts):
            for other, rows in part.sends.items():
                counts[number, other] = len(rows)
        return Plan(
            owned,
            self.found.owner,
            counts,
            own=max(len(part.own) for part in self.parts),
            halo=max(1, *counts.sum(axis=0).tolist()),
            inner=max(part.inner.nnz for part in self.parts),
            outer=max(part.outer.nnz for part in self.parts),
            induced=max((each.nnz for each in self._induced), default=0),
            inputs=max(_values(self._inputs[0][part.own]).size for part in self.parts),
            how=self.found.how,
            cut=self.found.cut,
        )

    def piece(self, number: int) -> Piece:
        """A part with what it needs of others."""
        part = self.parts[number]
        halo = self._of(part.halo) if self._options.halo == "refresh" else None
        classes = np.maximum(self._graph.labels[part.own], 0).astype(np.int32)
        induced = self._induced[number] if self._induced else None
        return Piece(part, self._of(part.own), halo, classes, self._training[part.own], induced)

    def _of(self, nodes: np.ndarray) -> Inputs:
        p, x = self._inputs
        return Inputs(p[nodes], x[nodes] if self._options.network == "sage" else None)


def _stored(matrix: sp.csr_array) -> Matrix:
    dense = matrix.nnz >= _SPARSE * np.prod(matrix.shape)
    return matrix.toarray() if dense else sp.csr_array(matrix)


def _values(matrix: Matrix) -> np.ndarray:
    return matrix if isinstance(matrix, np.ndarray) else matrix.data


def load_share(
    options: PartitionOptions, transport: Transport, data: Any = None, parts: int | None = None
) -> PartitionShare:
    """The graph of a run, cut into parts: the root reads it, and deals out the parts.

    Args:
        options: Of the run.
        transport: Of its workers.
        data: The graph, in place of a name.
        parts: In place of those of the options.

    Raises:
        InputError: In every process, if the graph cannot be read or cut, or there are more workers
            than parts.
    """
    parts = options.parts if parts is None else parts
    if transport.size > parts:
        raise InputError(
            f"got {transport.size} workers for {parts} parts; every worker needs at least one: "
            f"start fewer ranks or raise {spelled('parts')}"
        )
    owned = [range(a - 1, b) for a, b in split_layers([1] * parts, transport.size)]
    cuts: list[_Cut] = []

    def read() -> tuple[Facts, Plan]:
        graph = read_graph(options, data)
        with memory_told(f"the parts of {graph.name}", options):
            cuts.append(_Cut(options, graph, parts))
        return graph_facts(graph), cuts[0].plan(owned)

    facts, plan = transport.at_root(read)
    dealt = transport.deal(lambda worker: {n: cuts[0].piece(n) for n in owned[worker]})
    pieces = {number: piece for own in dealt for number, piece in own.items()}
    hidden = [options.hidden] * (options.layers - 1)
    widths = [facts.dataset["features"], *hidden, facts.classes]
    return PartitionShare(options, facts, plan, pieces, widths)


def graph_facts(graph: datasets.Graph) -> Facts:
    """The facts of the labelled nodes of a graph."""
    counts = {"nodes": graph.nodes, "edges": graph.edges, "features": graph.features.shape[1]}
    counts["classes"] = graph.classes
    contents = (graph.adjacency, graph.features, graph.labels)
    rows = np.concatenate(graph.split)
    dataset = description(graph, counts, contents, graph.class_names)
    return Facts(dataset, graph.labels[rows], tuple(map(len, graph.split)), rows)
