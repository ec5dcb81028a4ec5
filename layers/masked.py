"""Losses of a batch some of whose targets are missing: means over those that are there.

A missing target has no part in value and gradient, whatever number stands in its place. Where all
are missing, both are zero. Losses have the type of the outputs.
"""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Shaped


def l1(
    outputs: Float[Array, "*batch"], targets: Float[Array, "*batch"], present: Bool[Array, "*batch"]
) -> Float[Array, ""]:
    """The mean of |output − target|.

    Example:
        >>> y, target = jnp.array([1.0, 5.0]), jnp.array([3.0, jnp.nan])
        >>> float(l1(y, target, jnp.array([True, False])))
        2.0
    """
    return _mean(jnp.abs(outputs - _known(outputs, targets, present)), present)


def squared_error(
    outputs: Float[Array, "*batch"], targets: Float[Array, "*batch"], present: Bool[Array, "*batch"]
) -> Float[Array, ""]:
    """The mean of ½(output − target)².

    Example:
        >>> y, target = jnp.array([1.0, 5.0]), jnp.array([3.0, jnp.nan])
        >>> float(squared_error(y, target, jnp.array([True, False])))
        2.0
    """
    return _mean(0.5 * (outputs - _known(outputs, targets, present)) ** 2, present)


def bce(
    logits: Float[Array, "*batch"], targets: Float[Array, "*batch"], present: Bool[Array, "*batch"]
) -> Float[Array, ""]:
    """The mean sigmoid cross-entropy of labels 0 and 1.

    Example:
        >>> logits, labels = jnp.zeros(2), jnp.array([1.0, jnp.nan])
        >>> loss = bce(logits, labels, jnp.array([True, False]))
        >>> bool(jnp.isclose(loss, jnp.log(2.0)))
        True
    """
    losses = optax.sigmoid_binary_cross_entropy(logits, _known(logits, targets, present))
    return _mean(losses, present)


def cross_entropy(
    logits: Float[Array, "batch classes"],
    targets: Int[Array, " batch"],
    present: Bool[Array, " batch"],
) -> Float[Array, ""]:
    """The mean softmax cross-entropy of classes 0…C−1.

    Example:
        >>> logits = jnp.zeros((2, 4))
        >>> loss = cross_entropy(logits, jnp.array([3, -1]), jnp.array([True, False]))
        >>> bool(jnp.isclose(loss, jnp.log(4.0)))
        True
    """
    classes = jnp.where(present, targets, 0)
    return _mean(optax.softmax_cross_entropy_with_integer_labels(logits, classes), present)


def _known(
    outputs: Float[Array, "*batch"], targets: Float[Array, "*batch"], present: Bool[Array, "*batch"]
) -> Float[Array, "*batch"]:
    return jnp.where(present, targets, 0).astype(outputs.dtype)


def _mean(losses: Shaped[Array, "*batch"], present: Bool[Array, "*batch"]) -> Float[Array, ""]:
    count = jnp.maximum(present.sum(), 1).astype(losses.dtype)
    return jnp.where(present, losses, 0).sum() / count
