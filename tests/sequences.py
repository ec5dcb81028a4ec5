"""Networks and data of several kinds, for tests in this process and on ranks of their own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

ROWS = 240
X = np.random.default_rng(0).normal(size=(ROWS, 5)).astype("float32")
VALUES = (X[:, :1] * X[:, 1:2] + X[:, 2:4]).astype("float32")  # (rows, 2)
TOKENS = np.random.default_rng(1).integers(0, 7, (ROWS, 6))
MANY = (TOKENS > 3).sum(axis=1) > 2


class Tokens(eqx.Module):
    """The embedding of every token of a sequence, and of its place."""

    embedding: eqx.nn.Embedding
    places: jax.Array

    def __init__(self, size, key):
        keys = jax.random.split(key)
        self.embedding = eqx.nn.Embedding(7, size, key=keys[0])
        self.places = jax.random.normal(keys[1], (TOKENS.shape[1], size))

    def __call__(self, tokens):
        return jax.vmap(self.embedding)(tokens) + self.places


class Block(eqx.Module):
    """A transformer's block, with dropout."""

    attention: eqx.nn.MultiheadAttention
    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]
    dense: eqx.nn.MLP
    dropout: eqx.nn.Dropout

    def __init__(self, size, key):
        keys = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(2, size, key=keys[0])
        self.norms = (eqx.nn.LayerNorm(size), eqx.nn.LayerNorm(size))
        self.dense = eqx.nn.MLP(size, size, 2 * size, 1, key=keys[1])
        self.dropout = eqx.nn.Dropout(0.1)

    def __call__(self, x, *, key=None):
        y = jax.vmap(self.norms[0])(x)
        x = x + self.dropout(self.attention(y, y, y), key=key)
        return x + jax.vmap(self.dense)(jax.vmap(self.norms[1])(x))


class Recurrent(eqx.Module):
    """An LSTM over a sequence: its last state."""

    cell: eqx.nn.LSTMCell

    def __call__(self, x):
        zeros = jnp.zeros(self.cell.hidden_size, x.dtype)
        (h, _), _ = jax.lax.scan(lambda s, x: (self.cell(x, s), None), (zeros, zeros), x)
        return h


def transformer():
    keys = jax.random.split(jax.random.key(1), 3)
    head = eqx.nn.MLP(8, 2, 8, 1, key=keys[2])
    return [Tokens(8, keys[0]), Block(8, keys[1]), lambda x: x[-1], head]


def lstm():
    keys = jax.random.split(jax.random.key(2), 3)
    recurrent = Recurrent(eqx.nn.LSTMCell(6, 8, key=keys[1]))
    return [Tokens(6, keys[0]), recurrent, eqx.nn.MLP(8, 2, 8, 1, key=keys[2])]


def dropout():
    keys = jax.random.split(jax.random.key(3), 3)
    widths = zip((5, 16, 16), (16, 16, 2), keys, strict=True)
    dense = [eqx.nn.Linear(n, m, key=key) for n, m, key in widths]
    relu, drop = eqx.nn.Lambda(jax.nn.relu), eqx.nn.Dropout(0.3)
    return eqx.nn.Sequential([dense[0], relu, drop, dense[1], relu, drop, dense[2]])


# By name: network, samples, targets, loss.
CASES = {
    "transformer": (transformer, TOKENS, MANY, "cross_entropy"),
    "lstm": (lstm, TOKENS, MANY, "cross_entropy"),
    "dropout": (dropout, X, VALUES, "squared_error"),
}
