import jax
import jax.numpy as jnp
import numpy as np

from layers import RELU, forward, identity_dense, init_dense, widths


def test_a_layer_depends_on_seed_and_number_only():
    first = init_dense(3, 2, (5, 4), 1.0, "float32")
    again = init_dense(3, 2, (5, 4), 1.0, "float32")
    other = init_dense(3, 3, (5, 4), 1.0, "float32")
    np.testing.assert_array_equal(first.W, again.W)
    assert (first.W != other.W).all()


def test_forward_against_numpy():
    shape = widths(6, 5, 3, layers=3)
    network = [init_dense(0, n, shape[n - 1 : n + 1], 1.0, "float32") for n in (1, 2, 3)]
    x = jax.random.normal(jax.random.key(1), (9, 6))
    expected = np.asarray(x)
    for index, (W, b) in enumerate(network):
        expected = expected @ W + b
        expected = expected if index == 2 else np.maximum(expected, 0)
    np.testing.assert_allclose(forward(network, x, RELU), expected, rtol=1e-4, atol=1e-5)


def test_identity_layers_change_nothing():
    x = jnp.abs(jax.random.normal(jax.random.key(0), (4, 3)))
    np.testing.assert_array_equal(forward([identity_dense((3, 3), "float32")] * 5, x, RELU), x)
