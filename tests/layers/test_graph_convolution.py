import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, strategies as st

from layers import (
    aggregate,
    drop,
    dropout_key,
    init_graph_layer,
    keep_mask,
    matmul,
    propagation,
    sparse_matrix,
    split_graph,
    transform,
)


def random_matrix(rows, columns, seed=0, dtype=np.float32):
    """Sparse, with empty rows; its indices in no order."""
    random = np.random.default_rng(seed)
    stored = random.normal(size=(rows, columns)) * (random.random((rows, columns)) < 0.2)
    csr = sp.csr_array(stored.astype(dtype))
    order = np.lexsort([random.random(csr.nnz), np.repeat(np.arange(rows), np.diff(csr.indptr))])
    return sp.csr_array((csr.data[order], csr.indices[order], csr.indptr), shape=csr.shape)


def normal(*shape, seed=1, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 3), (3, 0), (1, 1), (30, 20)])
def test_product_and_transpose_against_scipy(rows, columns):
    csr = random_matrix(rows, columns)
    S, x, g = sparse_matrix(csr), normal(columns, 3), normal(rows, 3)
    np.testing.assert_allclose(matmul(S, x), csr @ x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(matmul(S.T, g), csr.T @ g, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(matmul(S, x[:, 0]), csr @ x[:, 0], rtol=1e-5, atol=1e-6)
    assert S.shape == S.T.shape[::-1] == (rows, columns)


def check_gradients(dtype, rtol):
    csr = random_matrix(9, 7, dtype=dtype)
    dense, x, g = jnp.asarray(csr.toarray()), normal(7, 4, dtype=dtype), 0.3
    S = sparse_matrix(csr, entries=100)

    @jax.jit
    def value(S, x):
        return jnp.sum(jnp.sin(matmul(S, x)))

    def expected(x):
        return jnp.sum(jnp.sin(dense @ x))

    first = jax.grad(value, 1)(S, x)
    assert first.dtype == dtype
    np.testing.assert_allclose(first, jax.grad(expected)(x), rtol, atol=rtol)
    second = jax.grad(lambda x: jnp.sum(jax.grad(value, 1)(S, x) ** 2) * g)(x)
    twice = jax.grad(lambda x: jnp.sum(jax.grad(expected)(x) ** 2) * g)(x)
    np.testing.assert_allclose(second, twice, rtol, atol=rtol)


def test_gradients_against_dense():
    check_gradients(np.float32, 1e-5)


def test_gradients_in_float64(x64):
    check_gradients(np.float64, 1e-13)


def test_spare_entries_change_no_bit():
    """Even where the row that they might name is not finite."""
    csr = random_matrix(9, 7)
    x, g = (normal(rows, 4).at[0].set(np.inf) for rows in (7, 9))
    plain, padded = sparse_matrix(csr), sparse_matrix(csr, entries=csr.nnz + 50)
    np.testing.assert_array_equal(matmul(plain, x), matmul(padded, x))
    np.testing.assert_array_equal(matmul(plain.T, g), matmul(padded.T, g))


def test_devices_without_a_sparse_product_see_the_same_rows():
    """JAX multiplies by BCOO on GPUs."""
    csr, x = random_matrix(9, 7), normal(7, 4)
    S = sparse_matrix(csr, entries=100)
    np.testing.assert_allclose(S.matrix.to_bcoo() @ x, csr @ x, rtol=1e-6, atol=1e-6)


def test_matrices_with_room_share_compiled_code():
    traces = []

    @jax.jit
    def product(S, x):
        traces.append(x)
        return matmul(S, x)

    for seed in range(3):
        csr = random_matrix(9, 7, seed)
        found = product(sparse_matrix(csr, entries=40), normal(7, 4))
        np.testing.assert_allclose(found, csr @ normal(7, 4), rtol=1e-6, atol=1e-6)
    assert len(traces) == 1


def test_too_little_room():
    with pytest.raises(
        ValueError, match="got 2 entries for a matrix of 3; expected at least as many"
    ):
        sparse_matrix(sp.csr_array(np.eye(3)), entries=2)


def test_a_first_layer_of_sparse_features():
    features, layer = random_matrix(9, 7), init_graph_layer(0, 1, 7, 3, "sage", "float32")

    def total(layer, x):
        return jnp.sum(transform(layer, x, x) ** 2)

    dense, sparse = jnp.asarray(features.toarray()), sparse_matrix(features)
    expected = jax.value_and_grad(total)(layer, dense)
    found = jax.value_and_grad(total)(layer, sparse)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), found, expected)


@pytest.mark.parametrize("network", ["gcn", "sage"])
def test_parts_compute_what_one_process_does(network, x64):
    """Two layers with dropout, halos fresh, one part empty; against NumPy on the whole graph."""
    random = np.random.default_rng(0)
    links = np.triu(random.random((30, 30)) < 0.1, 1)
    S = propagation(sp.csr_array((links | links.T).astype(float)), network, np.float64)
    owner = random.choice([0, 1, 3], 30)
    pieces = list(split_graph(S, owner, 4))
    H = normal(30, 5, dtype=np.float64)
    expected = np.asarray(H)
    for number, n_in, n_out in ((1, 5, 6), (2, 6, 3)):
        layer = init_graph_layer(7, number, n_in, n_out, network, "float64")
        key, rows = dropout_key(7, 4, number), jnp.zeros((30, n_out))
        for part in pieces:
            own, halo = (drop(H[at], key, jnp.asarray(at), 0.4) for at in (part.own, part.halo))
            p = aggregate(sparse_matrix(part.inner), own, matmul(sparse_matrix(part.outer), halo))
            rows = rows.at[part.own].set(transform(layer, p, own))
        H = rows
        kept = np.where(keep_mask(key, jnp.arange(30), n_in, 0.4), expected / 0.6, 0)
        expected = S @ kept @ layer.W + layer.b
        expected = expected if network == "gcn" else expected + kept @ layer.W_self
        np.testing.assert_allclose(H, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("network", ["gcn", "sage"])
def test_a_layer_depends_on_seed_and_number_only(network):
    first, again = (init_graph_layer(3, 2, 50, 40, network, "float32") for _ in range(2))
    other = init_graph_layer(3, 3, 50, 40, network, "float32")
    np.testing.assert_array_equal(first.W, again.W)
    assert (first.W != other.W).all()
    assert not first.b.any()
    weights = [first.W] if network == "gcn" else [first.W, first.W_self]
    for W in weights:
        bound = (6 / 90) ** 0.5
        assert 0.99 * bound < np.abs(W).max() <= bound
        np.testing.assert_allclose(np.std(W), bound / 3**0.5, rtol=0.05)
        assert W is first.W or (first.W != W).all()


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5))
def test_a_mask_knows_no_neighbours(nodes):
    key, nodes = dropout_key(5, 3, 1), jnp.asarray(nodes, jnp.int32)
    whole = keep_mask(key, nodes, 16, 0.3)
    for row, node in zip(whole, nodes, strict=True):
        np.testing.assert_array_equal(row, keep_mask(key, node[None], 16, 0.3)[0])
        np.testing.assert_array_equal(row[:4], keep_mask(key, node[None], 4, 0.3)[0])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_mask_keeps_its_share(rate):
    """In all, in every column and for every node, within five standard deviations."""
    kept = np.asarray(keep_mask(dropout_key(0, 1, 1), jnp.arange(4000), 256, rate))
    deviation = (rate * (1 - rate)) ** 0.5
    for axis, count in ((None, kept.size), (0, 4000), (1, 256)):
        off = np.abs(kept.mean(axis=axis) - (1 - rate)).max()
        assert off < 5 * deviation / count**0.5


def test_masks_are_uncorrelated():
    """Columns, nodes, and the masks of other seeds, epochs and layers: five deviations again."""
    keys = [(s, e, layer) for s in (0, 1, 2**32 - 1) for e in range(8) for layer in range(4)]
    masks = [keep_mask(dropout_key(*key), jnp.arange(256), 256, 0.5) for key in keys]
    signs = np.where(masks, 1.0, -1.0)
    flat = signs.reshape(len(keys), -1)
    for rows in (signs[0], signs[0].T, flat):
        products = rows @ rows.T / rows.shape[1]
        off = products[~np.eye(len(products), dtype=bool)]
        assert np.abs(off).max() < 5 / rows.shape[1] ** 0.5
    shifted = np.mean(signs[0, 1:, 1:] * signs[0, :-1, :-1])
    assert abs(shifted) < 5 / 255


def test_the_epoch_may_be_traced():
    found = jax.jit(lambda epoch: dropout_key(3, epoch, 2))(jnp.int32(9))
    assert found == dropout_key(3, 9, 2)
    assert found.dtype == jnp.uint32


def test_dropout_keeps_the_mean():
    h, nodes, key = normal(500, 64), jnp.arange(500), dropout_key(0, 1, 1)
    dropped = drop(h, key, nodes, 0.4)
    kept = np.asarray(keep_mask(key, nodes, 64, 0.4))
    np.testing.assert_allclose(dropped, np.where(kept, h / 0.6, 0), rtol=1e-6)
    gradient = jax.grad(lambda h: drop(h, key, nodes, 0.4).sum())(h)
    np.testing.assert_allclose(gradient, kept / 0.6, rtol=1e-6)
    assert drop(h, key, nodes, 0.0) is h
    assert keep_mask(key, nodes, 64, 0.0).all()
    assert not keep_mask(key, nodes, 64, 1 - 2**-40).any()


def test_an_unknown_kind_of_network_is_refused(unchecked):
    with pytest.raises(ValueError, match="unknown kind of graph network 'gat'; expected one of"):
        init_graph_layer(0, 1, 4, 3, "gat", "float32")
