import numpy as np
import pytest
import scipy.sparse as sp

from admm.datasets import checked_graph, random_split
from admm.errors import InputError


def arrays(nodes=60, features=5, classes=3):
    random = np.random.default_rng(0)
    adjacency = sp.random_array((nodes, nodes), density=0.1, random_state=0, format="csr")
    return {
        "adjacency": adjacency,
        "features": sp.csr_array(random.random((nodes, features))),
        "labels": np.arange(nodes) % classes,
    }


def test_edges_become_symmetric_plain_and_loopless():
    graph = checked_graph("toy", **arrays())
    dense = graph.adjacency.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    assert set(np.unique(dense)) == {0, 1}
    assert not dense.diagonal().any()
    assert graph.edges == int(dense.sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adjacency": sp.csr_array((60, 59))}, r"must be square, got shape \(60, 59\)"),
        ({"features": sp.csr_array((59, 5))}, r"each of 60 nodes, got shape \(59, 5\)"),
        ({"features": sp.csr_array((60, 0))}, r"got shape \(60, 0\)"),
        ({"features": sp.csr_array(np.full((60, 2), np.nan))}, "120 feature values are NaN"),
        ({"features": sp.csr_array(np.full((60, 2), 1j))}, "real numbers, got dtype complex"),
        ({"labels": np.arange(59) % 3}, r"each of 60 nodes, got shape \(59,\)"),
        ({"labels": np.zeros(60, int)}, "at least two classes"),
        ({"labels": np.arange(60) % 3 - 1}, "label -1 is out of range; 3 distinct"),
        ({"labels": np.where(np.arange(60) == 7, 99, np.arange(60) % 3)}, "label 99 is out of"),
        ({"labels": np.arange(60) % 3 + 0.5}, "labels must be integers, got dtype float64"),
        ({"labels": np.full(60, "a")}, "labels must be integers"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        checked_graph("toy", **{**arrays(), **change})


def test_split_is_disjoint_seeded_and_balanced():
    labels = np.arange(5000) % 7
    split = random_split("toy", labels, seed=1)
    assert [len(split.train), len(split.val), len(split.test)] == [140, 1000, 1000]
    assert len(np.unique(np.concatenate([split.train, split.val, split.test]))) == 2140
    np.testing.assert_array_equal(np.bincount(labels[split.train]), 20)
    again, other = (random_split("toy", labels, seed=s) for s in (1, 2))
    np.testing.assert_array_equal(split.test, again.test)
    assert (split.test != other.test).any()


def test_small_classes_give_half_of_their_nodes():
    labels = np.repeat([0, 1], [100, 5])
    split = random_split("toy", labels, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[split.train]), [20, 3])
    assert len(split.test) == len(split.val) == 41


def test_too_few_nodes():
    with pytest.raises(InputError, match="2 nodes are too few"):
        random_split("toy", np.array([0, 1]), seed=0)
