"""An LSTM over time and a head on its last state."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def lstm_states(
    cell: eqx.nn.LSTMCell, x: Float[Array, "time features"]
) -> Float[Array, "time hidden"]:
    """The hidden states h_1 … h_T of an LSTM that starts at zero.

    With s = W x_t + V h_{t−1} + b, cut into i, f, g, o:

        c_t = σ(f) ∘ c_{t−1} + σ(i) ∘ tanh(g)
        h_t = σ(o) ∘ tanh(c_t)

    Example:
        >>> cell = eqx.nn.LSTMCell(3, 4, key=jax.random.key(0))
        >>> lstm_states(cell, jnp.ones((6, 3))).shape
        (6, 4)
    """

    def step(
        state: tuple[Array, Array], row: Array
    ) -> tuple[tuple[Array, Array], Float[Array, " hidden"]]:
        state = cell(row, state)
        return state, state[0]

    zeros = jnp.zeros(cell.hidden_size, x.dtype)
    return jax.lax.scan(step, (zeros, zeros), x)[1]


class RecurrentNetwork(eqx.Module):
    """An LSTM, a dense layer with ReLU on its last state, and a linear output.

        y = Wo · relu(Wd · h_T + bd) + bo

    Args:
        features: Columns of a window.
        hidden: Neurons of the LSTM and of the dense layer.
        outputs: Numbers that a window's answer has.
        dtype: Of all parameters.
        key: Of their start values.

    Example:
        >>> network = RecurrentNetwork(3, 4, 2, key=jax.random.key(0))
        >>> network(jnp.ones((6, 3))).shape
        (2,)
    """

    cell: eqx.nn.LSTMCell
    dense: eqx.nn.Linear
    output: eqx.nn.Linear

    def __init__(
        self, features: int, hidden: int, outputs: int, dtype: str = "float32", *, key: PRNGKeyArray
    ) -> None:
        cell_key, dense_key, output_key = jax.random.split(key, 3)
        self.cell = eqx.nn.LSTMCell(features, hidden, dtype=dtype, key=cell_key)
        self.dense = eqx.nn.Linear(hidden, hidden, dtype=dtype, key=dense_key)
        self.output = eqx.nn.Linear(hidden, outputs, dtype=dtype, key=output_key)

    def __call__(
        self,
        x: Float[Array, "time features"],
        *,
        context: object = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " outputs"]:
        """The outputs of one window; other clients and randomness play no part."""
        return self.output(jax.nn.relu(self.dense(lstm_states(self.cell, x)[-1])))
