"""Random graphs by name: communities that a partitioner finds, and classes across them.

Every part is a function of the options and the seed. A process makes the parts that it needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from admm.checks import COUNT, NOT_NEGATIVE, PROPORTION, SEED, Check
from admm.datasets.graph import Contents, Graph
from admm.datasets.links import draw_links
from admm.datasets.named import check_options, name_of, options_of_name
from admm.datasets.splits import PARTS, Split, check_number
from admm.errors import InputError
from admm.memory import check_memory

_LOCAL = 8  # ends a node of links within communities
_EXPONENT = -1 / 1.5

# What an adjacency takes while it is made, and features beside their sparse form.
_EDGE_BYTES, _FEATURE_BYTES = 16, 12

_BLOCK = 2**10  # nodes whose features are drawn together

# What is drawn, as a part of the seed: streams do not overlap.
_NODES, _LOCAL_LINKS, _OTHER_LINKS, _MEANS, _FEATURES = range(5)

_CHECKS = {
    "nodes": COUNT,
    "communities": COUNT,
    "classes": Check("at least 2", lambda value: value >= 2, Integral),
    "features": COUNT,
    "anywhere": NOT_NEGATIVE,
    "train": PROPORTION,
    "val": PROPORTION,
    "seed": SEED,
}


class Rows(NamedTuple):
    """What the model says of some nodes.

    Attributes:
        features: Shape (rows, d), float32.
        labels: Shape (rows,), int64, classes 0…C−1.
        parts: Shape (rows,), int8: 0 for training, 1 for validation, 2 for the test.
    """

    features: np.ndarray
    labels: np.ndarray
    parts: np.ndarray


class _Drawn(NamedTuple):
    """What is drawn of every node, (nodes,): 21 bytes for each."""

    labels: np.ndarray
    communities: np.ndarray
    parts: np.ndarray
    weights: np.ndarray  # θ: the expected degree is proportional to it


def is_generated(name: str) -> bool:
    """Whether a data set's name is that of a model, maybe with options.

    Example:
        >>> is_generated("sbm:nodes=500"), is_generated("digits")
        (True, False)
    """
    return name.partition(":")[0] == "sbm"


def identifying(graph: Graph) -> tuple[sp.csr_array, sp.csr_array, np.ndarray]:
    """What the fingerprint of a graph is made of: adjacency, features and labels.

    The features of a generated graph's first nodes stand for all, so that its outline has the
    fingerprint of the whole.

    Example:
        >>> adjacency, features, labels = identifying(SBM(nodes=2000).outline())
        >>> adjacency.shape, features.shape, labels.shape
        ((2000, 2000), (1024, 32), (2000,))
    """
    features = graph.features[:_BLOCK] if is_generated(graph.name) else graph.features
    return graph.adjacency, features, graph.labels


@dataclass(frozen=True)
class SBM:
    """A degree-corrected stochastic block model whose cut edges carry the classes.

    With n nodes, u uniform in [0, 1) and every end of a link drawn with probability ∝ θ:

        θ_v = min((1 − u_v)^(−1/1.5), √n)
        8n/2 links: both ends in a community, with probability .3 the second in the first's class
        anywhere·n/2 links: with probability .8 the second in the first's class, else any node
        x_v = mean of the class, of unit length, + N(0, I)

    Links of a node with itself and repeated links are dropped. Communities and classes are
    independent of each other. The sizes of classes differ by one node at most, as do those of
    communities.

    Args:
        nodes: n.
        communities: By default one for 75 nodes, at least 1 and at most 400.
        classes: C.
        features: d, columns.
        anywhere: Ends a node of links that ignore communities, 0 and fractions too; the more, the
            larger a cut.
        train: Fraction of the nodes for training.
        val: Fraction for validation; the rest is the test.
        seed: Of everything.

    Raises:
        InputError: If an option is out of range, or there are too few nodes for the others.

    Example:
        >>> model = SBM(nodes=500, seed=3)
        >>> model.name, model.adjacency().shape
        ('sbm:nodes=500,seed=3', (500, 500))
        >>> model.rows(np.array([499, 0])).features.shape
        (2, 32)

    The model is that of Karrer and Newman, arXiv 1008.3927, with θ of a power law; the two kinds
    of links are ours.
    """

    nodes: int = 3000
    communities: int | None = None
    classes: int = 10
    features: int = 32
    anywhere: float = 6
    train: float = 0.2
    val: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _CHECKS}
        if self.communities is None:
            del given["communities"]
        check_options("sbm", given, _CHECKS)
        if (ends := self.nodes * (_LOCAL + self.anywhere)) >= 2**31:
            raise InputError(
                f"{self.name}: nodes·({_LOCAL} + anywhere), the directed edges, must be below 2³¹, "
                f"got {ends:,.0f}; lower nodes or anywhere"
            )
        if self.community_count > self.nodes:
            raise InputError(
                f"{self.name}: {self.communities:,} communities are more than the nodes; lower "
                "communities or raise nodes"
            )
        if self.train + self.val >= 1:
            raise InputError(
                f"{self.name}: train {self.train} and val {self.val} leave no nodes for the test; "
                "their sum must be below 1"
            )
        train, val, test = self._sizes
        if train < self.classes or not val or not test:
            raise InputError(
                f"{self.name}: expected a training node for each of {self.classes} classes, and "
                f"nodes for validation and test, got {train}, {val} and {test}; raise nodes or "
                "change train and val"
            )

    @classmethod
    def of_name(cls, name: str) -> Self:
        """The model that a data set's name says: `sbm`, or `sbm:` and options as `nodes=500`.

        Raises:
            InputError: If an option is unknown, given twice, no number, or out of range.

        Example:
            >>> SBM.of_name("sbm:classes=4,train=.5") == SBM(classes=4, train=0.5)
            True
        """
        given = options_of_name(name, _CHECKS, "nodes=3000,seed=0")
        return cls(**given)  # type: ignore[arg-type]  # whole numbers are int

    @property
    def name(self) -> str:
        """The name that `load` knows it by: nodes, seed, and what is not as by default."""
        return name_of(self, "sbm", always=("nodes", "seed"))

    @property
    def community_count(self) -> int:
        return self.communities or min(max(1, self.nodes // 75), 400)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Of the three parts of the split."""
        train, val = round(self.train * self.nodes), round(self.val * self.nodes)
        return train, val, self.nodes - train - val

    def rows(self, nodes: np.ndarray) -> Rows:
        """Features, labels and parts of the split of some nodes.

        Args:
            nodes: Shape (rows,), whole numbers in 0…n−1, in any order. Only features of the blocks
                of 1,024 nodes that they touch are drawn, a block at a time.
        """
        drawn = self._drawn()
        labels = drawn.labels[nodes].astype(np.int64)
        means = self._random(_MEANS).standard_normal((self.classes, self.features))
        means /= np.sqrt((means**2).sum(axis=1, keepdims=True))
        features = means.astype(np.float32)[labels]
        order = np.argsort(nodes, kind="stable")
        blocks, starts = np.unique(nodes[order] // _BLOCK, return_index=True)
        for block, here in zip(blocks.tolist(), np.split(order, starts[1:]), strict=False):
            random = self._random(_FEATURES, block)
            noise = random.standard_normal((_BLOCK, self.features), np.float32)
            features[here] += noise[nodes[here] % _BLOCK]
        return Rows(features, labels, drawn.parts[nodes])

    def links(self) -> Iterator[np.ndarray]:
        """The links in chunks, (2, at most 65,536), int32; a pair may be there again, or turned.

        Example:
            >>> sum(chunk.shape[1] for chunk in SBM(nodes=1000).links())
            7000
        """
        labels, communities, _, weights = self._drawn()
        for stream, ends, groups, own_class in (
            (_LOCAL_LINKS, _LOCAL, communities, 0.3),
            (_OTHER_LINKS, self.anywhere, np.zeros_like(communities), 0.8),
        ):
            count, seed = int(ends * self.nodes / 2), (stream, self.seed)
            yield from draw_links(seed, count, weights, groups, labels, own_class)

    def adjacency(self) -> sp.csr_array:
        """Shape (nodes, nodes), symmetric, no self-loops: ones of float32, indices int32.

        Raises:
            AdmmError: If there is not enough memory.
        """
        needed = int(_EDGE_BYTES * self.nodes * (_LOCAL + self.anywhere))
        check_memory(needed, f"the edges of {self.name}", advice="lower nodes or anywhere")
        ends = np.concatenate([chunk[:, chunk[0] != chunk[1]] for chunk in self.links()], axis=1)
        ends.sort(axis=0)
        shape = (self.nodes, self.nodes)
        upper = sp.csr_array((np.ones(ends.shape[1], np.int8), tuple(ends)), shape=shape)
        del ends
        upper.data[:] = 1  # not how often a pair was drawn
        return sp.csr_array(upper + upper.T).astype(np.float32)

    def contents(self, number: int = 0) -> Contents:
        """All of the graph, for `graph_of`.

        Raises:
            InputError: If there is no split of this number.
            AdmmError: If there is not enough memory.
        """
        check_number(self.name, number, 1)
        needed = _FEATURE_BYTES * self.nodes * self.features
        check_memory(needed, f"the features of {self.name}", advice="lower nodes or features")
        rows = self.rows(np.arange(self.nodes))
        split, features = _split_of(rows.parts), sp.csr_array(rows.features)
        return Contents(self.adjacency(), features, rows.labels, split, provenance=self._told)

    def outline(self, number: int = 0) -> Graph:
        """The graph with features of the first nodes alone: `rows` has those of any others.

        Raises:
            InputError: If there is no split of this number.
            AdmmError: If there is not enough memory.
        """
        check_number(self.name, number, 1)
        drawn, adjacency = self._drawn(), self.adjacency()
        features = sp.csr_array(self.rows(np.arange(min(_BLOCK, self.nodes))).features)
        features.resize(self.nodes, self.features)
        direction = "undirected" if adjacency.nnz else "no edges"
        provenance = {"weights": "none", "direction": direction, **self._told}
        labels, split = drawn.labels.astype(np.int64), _split_of(drawn.parts)
        return Graph(self.name, adjacency, features, labels, split, provenance=provenance)

    @property
    def _told(self) -> dict[str, str]:
        """What provenance says of the model."""
        words = f"random, {self.train:g} of the nodes for training, {self.val:g} for validation"
        model = f"degree-corrected stochastic block model, {self.community_count} communities"
        return {"split": words, "generator": model}

    def _random(self, stream: int, number: int = 0) -> np.random.Generator:
        return np.random.default_rng((number, stream, self.seed))

    def _drawn(self) -> _Drawn:
        random, nodes = self._random(_NODES), np.arange(self.nodes, dtype=np.int32)
        labels = random.permutation(nodes % self.classes)
        communities = random.permutation(nodes % self.community_count)
        parts = random.permutation(np.repeat(np.arange(len(PARTS), dtype=np.int8), self._sizes))
        weights = np.minimum((1 - random.random(self.nodes)) ** _EXPONENT, np.sqrt(self.nodes))
        return _Drawn(labels, communities, parts, weights)


def _split_of(parts: np.ndarray) -> Split:
    return Split(*(np.flatnonzero(parts == part) for part in range(len(PARTS))))
