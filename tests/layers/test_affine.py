"""Layers as products of patches and weights, against the modules that they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from layers import (
    Dense,
    Stage,
    activate,
    affine,
    build,
    cnn,
    patches,
    resnet,
    sides,
    weights,
    with_weights,
)


@pytest.fixture(params=[0, 1, 2], ids=["stage of a channel", "stage", "dense layer of an image"])
def layer_and_module(request, x64):
    modules = build(cnn((9, 7, 1), 3, 4, 6, "float64"), range(5), seed=0).modules
    module = modules[request.param]
    shape = [(9, 7, 1), (4, 3, 4), (2, 1, 4)][request.param]
    layer = module if isinstance(module, Stage) else Dense(module.W, module.b)
    return layer, module, jnp.asarray(np.random.default_rng(0).normal(size=(5, *shape)))


def test_a_layer_is_the_module(layer_and_module):
    layer, module, x = layer_and_module
    np.testing.assert_allclose(activate(layer, affine(layer, x)), jax.vmap(module)(x), rtol=1e-12)


def test_a_layer_is_the_product_of_its_patches(layer_and_module):
    layer, _, x = layer_and_module
    W, b = weights(layer)
    assert W.shape == sides(layer)
    np.testing.assert_allclose(patches(layer, x) @ W + b, affine(layer, x), atol=1e-12)


def test_weights_are_put_back(layer_and_module):
    layer, _, x = layer_and_module
    W, b = weights(layer)
    moved = with_weights(layer, Dense(2 * W, b + 1))
    assert jax.tree.structure(moved) == jax.tree.structure(layer)
    np.testing.assert_allclose(affine(moved, x), 2 * affine(layer, x) - b + 1, atol=1e-12)


def test_patches_are_of_stride_one():
    stem = build(resnet((9, 9, 1), 3, blocks=1), range(1), seed=0).modules[0]
    with pytest.raises(ValueError, match="got a convolution of stride 3; patches are of stride 1"):
        patches(stem, jnp.ones((2, 9, 9, 1)))
