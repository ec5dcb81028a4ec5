"""Layers as products, s = P(x) W + b: dense ones and convolutions, of the rows of a batch.

P makes the rows of W's inputs: a dense layer flattens its row, a convolution has a patch of the
image for each position of its output. What follows is f, see `activate`.
"""

from math import prod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from layers.architectures import Stage
from layers.gamlp import Dense

Affine = Dense | Stage
"""A layer that is a product with its weights: dense, or a convolution with its pooling."""


def weights(layer: Affine) -> Dense:
    """W as a matrix, (n_in, n_out), and b.

    Example:
        >>> weights(Dense(jnp.eye(2), jnp.zeros(2))).W.shape
        (2, 2)
    """
    W, b = jax.tree.leaves(layer)
    return Dense(W.reshape(-1, W.shape[-1]), b)


def with_weights(layer: Affine, dense: Dense) -> Affine:
    """A layer with other `weights`.

    Example:
        >>> with_weights(Dense(jnp.eye(2), jnp.zeros(2)), Dense(jnp.ones((2, 2)), jnp.zeros(2))).W
        Array([[1., 1.],
               [1., 1.]], dtype=float32)
    """
    (W, _), structure = jax.tree.flatten(layer)
    return jax.tree.unflatten(structure, [dense.W.reshape(W.shape), dense.b])


def sides(layer: Affine) -> tuple[int, int]:
    """n_in and n_out, the sides of W as a matrix; the layer may have shapes in place of arrays.

    Example:
        >>> sides(Dense(jnp.ones((2, 3)), jnp.zeros(3)))
        (2, 3)
    """
    shape = jax.tree.leaves(layer)[0].shape
    return prod(shape[:-1]), shape[-1]


def patches(layer: Affine, x: Float[Array, "rows ..."]) -> Float[Array, "rows ..."]:
    """P(x): what W is multiplied by, for each position of the output.

    Raises:
        ValueError: If the layer is a convolution of another stride than 1.

    Example:
        >>> patches(Dense(jnp.eye(4), jnp.zeros(4)), jnp.ones((5, 2, 2))).shape
        (5, 4)
    """
    if isinstance(layer, Dense):
        return x.reshape(len(x), -1)
    if layer.convolution.stride != 1:
        raise ValueError(
            f"got a convolution of stride {layer.convolution.stride}; patches are of stride 1 alone"
        )
    size, (height, width) = layer.convolution.W.shape[0], x.shape[1:3]
    margin = (size // 2, size // 2)
    x = jnp.pad(x, [(0, 0), margin, margin, (0, 0)])
    places = [(i, j) for i in range(size) for j in range(size)]
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in places], axis=-1)


def affine(layer: Affine, x: Float[Array, "rows ..."]) -> Float[Array, "rows ..."]:
    """s = P(x) W + b; of a convolution without the patches.

    Example:
        >>> affine(Dense(jnp.ones((4, 1)), jnp.zeros(1)), jnp.ones((1, 2, 2))).tolist()
        [[4.0]]
    """
    if isinstance(layer, Dense):
        return x.reshape(len(x), -1) @ layer.W + layer.b
    return jax.vmap(layer.convolution)(x)


def activate(layer: Affine, s: Float[Array, "rows ..."]) -> Float[Array, "rows ..."]:
    """f(s): the rectifier, of a convolution behind max pooling.

    Example:
        >>> activate(Dense(jnp.eye(2), jnp.zeros(2)), jnp.array([[-1.0, 1.0]])).tolist()
        [[0.0, 1.0]]
    """
    return jax.nn.relu(s) if isinstance(layer, Dense) else jax.vmap(layer.activate)(s)
