"""The strong shallow rival: two layers, Adam, dropout and weight decay.

It gets the same inputs and the same split as the deep networks, and a tuning of its own. All seeds
are trained at once, in one compiled call.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from layers import init_dense


class Setting(NamedTuple):
    """What is tuned."""

    lr: float
    dropout: float  # of the inputs and of the hidden layer
    weight_decay: float  # λ of λ/2 Σ‖W_l‖²


class Score(NamedTuple):
    """At the earliest evaluation of highest validation accuracy."""

    val: float
    test: float


GRID = tuple(Setting(*each) for each in product((1e-2, 1e-3), (0.0, 0.5, 0.8), (0.0, 5e-4, 5e-3)))


def train_shallow(
    rows: Array,
    labels: np.ndarray,
    sizes: tuple[int, ...],
    hidden: int,
    setting: Setting,
    seeds: tuple[int, ...],
    epochs: int,
    eval_every: int = 1,
) -> list[Score]:
    """Full-batch training; the score of every seed.

    Args:
        rows: Inputs of training, validation and test nodes, (rows, columns).
        labels: Class of every row.
        sizes: How many rows are of each of the three.
        hidden: Width of the hidden layer.
        setting: Hyperparameters.
        seeds: Of initial weights and dropout.
        epochs: Steps of the optimiser.
        eval_every: Steps between evaluations; those after the last evaluation are not taken.
    """
    classes = int(labels.max()) + 1
    widths = (rows.shape[1], hidden, classes)
    networks = [
        [
            init_dense(seed, n + 1, (widths[n], widths[n + 1]), (2 / widths[n]) ** 0.5, "float32")
            for n in (0, 1)
        ]
        for seed in seeds
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    vals, tests = _train(rows, labels, stacked, keys, sizes, setting, epochs, eval_every)
    best = vals.argmax(axis=1)
    return [
        Score(float(val[n]), float(test[n])) for val, test, n in zip(vals, tests, best, strict=True)
    ]


@partial(jax.jit, static_argnames=("sizes", "epochs", "eval_every"))
def _train(
    rows: Array,
    labels: Array,
    networks: Any,
    keys: Array,
    sizes: tuple[int, ...],
    setting: Setting,
    epochs: int,
    eval_every: int,
) -> tuple[Array, Array]:
    """Validation and test accuracy of every seed and evaluation."""
    train, val, _ = sizes
    adam = optax.chain(
        optax.add_decayed_weights(setting.weight_decay, mask=_is_weight),
        optax.adam(setting.lr),
    )

    def loss(network: Any, key: Array) -> Array:
        keys = iter(jax.random.split(key))

        def drop(x: Array) -> Array:
            kept = jax.random.bernoulli(next(keys), 1 - setting.dropout, x.shape)
            return jnp.where(kept, x / (1 - setting.dropout), 0)

        logits = _forward(network, rows[:train], drop)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[:train]).mean()

    def epoch(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], None]:
        network, memory = carry
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            updates, memory = adam.update(jax.grad(loss)(network, key), memory, network)
        return (optax.apply_updates(network, updates), memory), None

    def evaluated(carry: tuple[Any, Any], keys: Array) -> tuple[tuple[Any, Any], Array]:
        (network, memory), _ = jax.lax.scan(epoch, carry, keys)
        right = _forward(network, rows[train:]).argmax(axis=1) == labels[train:]
        return (network, memory), jnp.stack([right[:val].mean(), right[val:].mean()])

    def run(network: Any, key: Array) -> Array:
        keys = jax.random.split(key, (epochs // eval_every, eval_every))
        return jax.lax.scan(evaluated, (network, adam.init(network)), keys)[1]

    accuracies = jax.vmap(run)(networks, keys)
    return accuracies[:, :, 0], accuracies[:, :, 1]


def _is_weight(network: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, network)


def _forward(network: Any, x: Array, drop: Callable[[Array], Array] = lambda x: x) -> Array:
    first, last = network
    return drop(jax.nn.relu(drop(x) @ first.W + first.b)) @ last.W + last.b
