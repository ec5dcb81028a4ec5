import numpy as np
import pytest
import scipy.sparse as sp

from admm.datasets import Split, checked_graph, random_split, split_of_masks
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
    graph = checked_graph("toy", **arrays(), weights="ignore")
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
        ({"labels": np.zeros(60, int)}, r"at least two classes, got the labels \[0\]"),
        ({"labels": np.arange(60) % 3 - 2}, "label -2 is out of range; expected classes from 0"),
        ({"labels": np.full(60, -1)}, r"at least two classes, got the labels \[\]"),
        ({"labels": np.arange(60) % 3 + 0.5}, "labels must be whole numbers, got 0.5 at node 0"),
        ({"labels": np.arange(60) * 1j}, "truth values or text, got complex128"),
        ({"labels": np.full(60, "a")}, r"at least two classes, got the labels \['a'\]"),
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


# Nodes without a label.


def test_nodes_without_a_label_stay_in_the_graph():
    """They count, have edges and features, and are in no part of a random split."""
    given = arrays(nodes=90)
    given["labels"][::3] = -1  # none is left of class 0
    given["labels"] -= given["labels"] > 0
    graph, whole = checked_graph("toy", **given), checked_graph("toy", **arrays(nodes=90))
    assert (graph.nodes, graph.edges, graph.classes) == (90, whole.edges, 2)
    assert (graph.adjacency != whole.adjacency).nnz == 0
    assert (graph.features != whole.features).nnz == 0
    np.testing.assert_array_equal(graph.labels, given["labels"])
    parts = [graph.split.train, graph.split.val, graph.split.test]
    every = np.concatenate(parts)
    assert sorted(every) == np.flatnonzero(graph.labels >= 0).tolist()
    assert list(map(len, parts)) == [30, 15, 15]


def test_the_split_of_labelled_nodes_does_not_change_without_others():
    """In random order 20 of each class train; then as many are for tests as for validation."""
    split = random_split("toy", np.arange(300) % 3, seed=0)
    order = np.random.default_rng(0).permutation(300)
    train = np.concatenate([order[order % 3 == label][:20] for label in range(3)])
    rest = order[~np.isin(order, train)]
    np.testing.assert_array_equal(split.train, np.sort(train))
    np.testing.assert_array_equal(split.test, np.sort(rest[:120]))
    np.testing.assert_array_equal(split.val, np.sort(rest[120:]))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("train", "toy: 2 of the training nodes have no label, node 4 the first"),
        ("val", "toy: 2 of the validation nodes have no label, node 4 the first"),
        ("test", "toy: 2 of the test nodes have no label, node 4 the first"),
    ],
)
def test_a_split_names_no_node_without_a_label(part, message):
    given = arrays()
    given["labels"][[4, 7, 50]] = -1
    parts = {"train": np.arange(8, 20), "val": np.arange(20, 30), "test": np.arange(30, 40)}
    parts[part] = np.array([3, 4, 5, 7])
    with pytest.raises(InputError, match=message):
        checked_graph("toy", **given, split=Split(**parts))


def test_too_few_labelled_nodes():
    labels = np.full(100, -1)
    labels[:2] = [0, 1]
    with pytest.raises(InputError, match="2 nodes are too few"):
        random_split("toy", labels, seed=0)


# Rows without a graph.


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i8", "u1", "?"])
def test_rows_are_nodes_without_edges(kind):
    """Dense features of any numbers, as they are."""
    rows = (7 * np.random.default_rng(0).random((60, 4))).astype(kind)
    graph = checked_graph("toy", None, rows, np.arange(60) % 3)
    assert (graph.nodes, graph.edges, graph.classes) == (60, 0, 3)
    assert graph.adjacency.shape == (60, 60)
    np.testing.assert_array_equal(graph.features.toarray(), rows)
    assert sorted(np.concatenate(graph.split)) == list(range(60))


def test_dense_features_are_those_of_a_sparse_matrix():
    given = arrays()
    sparse = checked_graph("toy", **given)
    dense = checked_graph("toy", **{**given, "features": given["features"].toarray()})
    assert (sparse.features != dense.features).nnz == 0
    assert (sparse.adjacency != dense.adjacency).nnz == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones(60), r"one row of features for each of 60 nodes, got shape \(60,\)"),
        (np.ones((60, 3, 2)), r"one row of features for each of 60 nodes, got shape \(60, 3, 2\)"),
        (np.ones((60, 0)), r"one row of features for each of 60 nodes, got shape \(60, 0\)"),
        (np.ones((59, 2)), r"one row of features for each of 60 nodes, got shape \(59, 2\)"),
        (np.full((60, 2), np.nan), "120 feature values are NaN or infinite; clean them first"),
        (np.full((60, 2), -np.inf), "120 feature values are NaN or infinite; clean them first"),
        (np.full((60, 2), 1j), "features must be real numbers, got dtype complex128"),
        (np.full((60, 2), None), "features must be real numbers, got dtype object"),
        (np.full((60, 2), "a"), "features must be real numbers, got dtype <U1"),
    ],
    ids=["one", "three", "none", "rows", "nan", "infinite", "complex", "object", "text"],
)
def test_rows_that_are_refused(rows, message):
    with pytest.raises(InputError, match=f"^toy: .*{message}"):
        checked_graph("toy", None, rows, np.arange(60) % 3)


# Splits of one's own.

PARTS = Split(np.arange(30), np.arange(30, 45), np.arange(45, 60))


def test_a_split_of_ones_own_is_kept():
    split = checked_graph("toy", **arrays(), split=PARTS).split
    for part, expected in zip(split, PARTS, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": np.arange(29, 45)}, "1 nodes are in the split more than once, node 29 the first"),
        ({"test": np.arange(45, 61)}, "expected test nodes in 0…59, got 45…60"),
        ({"test": np.arange(-1, 9)}, "expected test nodes in 0…59, got -1…8"),
        ({"train": np.array([], int)}, "there are no training nodes"),
        ({"val": np.arange(60) > 50}, r"numbers of validation nodes, got bool of shape \(60,\)"),
        ({"val": np.array([[50]])}, r"numbers of validation nodes, got int64 of shape \(1, 1\)"),
        ({"test": np.array([50.0])}, r"numbers of test nodes, got float64 of shape \(1,\)"),
    ],
    ids=["meet", "beyond", "below", "empty", "mask", "matrix", "fraction"],
)
def test_splits_that_are_refused(changes, message):
    with pytest.raises(InputError, match=f"^toy: .*{message}|^toy: {message}"):
        checked_graph("toy", **arrays(), split=PARTS._replace(**changes))


def test_masks_make_a_split():
    node = np.arange(60)
    split = split_of_masks(node < 30, (node >= 30) & (node < 45), node >= 45)
    for part, expected in zip(split, PARTS, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ((np.arange(60) < 30, np.arange(60) < 1, np.arange(60) > 50), "node 0 the first"),
        ((np.arange(60) < 30, np.arange(60) > 99, np.arange(60) > 50), "no validation nodes"),
        (
            (np.arange(60) < 30, np.arange(60) == 40, np.arange(70) > 50),
            r"one of each node, got .*bool \(70,\)",
        ),
        (([0, 1], [2], [3]), "expected three masks of bool, one of each node, got int64"),
    ],
    ids=["meet", "empty", "longer", "numbers"],
)
def test_masks_that_make_none(masks, message):
    with pytest.raises(InputError, match=message):
        checked_graph("toy", **arrays(), split=split_of_masks(*masks))
