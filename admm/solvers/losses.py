"""Losses R of each sample, from the outputs of a network and the targets."""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Array

Loss = Callable[[Array, Array], Array]


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Softmax cross-entropy of each sample, (batch,), from its class.

    Example:
        >>> [loss] = cross_entropy(jnp.zeros((1, 4)), jnp.array([2]))
        >>> bool(jnp.isclose(loss, jnp.log(4.0)))
        True
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """Sigmoid cross-entropy of each sample, (batch,), summed over its labels of 0 and 1.

    Example:
        >>> [loss] = binary_cross_entropy(jnp.zeros((1, 3)), jnp.array([[1.0, 0.0, 1.0]]))
        >>> bool(jnp.isclose(loss, 3 * jnp.log(2.0)))
        True
    """
    return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, labels), axis=1)


def squared_error(outputs: Array, targets: Array) -> Array:
    """½‖output − target‖² of each sample, (batch,).

    Example:
        >>> squared_error(jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))).tolist()
        [12.5]
    """
    return 0.5 * jnp.sum((outputs - targets) ** 2, axis=tuple(range(1, outputs.ndim)))
