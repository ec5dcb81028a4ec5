"""Networks to be cut into subnetworks: MLP, CNN and ResNet.

Weights start with variance 2/n_in in front of a rectifier and 1/n_in in the output layer (He et
al., arXiv 1502.01852), biases with 0. Images are (height, width, channels): on a CPU, convolutions
over this layout are faster.
"""

from functools import partial, reduce
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from layers.modules import DENSE
from layers.networks import Builder, Network, build


def mlp(
    shape: tuple[int, ...], hidden: int, classes: int, layers: int, dtype: str = "float32"
) -> Network:
    """A multilayer perceptron with rectifiers; each layer is a module.

    Args:
        shape: Shape of one input sample, which the first layer flattens.
        hidden: Width of the hidden layers.
        classes: Width of the output layer.
        layers: Number of layers, the output layer included.
        dtype: Type of the parameters.

    Raises:
        ValueError: If a sample is empty or a number is less than 1.

    Example:
        >>> from layers import module_shapes
        >>> module_shapes(mlp((14, 14), hidden=50, classes=10, layers=3))
        [(14, 14), (50,), (50,), (10,)]
    """
    if not all(shape):
        raise ValueError(f"got samples of shape {shape}; expected no empty side")
    _check_positive(hidden=hidden, classes=classes, layers=layers)
    return Network(_dense_layers(prod(shape), hidden, classes, layers), tuple(shape), dtype)


def cnn(
    shape: tuple[int, ...],
    classes: int,
    filters: int = 32,
    hidden: int = 512,
    dtype: str = "float32",
) -> Network:
    """Two stages of 3×3 convolution, rectifier and 2×2 max pooling, then three dense layers.

    Each stage and each layer is a module.

    Args:
        shape: (height, width, channels) of one image, at least 4×4.
        classes: Width of the output layer.
        filters: Channels of both convolutions.
        hidden: Width of the two hidden layers.
        dtype: Type of the parameters.

    Raises:
        ValueError: If the image is too small or a number is less than 1.

    Example:
        >>> from layers import module_shapes
        >>> module_shapes(cnn((32, 32, 3), classes=10))
        [(32, 32, 3), (16, 16, 32), (8, 8, 32), (512,), (512,), (10,)]
    """
    height, width, channels = _image(shape, least=4)
    _check_positive(classes=classes, filters=filters, hidden=hidden)
    stages = tuple(
        partial(_stage, n_in=n_in, n_out=filters, size=3, stride=1, pool=2, pad=False)
        for n_in in (channels, filters)
    )
    features = (height // 4) * (width // 4) * filters
    return Network((*stages, *_dense_layers(features, hidden, classes, 3)), tuple(shape), dtype)


def resnet(
    shape: tuple[int, ...],
    classes: int,
    blocks: int = 24,
    filters: int = 32,
    hidden: int = 512,
    dtype: str = "float32",
) -> Network:
    """A residual network without normalisation; stem, blocks and dense layers are modules.

    The stem is a 9×9 convolution of stride 3, rectifier and 3×3 max pooling of stride 3, padded so
    that no position is lost. A block adds two 3×3 convolutions to its input; the second one starts
    smaller by √blocks, so that the variance does not grow with the number of blocks. The first of
    three dense layers takes the average over all positions of the rectified image.

    Args:
        shape: (height, width, channels) of one image.
        classes: Width of the output layer.
        blocks: Number of residual blocks.
        filters: Channels of all convolutions.
        hidden: Width of the two hidden layers.
        dtype: Type of the parameters.

    Raises:
        ValueError: If the image is empty or a number is less than 1.

    Example:
        >>> from layers import module_shapes
        >>> module_shapes(resnet((32, 32, 3), classes=10, blocks=2))
        [(32, 32, 3), (4, 4, 32), (4, 4, 32), (4, 4, 32), (512,), (512,), (10,)]
    """
    channels = _image(shape, least=1)[2]
    _check_positive(classes=classes, blocks=blocks, filters=filters, hidden=hidden)
    stem = partial(_stage, n_in=channels, n_out=filters, size=9, stride=3, pool=3, pad=True)
    block = partial(_block, filters=filters, scale=blocks**-0.5)
    dense = _dense_layers(filters, hidden, classes, 3, average=True)
    return Network((stem, *[block] * blocks, *dense), tuple(shape), dtype)


def all_dense(network: Network) -> bool:
    """Whether all modules with parameters are dense: their operations tell how long they take.

    Example:
        >>> image = (8, 8, 1)
        >>> all_dense(mlp(image, hidden=9, classes=3, layers=4)), all_dense(cnn(image, classes=3))
        (True, False)
    """
    whole = range(len(network.builders))
    modules = eqx.filter_eval_shape(lambda: build(network, whole, seed=0)).modules
    trained = [module for module in modules if jax.tree.leaves(eqx.filter(module, _is_shape))]
    return all(isinstance(module, (_DenseLayer, *DENSE)) for module in trained)


def _is_shape(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


class _DenseLayer(eqx.Module):
    """f(x W + b), x the flattened sample, or the rectified image's average over positions.

    f is the rectifier; the output layer has none.
    """

    W: Array  # (n_in, n_out)
    b: Array  # (n_out,)
    rectify: bool = eqx.field(static=True)
    average: bool = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, " n_out"]:
        x = jax.nn.relu(x).mean((0, 1)) if self.average else x.reshape(-1)
        y = x @ self.W + self.b
        return jax.nn.relu(y) if self.rectify else y


class _Convolution(eqx.Module):
    """Convolution of an image with an odd kernel, zeros around it."""

    W: Array  # (size, size, n_in, n_out)
    b: Array  # (n_out,)
    stride: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, "h w n_in"]) -> Float[Array, "h_out w_out n_out"]:
        margin = self.W.shape[0] // 2
        y = lax.conv_general_dilated(
            x[None],
            self.W,
            window_strides=(self.stride, self.stride),
            padding=[(margin, margin)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y[0] + self.b


class Stage(eqx.Module):
    """Convolution, max pooling, rectifier: the last two commute, and so the rectifier has less.

    `cnn` makes them.

    Example:
        >>> from layers import build
        >>> (stage,) = build(cnn((8, 8, 1), classes=10), range(1), seed=0).modules
        >>> stage(jnp.ones((8, 8, 1))).shape
        (4, 4, 32)
    """

    convolution: _Convolution
    pool: int = eqx.field(static=True)
    pad: bool = eqx.field(static=True)

    def __call__(self, x: Float[Array, "h w n_in"]) -> Float[Array, "h_out w_out n_out"]:
        return self.activate(self.convolution(x))

    def activate(self, s: Float[Array, "h w n_out"]) -> Float[Array, "h_out w_out n_out"]:
        """What follows the convolution."""
        return jax.nn.relu(_max_pool(s, self.pool, self.pad))


class _Block(eqx.Module):
    """x + conv(relu(conv(relu(x))))."""

    first: _Convolution
    second: _Convolution

    def __call__(self, x: Float[Array, "h w n"]) -> Float[Array, "h w n"]:
        return x + self.second(jax.nn.relu(self.first(jax.nn.relu(x))))


def _max_pool(x: Float[Array, "h w n"], size: int, pad: bool) -> Float[Array, "h_out w_out n"]:
    """Largest values of size × size windows; windows that lack positions are padded or dropped.

    Strided slices: on a CPU, the gradient of `lax.reduce_window` takes ten times as long.
    """
    height, width = (n // size * size for n in x.shape[:2])
    if pad:
        margins = [(0, -n % size) for n in x.shape[:2]]
        x = jnp.pad(x, [*margins, (0, 0)], constant_values=-jnp.inf)
        height, width = x.shape[:2]
    slices = [x[i:height:size, j:width:size] for i in range(size) for j in range(size)]
    return reduce(jnp.maximum, slices)


def _normal(key: PRNGKeyArray, shape: tuple[int, ...], gain: float) -> Array:
    """Weights of variance gain/n_in: the same numbers for every type of the network."""
    return (gain / prod(shape[:-1])) ** 0.5 * jax.random.normal(key, shape, "float32")


def _zeros(n: int) -> Array:
    return jnp.zeros(n, "float32")


def _dense_layer(
    key: PRNGKeyArray, n_in: int, n_out: int, rectify: bool, average: bool
) -> _DenseLayer:
    W = _normal(key, (n_in, n_out), gain=2 if rectify else 1)
    return _DenseLayer(W, _zeros(n_out), rectify, average)


def _dense_layers(
    features: int, hidden: int, classes: int, layers: int, average: bool = False
) -> tuple[Builder, ...]:
    """`layers` dense layers; the first averages over positions if `average`."""
    widths = (features, *[hidden] * (layers - 1), classes)
    return tuple(
        partial(
            _dense_layer,
            n_in=widths[n],
            n_out=widths[n + 1],
            rectify=n < layers - 1,
            average=average and n == 0,
        )
        for n in range(layers)
    )


def _convolution(
    key: PRNGKeyArray, n_in: int, n_out: int, size: int, stride: int = 1, scale: float = 1.0
) -> _Convolution:
    W = scale * _normal(key, (size, size, n_in, n_out), gain=2)
    return _Convolution(W, _zeros(n_out), stride)


def _stage(
    key: PRNGKeyArray, n_in: int, n_out: int, size: int, stride: int, pool: int, pad: bool
) -> Stage:
    return Stage(_convolution(key, n_in, n_out, size, stride), pool, pad)


def _block(key: PRNGKeyArray, filters: int, scale: float) -> _Block:
    first, second = jax.random.split(key)
    return _Block(
        _convolution(first, filters, filters, 3),
        _convolution(second, filters, filters, 3, scale=scale),
    )


def _image(shape: tuple[int, ...], least: int) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"got samples of shape {shape}; expected (height, width, channels)")
    height, width, channels = shape
    if min(height, width) < least:
        raise ValueError(f"got images of {height}×{width}; they need at least {least}×{least}")
    return height, width, channels


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"got {name} {number}; expected at least 1")
