"""FATHOM: attention over the columns of a sensor's window, over its time, and across clients."""

from typing import NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from layers.names import Attention
from layers.recurrent import RecurrentNetwork, lstm_states


class Context(NamedTuple):
    """What a client is told of the others; no gradient flows through it.

    Attributes:
        sequences: `Fathom.encode` of the others, in the order of the clients.
        available: Which of them there are.

    Example:
        >>> context = Context(jnp.ones((2, 6, 4)), jnp.array([True, False]))
        >>> network = Fathom(3, 6, 2, 4, "context", key=jax.random.key(0))
        >>> network(jnp.ones((6, 3)), context=context).shape
        (2,)
    """

    sequences: Float[Array, "others time hidden"]
    available: Bool[Array, " others"]


class Fathom(eqx.Module):
    """The hierarchical attention network of one client.

    For a window X (T, D), with R̄_j of the other clients:

        A = softmax over the D columns of X Ws                task attention
        R = LSTM_1(tanh((X ∘ A) Wc))                          (T, H)
        α = softmax over time of tanh(Wg · flatten(Z) + bg)   temporal attention
        y = LSTM_2(V), then dense, ReLU, dense

    | attention | Z | V | V without temporal attention |
    |---|---|---|---|
    | `own` | R | α ∘ X | R |
    | `aligned` | [R, R̄_1, …], zeros of clients that are not available | α ∘ X | Z |
    | `context` | R | [α ∘ X, mean of the available R̄_j] | [R, the same mean] |

    Where no other client is available, the mean is zero.

    Args:
        features: D.
        steps: T.
        outputs: Numbers that a window's answer has.
        hidden: H, of both LSTMs and the dense layer.
        attention: See above.
        clients: How many there are, which `aligned` needs.
        use_task_attention: Whether there is Ws; without it A = 1.
        use_temporal_attention: Whether there is Wg.
        dtype: Of all parameters.
        key: Of their start values.

    Raises:
        ValueError: If there is no such attention.

    Example:
        >>> network = Fathom(3, 6, 2, 4, key=jax.random.key(0))
        >>> network(jnp.ones((6, 3))).shape
        (2,)

    Source: Chen et al., arXiv 1905.05142, after the authors' code. It has `aligned` alone, each
    client's R in a fixed place and a Wg for each client; here Wg is shared and a client's own R
    comes first.
    """

    task_attention: eqx.nn.Linear | None
    embedding: eqx.nn.Linear
    cell: eqx.nn.LSTMCell
    temporal_attention: eqx.nn.Linear | None
    head: RecurrentNetwork
    attention: Attention = eqx.field(static=True)
    others: int = eqx.field(static=True)

    def __init__(
        self,
        features: int,
        steps: int,
        outputs: int,
        hidden: int,
        attention: Attention = "own",
        *,
        clients: int = 1,
        use_task_attention: bool = True,
        use_temporal_attention: bool = True,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ) -> None:
        if attention not in get_args(Attention):
            raise ValueError(
                f"expected attention of {', '.join(get_args(Attention))}, got {attention!r}"
            )
        keys = jax.random.split(key, 5)
        self.attention = attention
        self.others = clients - 1 if attention == "aligned" else 0
        self.task_attention = None
        if use_task_attention:
            self.task_attention = eqx.nn.Linear(
                features, features, use_bias=False, dtype=dtype, key=keys[0]
            )
        self.embedding = eqx.nn.Linear(features, hidden, use_bias=False, dtype=dtype, key=keys[1])
        self.cell = eqx.nn.LSTMCell(hidden, hidden, dtype=dtype, key=keys[2])
        known = hidden * (1 + self.others)
        self.temporal_attention = None
        if use_temporal_attention:
            self.temporal_attention = eqx.nn.Linear(steps * known, steps, dtype=dtype, key=keys[3])
        width = features if use_temporal_attention else known
        width += hidden if attention == "context" else 0
        self.head = RecurrentNetwork(width, hidden, outputs, dtype, key=keys[4])

    def encode(self, x: Float[Array, "time features"]) -> Float[Array, "time hidden"]:
        """R of a window: what other clients may be told of it."""
        if self.task_attention is not None:
            x = x * jax.nn.softmax(jax.vmap(self.task_attention)(x), axis=1)
        return lstm_states(self.cell, jnp.tanh(jax.vmap(self.embedding)(x)))

    def __call__(
        self,
        x: Float[Array, "time features"],
        *,
        context: Context | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " outputs"]:
        """The outputs of one window.

        Args:
            x: The window.
            context: Of the other clients; None where none is available. `own` does not look at it.
            key: Plays no part.
        """
        own = self.encode(x)
        if context is None:
            nothing = jnp.zeros((self.others, *own.shape), own.dtype)
            context = Context(nothing, jnp.zeros(self.others, bool))
        there = context.available[:, None, None]
        others = jnp.where(there, jax.lax.stop_gradient(context.sequences), 0)
        z = own
        if self.attention == "aligned":
            z = jnp.concatenate([own, *others], axis=1)
        v = z
        if self.temporal_attention is not None:
            weights = jax.nn.softmax(jnp.tanh(self.temporal_attention(z.ravel())))
            v = weights[:, None] * x
        if self.attention == "context":
            count = jnp.maximum(there.sum(), 1).astype(own.dtype)
            v = jnp.concatenate([v, others.sum(axis=0) / count], axis=1)
        return self.head(v)
