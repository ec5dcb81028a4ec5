import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, strategies as st

from admm.datasets import load
from layers import drop_cut, normalized_adjacency, partition, propagation, split_graph


def random_graph(nodes, edges, seed=0):
    """A symmetric graph with weights, without self-loops; sparse ones have isolated nodes."""
    random = np.random.default_rng(seed)
    ends = random.integers(0, nodes, (2, edges))
    ends = ends[:, ends[0] != ends[1]]
    weights = random.uniform(0.5, 2, ends.shape[1])
    upper = sp.coo_array((weights, (ends.min(axis=0), ends.max(axis=0))), shape=(nodes, nodes))
    return sp.csr_array(upper + upper.T)


@st.composite
def cut_graphs(draw):
    """A graph and owners of its nodes: parts may be empty and nodes isolated."""
    nodes, parts = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    adjacency = random_graph(nodes, draw(st.integers(0, 20)), draw(st.integers(0, 99)))
    owner = draw(st.lists(st.integers(0, parts - 1), min_size=nodes, max_size=nodes))
    return adjacency, np.array(owner, np.int32), parts


@pytest.fixture
def pymetis():
    return pytest.importorskip("pymetis")


@pytest.fixture(params=["metis", "bfs", "random"])
def how(request):
    if request.param == "metis":
        request.getfixturevalue("pymetis")
    return request.param


@given(cut_graphs(), st.sampled_from(["gcn", "sage"]))
def test_pieces_together_are_the_whole_product(graph, network):
    adjacency, owner, parts = graph
    S = propagation(adjacency, network, np.float64)
    H = np.random.default_rng(0).normal(size=(len(owner), 3))
    found = np.full_like(H, np.nan)
    for part in split_graph(S, owner, parts):
        found[part.own] = part.inner @ H[part.own] + part.outer @ H[part.halo]
    np.testing.assert_allclose(found, S @ H, rtol=1e-12, atol=1e-14)


@given(cut_graphs(), st.sampled_from(["gcn", "sage"]))
def test_what_one_part_sends_is_what_the_other_receives(graph, network):
    adjacency, owner, parts = graph
    pieces = list(split_graph(propagation(adjacency, network), owner, parts))
    assert len(pieces) == parts
    for number, part in enumerate(pieces):
        np.testing.assert_array_equal(part.own, np.flatnonzero(owner == number))
        np.testing.assert_array_equal(part.halo, sorted(part.halo, key=lambda v: (owner[v], v)))
        neighbours = adjacency[part.own].nonzero()[1]
        assert set(part.halo) == set(neighbours) - set(part.own)
        assert part.sends.keys() == part.receives.keys()
        covered = [part.halo[where] for where in part.receives.values()]
        np.testing.assert_array_equal(np.concatenate([*covered, []]), part.halo)
        for other, rows in part.sends.items():
            theirs = pieces[other]
            np.testing.assert_array_equal(part.own[rows], theirs.halo[theirs.receives[number]])


def test_a_stored_zero_counts_as_an_edge():
    """Both sides of a pair see it, whatever its value."""
    stored = (np.array([0.0, 0.0]), np.array([1, 0]), np.array([0, 1, 2]))
    left, right = split_graph(sp.csr_array(stored, shape=(2, 2)), np.array([0, 1]), 2)
    assert (left.halo.tolist(), right.halo.tolist()) == ([1], [0])
    assert list(left.sends) == [1]
    assert list(right.sends) == [0]


def test_a_part_without_a_halo_and_an_empty_one():
    edge = np.array([[0.0, 1.0], [1.0, 0.0]])
    S = propagation(sp.csr_array(np.kron(np.eye(2), edge)), "gcn")
    first, empty, last = split_graph(S, np.array([0, 0, 2, 2]), 3)
    for part in (first, last):
        assert part.inner.shape == (2, 2)
        assert part.outer.shape == (2, 0)
        assert part.sends == part.receives == {}
    assert empty.inner.shape == empty.outer.shape == (0, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operators_have_the_degrees_of_the_whole_graph(dtype):
    adjacency = random_graph(30, 25).astype(dtype)
    dense = adjacency.toarray().astype(np.float64)
    degrees = dense.sum(axis=1)
    assert (degrees == 0).any()
    mean = np.divide(dense, degrees[:, None], where=degrees[:, None] > 0, out=np.zeros_like(dense))
    rtol = 1e-6 if dtype == np.float32 else 1e-14
    sage, gcn = (propagation(adjacency, network, dtype) for network in ("sage", "gcn"))
    assert sage.dtype == gcn.dtype == dtype
    np.testing.assert_allclose(sage.toarray(), mean, rtol=rtol)
    np.testing.assert_allclose(
        gcn.toarray(), normalized_adjacency(sp.csr_array(dense)).toarray(), rtol
    )


@pytest.mark.parametrize("edges", [0, 3, 30, 300])
@pytest.mark.parametrize("parts", [1, 2, 7, 40])
def test_every_part_has_its_share(how, parts, edges):
    """Isolated nodes, and as many parts as nodes, where METIS leaves some empty."""
    found = partition(random_graph(40, edges), parts, how)
    sizes = np.bincount(found.owner, minlength=parts)
    assert len(sizes) == parts
    assert sizes.min() >= 1
    assert sizes.max() <= (1.3 if how == "metis" else 1) * np.ceil(40 / parts) + 1
    assert found.how == how
    assert found.owner.dtype == np.int32


def test_the_cut_is_the_share_of_edges(how):
    adjacency = random_graph(60, 150)
    found = partition(adjacency, 4, how)
    rows, columns = adjacency.nonzero()
    assert found.cut == np.mean(found.owner[rows] != found.owner[columns])
    assert partition(adjacency, 1, how).cut == partition(sp.csr_array((9, 9)), 3, how).cut == 0


def test_a_seed_gives_the_same_parts_again(how):
    adjacency = random_graph(500, 1500)
    first, again, other = (partition(adjacency, 5, how, seed).owner for seed in (3, 3, 2**40 + 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() == (how != "bfs")


def test_self_loops_and_weights_play_no_role(how):
    adjacency = random_graph(60, 150)
    loops = adjacency + sp.eye_array(60, format="csr")
    found, expected = partition(loops * 3, 4, how), partition((adjacency != 0).astype(bool), 4, how)
    np.testing.assert_array_equal(found.owner, expected.owner)
    assert found.cut == expected.cut


def test_cuts_of_real_graphs(data_dir, how):
    """On Cora METIS cuts a tenth of the edges, growing parts a third, chance seven eighths."""
    cut = partition(load("cora", data_dir).adjacency, 8, how).cut
    low, high = {"metis": (0.05, 0.15), "bfs": (0.25, 0.4), "random": (0.85, 0.9)}[how]
    assert low < cut < high


def test_auto_is_metis(pymetis):
    adjacency = random_graph(50, 200)
    found, expected = partition(adjacency, 3), partition(adjacency, 3, "metis")
    assert found.how == "metis"
    np.testing.assert_array_equal(found.owner, expected.owner)


def test_without_pymetis(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymetis", None)
    adjacency = random_graph(50, 200)
    assert partition(adjacency, 3).how == "bfs"
    with pytest.raises(ValueError, match="parts by metis need pymetis: pip install pymetis, or"):
        partition(adjacency, 3, "metis")
    alone = partition(adjacency, 1, "metis")
    assert not alone.owner.any()
    assert (alone.how, alone.cut) == ("metis", 0)


def test_an_unknown_partitioner(unchecked):
    with pytest.raises(ValueError, match="unknown way to deal out nodes 'metsi'; expected one of"):
        partition(random_graph(6, 9), 2, "metsi")


def test_an_operator_of_an_unknown_network(unchecked):
    with pytest.raises(ValueError, match="unknown kind of graph network 'gat'; expected one of"):
        propagation(random_graph(6, 9), "gat")


@pytest.mark.parametrize("parts", [0, 7])
def test_more_parts_than_nodes(how, parts):
    with pytest.raises(ValueError, match=f"got {parts} parts for 6 nodes; every part needs at"):
        partition(random_graph(6, 9), parts, how)


def test_a_directed_graph(how):
    adjacency = random_graph(6, 9).tolil()
    adjacency[0, 1], adjacency[1, 0] = 1, 2
    with pytest.raises(ValueError, match="got a directed graph: 2 entries of its adjacency differ"):
        partition(adjacency.tocsr(), 2, how)


@given(cut_graphs())
def test_dropping_the_cut(graph):
    adjacency, owner, _ = graph
    expected = np.where(owner[:, None] == owner, adjacency.toarray(), 0)
    found = drop_cut(adjacency, owner)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.nnz == np.count_nonzero(expected)
