"""The GA-MLP: its shape, initialisation and forward pass.

A network is a tuple of `Dense` layers; layer l (numbered from 1) maps width n_{l−1} to n_l. Rows
are nodes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Function = Callable[[Array], Array]


class Dense(NamedTuple):
    """Parameters of one layer, s = x W + b.

    Example:
        >>> Dense(W=jnp.eye(2), b=jnp.ones(2)).W.shape
        (2, 2)
    """

    W: Array  # (n_in, n_out)
    b: Array  # (n_out,)


def widths(inputs: int, hidden: int, classes: int, layers: int) -> tuple[int, ...]:
    """n_0, n_1, …, n_L of a network with `layers` layers.

    Example:
        >>> widths(40, 10, 3, layers=4)
        (40, 10, 10, 10, 3)
    """
    return (inputs, *[hidden] * (layers - 1), classes)


def init_dense(seed: int, layer: int, shape: tuple[int, int], scale: float, dtype: str) -> Dense:
    """Layer number `layer` of the network of `seed`: W ~ N(0, scale²), b = 0.

    Seed and layer number together seed the generator, so that a layer is the same on whichever
    worker it is made. NumPy draws: the same bits on every device, and nothing to compile.

    Example:
        >>> init_dense(0, 1, (4, 3), 0.5, "float32").W.shape
        (4, 3)
    """
    W = scale * np.random.default_rng((seed, layer)).standard_normal(shape)
    return Dense(jnp.asarray(W, dtype), jnp.zeros(shape[1], dtype))


def identity_dense(shape: tuple[int, int], dtype: str) -> Dense:
    """W = the rectangular identity, b = 0: what a grown layer starts from.

    Example:
        >>> identity_dense((2, 3), "float32").W.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    return Dense(jnp.eye(*shape, dtype=dtype), jnp.zeros(shape[1], dtype))


@partial(jax.jit, static_argnames="activation")
def apply_dense(
    params: Dense, x: Float[Array, "nodes n_in"], activation: Function | None
) -> Float[Array, "nodes n_out"]:
    """One layer: f(x W + b), or x W + b where `activation` is None (the output layer).

    Example:
        >>> apply_dense(Dense(-jnp.eye(2), jnp.zeros(2)), jnp.ones((1, 2)), jax.nn.relu).tolist()
        [[0.0, 0.0]]
    """
    s = x @ params.W + params.b
    return s if activation is None else activation(s)


def forward(
    network: Sequence[Dense], x: Float[Array, "nodes n_in"], activation: Function
) -> Float[Array, "nodes classes"]:
    """Logits of a whole network.

    Example:
        >>> layer = Dense(2 * jnp.eye(2), jnp.zeros(2))
        >>> forward([layer, layer], jnp.ones((1, 2)), jax.nn.relu).tolist()
        [[4.0, 4.0]]
    """
    for params in network[:-1]:
        x = apply_dense(params, x, activation)
    return apply_dense(network[-1], x, None)
