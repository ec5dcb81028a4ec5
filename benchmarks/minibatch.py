"""Backpropagation of an MLP in mini-batches, tuned on validation images: rivals of `depth`."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from admm.datasets import Images
from admm.solvers.tssm import batches
from layers import Dense, forward, init_dense, widths


class Rows(NamedTuple):
    """Rows and their classes: training, validation and test."""

    x: tuple[Array, Array, Array]
    y: tuple[Array, Array, Array]


class Setting(NamedTuple):
    """What is chosen on validation rows."""

    lr: float
    batch: int
    decay: float
    scale: float


class Size(NamedTuple):
    """Of a network, and of its training."""

    layers: int
    hidden: int
    passes: int


class Score(NamedTuple):
    """Accuracies after the last pass, seconds of training, and those until an accuracy."""

    val: float
    test: float
    seconds: float
    to: float | None = None


_BATCHES, _SCALES = (10, 50, 120), (1.0, 0.3)

# Learning rates, sizes of mini-batches, weight decays, and deviations of the inputs.
GRIDS: dict[str, tuple[Sequence[Any], ...]] = {
    "adam": ((3e-4, 1e-3, 3e-3, 1e-2), _BATCHES, (0.0,), _SCALES),
    "adamw": ((3e-4, 1e-3, 3e-3, 1e-2), _BATCHES, (0.1, 1.0), _SCALES),
    "sgd": ((1e-2, 3e-2, 1e-1, 3e-1), _BATCHES, (0.0, 1e-4), _SCALES),
}


def settings(name: str) -> Iterator[Setting]:
    """All that are tried of an optimiser."""
    return map(Setting._make, product(*GRIDS[name]))


def rows_of(images: Images, training: int) -> Rows:
    """Inputs of mean 0 and deviation 1, of the first so many training images and all others."""
    x = images.inputs().reshape(len(images.labels), -1)
    train, val, test = images.split
    parts = (train[:training], val, test)
    return Rows(
        tuple(jnp.asarray(x[part]) for part in parts),  # type: ignore[arg-type]
        tuple(jnp.asarray(images.labels[part], "int32") for part in parts),  # type: ignore[arg-type]
    )


def make_optimizer(name: str, setting: Setting) -> optax.GradientTransformation:
    """Adam; AdamW; gradient descent with Nesterov's momentum of 0.9, decayed likewise."""
    if name == "sgd":
        momentum = optax.sgd(setting.lr, momentum=0.9, nesterov=True)
        return optax.chain(optax.add_decayed_weights(setting.decay), momentum)
    if name == "adamw":
        return optax.adamw(setting.lr, weight_decay=setting.decay)
    return optax.adam(setting.lr)


def train(
    name: str, setting: Setting, rows: Rows, size: Size, seed: int, to: float | None = None
) -> Score:
    """Train from He's weights; a pass is one compiled call.

    Args:
        name: Of the optimiser.
        setting: Its own.
        rows: What is learnt.
        size: Of network and training.
        seed: Of weights and mini-batches.
        to: Validation accuracy whose time counts.
    """
    parts, y = [setting.scale * x for x in rows.x], rows.y[0]
    x = parts[0]
    shape = widths(x.shape[1], size.hidden, int(y.max()) + 1, size.layers)
    network = [
        init_dense(seed, number, (n_in, n_out), (2 / n_in) ** 0.5, "float32")
        for number, (n_in, n_out) in enumerate(pairwise(shape), start=1)
    ]
    state = network, make_optimizer(name, setting).init(network)
    seconds, reached = 0.0, None
    for number in range(1, size.passes + 1):
        start = time.perf_counter()
        order = batches(seed, number, len(x), setting.batch)
        least = min(map(len, order))  # those of one more leave a row out
        state = _pass(name, setting, state, x, y, np.stack([batch[:least] for batch in order]))
        jax.block_until_ready(state)
        seconds += time.perf_counter() - start
        if to and reached is None and _accuracy(state[0], parts[1], rows.y[1]) >= to:
            reached = seconds
    val, test = (_accuracy(state[0], parts[n], rows.y[n]) for n in (1, 2))
    return Score(float(val), float(test), seconds, reached)


@partial(jax.jit, static_argnames=("name", "setting"), donate_argnames="state")
def _pass(name: str, setting: Setting, state: Any, x: Array, y: Array, order: Array) -> Any:
    optimizer = make_optimizer(name, setting)

    def loss(network: list[Dense], batch: Array) -> Array:
        outputs = forward(network, x[batch], jax.nn.relu)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, y[batch]).mean()

    def step(state: Any, batch: Array) -> tuple[Any, None]:
        network, memory = state
        gradient = jax.grad(loss)(network, batch)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            updates, memory = optimizer.update(gradient, memory, network)
        return (optax.apply_updates(network, updates), memory), None

    return jax.lax.scan(step, state, order)[0]


@jax.jit
def _accuracy(network: list[Dense], x: Array, y: Array) -> Array:
    return jnp.mean(forward(network, x, jax.nn.relu).argmax(axis=1) == y)
