import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from layers import IDENTITY, RELU, LeakyReLU

ACTIVATIONS = [RELU, LeakyReLU(0.1), LeakyReLU(-0.5), IDENTITY]


@given(
    st.sampled_from(ACTIVATIONS),
    *[st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8) for _ in range(3)],
)
def test_solution_is_no_worse_than_brute_force(activation, s, q, z_old):
    s, q, z_old = (np.array(values, np.float32) for values in (s, q, z_old))

    def objective(z):
        fz = np.where(z >= 0, z, activation.slope * z)
        return (z - s) ** 2 + (q - fz) ** 2 + (z - z_old) ** 2

    solved = np.asarray(activation.solve(*map(jnp.asarray, (s, q, z_old))))
    grid = np.linspace(-8, 8, 16001)[:, None]
    assert (objective(solved) <= objective(grid).min(axis=0) + 1e-4).all()


def test_relu_by_hand():
    # s = 1, z_old = 1, q = 1 pulls to 1; a negative target with q = 0 keeps (s + z_old)/2.
    solved = RELU.solve(jnp.array([1.0, -2.0]), jnp.array([1.0, 0.0]), jnp.array([1.0, -4.0]))
    np.testing.assert_allclose(solved, [1.0, -3.0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value_against_jax(activation):
    x = jnp.linspace(-3, 3, 13)
    np.testing.assert_allclose(activation(x), jax.nn.leaky_relu(x, activation.slope), rtol=1e-6)
