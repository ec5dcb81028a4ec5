import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

import layers.hops
from admm.datasets import load
from layers import hop_inputs, hop_product, normalized_adjacency, row_basis


@pytest.fixture
def graph():
    random = np.random.default_rng(0)
    upper = np.triu(random.random((30, 30)) < 0.1, 1)
    features = random.random((30, 11)) * (random.random((30, 11)) < 0.5)
    features[3] = 0
    return sp.csr_array((upper | upper.T).astype(np.float32)), sp.csr_array(features)


def dense_inputs(adjacency, features, hops):
    a = adjacency.toarray() + np.eye(adjacency.shape[0])
    scale = 1 / np.sqrt(a.sum(axis=1))
    a = scale[:, None] * a * scale
    blocks = [np.linalg.matrix_power(a, k) @ features.toarray() for k in range(hops)]
    return a, blocks


def test_against_dense_powers(graph, monkeypatch):
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 4 * 30 * 4)  # blocks of four columns
    adjacency, features = graph
    operator, blocks = dense_inputs(adjacency, features, hops=4)
    np.testing.assert_allclose(normalized_adjacency(adjacency).toarray(), operator, rtol=1e-6)
    rows = np.array([5, 3, 20])
    inputs = hop_inputs(features, adjacency, rows, hops=4, normalize="none")
    np.testing.assert_allclose(inputs, np.hstack(blocks)[rows], rtol=1e-5, atol=1e-7)


def test_hops_have_unit_rows(graph):
    adjacency, features = graph
    inputs = hop_inputs(features, adjacency, np.arange(30), hops=3).reshape(30, 3, 11)
    norms = np.linalg.norm(inputs, axis=2)
    isolated = norms == 0
    np.testing.assert_allclose(norms[~isolated], 1, rtol=1e-5)
    assert isolated[3, 0]  # a node without features stays zero instead of becoming NaN


def test_features_are_scaled_before_the_hops(graph):
    adjacency, features = graph
    norms = np.linalg.norm(features.toarray(), axis=1, keepdims=True)
    scaled = sp.csr_array(features.toarray() / np.where(norms > 0, norms, 1))
    expected = hop_inputs(scaled, adjacency, np.arange(30), normalize="none")
    inputs = hop_inputs(features, adjacency, np.arange(30), normalize="features")
    np.testing.assert_allclose(inputs, expected, rtol=1e-5)


NODES = np.arange(30)
SCALES = [1e-25, 2.5e19, 1e-40, 1e-200, 1e200, 2e-308]


@pytest.mark.parametrize("normalize", ["hops", "features"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", SCALES)
def test_scale_of_the_features_does_not_matter(graph, scale, dtype, normalize, monkeypatch):
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 4 * 30 * 8)
    adjacency, features = graph
    given = {"normalize": normalize, "dtype": dtype}
    expected = hop_inputs(features, adjacency, NODES, **given)
    found = hop_inputs(features * scale, adjacency, NODES, **given)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_float32_features_at_the_ends_of_their_type(graph):
    adjacency, features = graph
    expected = hop_inputs(features, adjacency, NODES)
    for scale in (1e-42, 1e38):
        scaled = (features * scale).astype(np.float32)
        np.testing.assert_allclose(
            hop_inputs(scaled, adjacency, NODES), expected, rtol=0.02, atol=0.02
        )


def test_a_subnormal_row_has_unit_length():
    """The smallest number there is: every product with it but by 1 rounds to 0 or to itself."""
    smallest = np.nextafter(0.0, 1)
    features = sp.csr_array([[smallest, 0], [0, 3 * smallest]])
    adjacency = sp.csr_array([[0, 1], [1, 0]])
    expected = np.array([[1, 0, 1 / 10**0.5, 3 / 10**0.5], [0, 1, 1 / 10**0.5, 3 / 10**0.5]])
    found = hop_inputs(features, adjacency, np.arange(2), hops=2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("small", "large"), [(1e-30, 1e30), (1e-200, 1e200)])
def test_rows_of_different_scales(small, large, dtype, monkeypatch):
    """Two pairs of nodes, and the same values in both; the largest comes in the last column."""
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 4 * 8)  # a column at a time
    pair = np.array([[1.0, 2, -4], [2, 0, 40]])
    features = sp.csr_array(np.vstack([pair * small, pair * large]))
    adjacency = sp.csr_array(np.kron(np.eye(2), [[0, 1], [1, 0]]))
    for normalize in ("hops", "features"):
        given = {"normalize": normalize, "dtype": dtype}
        expected = hop_inputs(sp.csr_array(pair), adjacency[:2, :2], np.arange(2), **given)
        found = hop_inputs(features, adjacency, np.arange(4), **given)
        np.testing.assert_allclose(found, np.vstack([expected, expected]), atol=1e-6)


def test_a_path_of_heavy_nodes_does_not_vanish():
    """Through hubs, features arrive as 1e-20 of what they were."""
    random = np.random.default_rng(0)
    ends = np.r_[np.zeros(3000, int), 1, np.ones(2999, int)]
    leaves = np.r_[np.arange(2, 3002), 0, np.arange(3002, 6001)]
    links = sp.coo_array((np.ones(6000), (ends, leaves)), shape=(6001, 6001)).tocsr()
    features = sp.csr_array((6001, 5), dtype=np.float32).tolil()
    features[2] = random.random(5) * 1e-20
    inputs = hop_inputs(features.tocsr(), links + links.T, np.array([3002]))
    lengths = np.linalg.norm(inputs.reshape(4, 5), axis=1)
    np.testing.assert_allclose(lengths, [0, 0, 0, 1], rtol=1e-6)


def test_values_that_no_type_holds_together_are_refused():
    features = sp.csr_array(np.array([[1e-320], [1e308]]))
    adjacency = sp.csr_array(np.array([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="values from 2\\^-1066 to 2\\^1023, more than float64"):
        hop_inputs(features, adjacency, np.arange(2))


def plain_inputs(features, adjacency, rows, normalize):
    """`hop_inputs` without scales, which leave the bits of ordinary data as they are."""
    operator = normalized_adjacency(adjacency).astype(np.float32)
    features = sp.csr_array(features, dtype=np.float32)
    if normalize == "features":
        norms = np.sqrt(features.multiply(features).sum(axis=1))
        features = sp.diags_array(1 / np.where(norms > 0, norms, 1)) @ features
    part = sp.csr_array(features).toarray()
    inputs = np.empty((len(rows), 4, part.shape[1]), np.float32)
    for hop in range(4):
        part = operator @ part if hop else part
        inputs[:, hop] = part[rows]
    if normalize == "hops":
        norms = np.sqrt(np.einsum("rhc,rhc->rh", inputs, inputs))
        inputs /= np.where(norms > 0, norms, 1)[:, :, None]
    return inputs.reshape(len(rows), -1)


@pytest.mark.parametrize("normalize", ["hops", "features", "none"])
@pytest.mark.parametrize("name", ["digits", "cora"])
def test_ordinary_data_keep_their_bits(name, normalize, request):
    folder = None if name == "digits" else request.getfixturevalue("data_dir")
    data = load(name, folder)
    rows = np.concatenate(data.split)
    np.testing.assert_array_equal(
        hop_inputs(data.features, data.adjacency, rows, normalize=normalize),
        plain_inputs(data.features, data.adjacency, rows, normalize),
    )


@pytest.mark.parametrize("normalize", ["hops", "features", "none"])
@pytest.mark.parametrize("scale", [1, 1e-25, 1e-200])
def test_product_without_the_inputs(graph, scale, normalize, monkeypatch):
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 4 * 30 * 8)
    adjacency, features = graph
    rows = np.array([5, 3, 20, 7])
    weights = np.random.default_rng(2).normal(size=(33, 6))
    given = {"hops": 3, "normalize": normalize}
    for dtype, rtol in ((np.float32, 1e-5), (np.float64, 1e-12)):
        inputs = hop_inputs(features * scale, adjacency, rows, dtype=dtype, **given)
        cast = weights.astype(dtype)
        found = hop_product(features * scale, adjacency, rows, cast, **given)
        assert found.dtype == dtype
        size = np.abs(inputs).max()
        np.testing.assert_allclose(found, inputs @ cast, rtol=rtol, atol=10 * rtol * size)


def test_a_product_takes_the_memory_of_blocks(monkeypatch):
    """A tenth of what the inputs would: 1,000 rows of 40,000 columns."""
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 2**20)
    features, adjacency = sp.eye_array(10_000, format="csr"), sp.csr_array((10_000,) * 2)
    tracemalloc.start()
    found = hop_product(features, adjacency, np.arange(1000), np.ones((40_000, 3), "float32"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, np.full((1000, 3), 4))
    assert peak < 1000 * 40_000 * 4 / 10


def test_basis_spans_the_training_rows():
    x = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    x[5] = x[4]  # a repeated node: rank 5
    q = row_basis(x)
    np.testing.assert_allclose(x @ q @ q.T, x, atol=1e-5)
    np.testing.assert_allclose(x @ q @ (x @ q).T, x @ x.T, rtol=1e-4, atol=1e-4)


def test_basis_is_stable_under_rounding():
    x = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    x[5] = x[4]
    noise = 1e-6 * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    np.testing.assert_allclose(row_basis(x), row_basis(x + noise * (x != x[5])), atol=1e-4)


def test_basis_in_blocks(monkeypatch):
    x = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    whole = row_basis(x)
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 7 * 6 * 8)
    np.testing.assert_allclose(row_basis(x), whole, rtol=1e-5, atol=1e-7)


def test_no_basis_without_gain():
    assert row_basis(np.ones((21, 40))) is None


def test_an_unknown_normalisation_is_refused(unchecked):
    features, adjacency, rows = sp.eye_array(3, format="csr"), sp.csr_array((3, 3)), np.arange(3)
    words = "unknown normalisation 'hop'; expected one of hops, features, none"
    with pytest.raises(ValueError, match=words):
        hop_inputs(features, adjacency, rows, normalize="hop")
    with pytest.raises(ValueError, match=words):
        hop_product(features, adjacency, rows, np.ones((12, 1)), normalize="hop")
