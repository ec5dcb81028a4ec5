"""Graphs of other packages: networkx as it is, the others by what they offer."""

from types import SimpleNamespace

import jax.numpy as jnp
import networkx
import numpy as np
import pytest
import scipy.sparse as sp

from admm import GAMLPClassifier, options, train
from admm.datasets.objects import adjacency_of, as_graph, held
from admm.errors import InputError

PAIRS = np.array([[0, 1, 1], [1, 2, 0]])
MATRIX = [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


class Tensor:
    """What PyTorch's offer: they are arrays only once they are on the host, without a gradient."""

    def __init__(self, array):
        self._array, self._ready = array, False

    def detach(self):
        return self

    def cpu(self):
        ready = Tensor(self._array)
        ready._ready = True
        return ready

    def __array__(self, dtype=None, copy=None):
        assert self._ready
        return np.asarray(self._array, dtype)


class OfDGL:
    def __init__(self, pairs, nodes, edges):
        self._pairs, self.ndata, self.edata = pairs, nodes, edges

    def edges(self):
        return tuple(self._pairs)


@pytest.mark.parametrize(
    "edges",
    [
        PAIRS,
        PAIRS.tolist(),
        jnp.asarray(PAIRS),
        Tensor(PAIRS),
        sp.csr_matrix(np.array(MATRIX)),
        sp.coo_array(np.array(MATRIX, float)),
        networkx.DiGraph([(0, 1), (1, 2), (1, 0)]),
        SimpleNamespace(edge_index=Tensor(PAIRS)),
        SimpleNamespace(edge_index=PAIRS, edge_weight=None, edge_attr=None),
        OfDGL(PAIRS, {}, {}),
    ],
    ids=lambda edges: type(edges).__name__,
)
def test_edges_in_every_form(edges):
    assert adjacency_of(edges, 3).toarray().tolist() == MATRIX


def test_weights_come_along():
    weighted = networkx.Graph()
    weighted.add_weighted_edges_from([(0, 1, 2.0), (1, 2, 0.5)])
    expected = [[0, 2, 0], [2, 0, 0.5], [0, 0.5, 0]]
    assert adjacency_of(weighted, 3).toarray().tolist() == expected
    both = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])
    weights = np.array([2, 2, 0.5, 0.5])
    for edges in (
        SimpleNamespace(edge_index=both, edge_weight=weights),
        SimpleNamespace(edge_index=both, edge_attr=Tensor(weights[:, None])),
        OfDGL(both, {}, {"weight": weights}),
        OfDGL(both, {}, {"w": weights}),
    ):
        assert adjacency_of(edges, 3).toarray().tolist() == expected


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (networkx.path_graph(4), "edges among 4 nodes"),
        (np.ones((2, 3)), r"got a ndarray of float64 \(2, 3\)"),
        (PAIRS.T, "pass edges.T"),
        (np.array(MATRIX), "pass scipy.sparse.csr_array"),
        ([[0, 1], [2]], "got a list"),
        (None, "got a NoneType"),
        (np.array([[0], [3]]), "edges must be of nodes 0…2, the rows of features, got 0…3"),
        (
            SimpleNamespace(edge_index=PAIRS, edge_attr=np.ones((3, 2))),
            "one weight for each of 3 edges, got .*leave the attributes of edges out",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_edges(edges, message):
    with pytest.raises(InputError, match=message):
        adjacency_of(edges, 3)


def test_dgl_of_several_kinds_of_nodes():
    edges = OfDGL(PAIRS, {}, {})
    edges.ntypes = ["user", "item"]
    with pytest.raises(InputError, match="nodes of one type"):
        adjacency_of(edges, 3)


def test_no_features():
    with pytest.raises(InputError, match="has no node features"):
        held(SimpleNamespace(edge_index=PAIRS))


def test_an_object_with_all_of_it_is_fitted():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x, pairs = rng.normal(size=(40, 4)) + y[:, None], rng.integers(0, 40, (2, 80))
    node = np.arange(40)
    masks = {"train_mask": node < 20, "val_mask": (node >= 20) & (node < 30)}
    masks["test_mask"] = node >= 30
    tensors = {name: Tensor(mask) for name, mask in masks.items()}
    geometric = SimpleNamespace(x=Tensor(x), y=Tensor(y), edge_index=Tensor(pairs), **tensors)
    dgl = OfDGL(pairs, {"feat": x, "label": y, **masks}, {})
    apart = GAMLPClassifier(layers=2, hidden=4, epochs=3, random_state=0)
    expected = apart.fit(x, y, pairs, **masks).predict_proba(x, pairs)
    for data in (geometric, dgl):
        model = GAMLPClassifier(layers=2, hidden=4, epochs=3, random_state=0).fit(data)
        np.testing.assert_array_equal(model.predict_proba(data), expected)
        assert model.history_[-1]["test_accuracy"] == apart.history_[-1]["test_accuracy"]
        assert model.score(data, rows=node >= 30) == apart.score(x, y, edges=pairs, rows=node >= 30)


def test_training_takes_it_for_data():
    rng = np.random.default_rng(0)
    y, node = np.arange(40) % 2, np.arange(40)
    masks = {"train_mask": node < 20, "val_mask": (node >= 20) & (node < 30)}
    several = {name: np.stack([mask, mask[::-1]], axis=1) for name, mask in masks.items()}
    several["test_mask"] = np.stack([node >= 30, node < 10], axis=1)
    data = SimpleNamespace(
        x=rng.normal(size=(40, 4)), y=y, edge_index=rng.integers(0, 40, (2, 80)), **several
    )
    assert as_graph(data, split=1).split.test.tolist() == list(range(10))
    given = options(layers=2, hidden=4, epochs=2)
    assert train(given, data=as_graph(data)).summary["dataset"]["test"] == 10
    with pytest.raises(InputError, match=r"graph has 2 splits, 0…1; got split=2"):
        as_graph(data, split=2)
    with pytest.raises(InputError, match="has no labels"):
        as_graph(SimpleNamespace(x=data.x, edge_index=data.edge_index))
    with pytest.raises(InputError, match="got a ndarray; for arrays there is checked_graph"):
        as_graph(data.x)


def test_a_mask_of_ones_own_leaves_the_others_of_the_object():
    rng = np.random.default_rng(0)
    node, y = np.arange(40), np.arange(40) % 2
    data = SimpleNamespace(
        x=rng.normal(size=(40, 4)),
        y=y,
        edge_index=rng.integers(0, 40, (2, 80)),
        edge_attr=np.ones((80, 3)),
        train_mask=node < 20,
        val_mask=node >= 30,
        test_mask=(node >= 20) & (node < 25),
    )
    model = GAMLPClassifier(layers=2, hidden=4, epochs=2, random_state=0, weights="ignore")
    about = model.fit(data, val_mask=(node >= 25) & (node < 30)).summary_["dataset"]
    assert (about["train"], about["val"], about["test"]) == (20, 5, 5)


def test_nodes_of_networkx_by_their_numbers():
    """Not in the order in which edges have named them."""
    edges = networkx.Graph([(3, 0), (0, 1), (1, 2)])
    rows, columns = adjacency_of(edges, 4).toarray().nonzero()
    pairs = {frozenset(pair) for pair in zip(rows.tolist(), columns.tolist(), strict=True)}
    assert pairs == {frozenset(pair) for pair in edges.edges}
