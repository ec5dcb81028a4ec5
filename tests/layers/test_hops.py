import numpy as np
import pytest
import scipy.sparse as sp

import layers.hops
from layers import hop_inputs, normalized_adjacency, row_basis


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


def test_no_basis_without_gain():
    assert row_basis(np.ones((21, 40))) is None
