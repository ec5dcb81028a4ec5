"""Greedy growth: the stages of a run, who owns what in each, and where its parameters start."""

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from layers import Dense, identity_dense, init_dense

# Second seed of the class codes, beside the run's; layers are numbered from 1.
_CODES = 0


def stage_layers(split: Sequence[tuple[int, int]], depth: int) -> list[list[int]]:
    """Numbers of the layers that each worker owns in a stage of `depth` layers.

    Hidden layers are where they will be in the full network and the output layer is on the last
    worker, so that growing moves no weights; some workers may own nothing yet.

    Example:
        >>> stage_layers([(1, 3), (4, 7), (8, 10)], depth=5)
        [[1, 2, 3], [4], [5]]
    """
    owned = [[n for n in range(first, last + 1) if n < depth] for first, last in split]
    owned[-1].append(depth)
    return owned


def stage_network(
    seed: int,
    owned: Sequence[int],
    widths: Sequence[int],
    kept: Mapping[int, Dense] | None,
    features: int,
    dtype: str,
    coded: bool = False,
) -> list[Dense]:
    """Parameters of the owned layers at the start of a stage.

    In the first stage (`kept` is None) all are random, N(0, 2/n_{l−1}) (He et al.,
    arXiv 1502.01852); but where it starts from class codes, hidden layers after the first are the
    identity. Later, hidden layers that were trained are kept, and new hidden layers and the output
    layer start from the identity.

    Args:
        seed: Seed of the whole network.
        owned: Numbers of the layers, from 1.
        widths: n_0…n_L of the stage.
        kept: Trained hidden layers by number.
        features: Inputs of layer 1, when `layers.row_basis` leaves fewer of them in n_0.
        dtype: Type of the parameters.
        coded: Whether the stage starts from `class_codes`.

    Example:
        >>> network = stage_network(0, [1, 2], (4, 5, 2), None, 4, "float32")
        >>> [layer.W.shape for layer in network]
        [(4, 5), (5, 2)]
    """
    network = []
    for number in owned:
        shape = (widths[number - 1], widths[number])
        if kept is None and (number in (1, len(widths) - 1) or not coded):
            fan_in = features if number == 1 else shape[0]
            network.append(init_dense(seed, number, shape, math.sqrt(2 / fan_in), dtype))
        elif kept is not None and number in kept:
            network.append(kept[number])
        else:
            network.append(identity_dense(shape, dtype))
    return network


def class_codes(
    seed: int,
    owned: Sequence[int],
    widths: Sequence[int],
    labels: np.ndarray,
    size: float,
    dtype: str,
) -> list[Array]:
    """Label-informed z_l for the hidden layers of the first stage.

    z_l = `size` · C[label], where C has a row of random bits for every class, the same in all
    layers of a width. With the identity for W (`stage_network`) hidden layers after the first then
    start with no residual: layer 1 learns to tell the classes apart from the first iteration on,
    the output layer to read its code, and what they learn passes the layers between.

    From the forward pass of random weights, ten layers at once do not learn: an iteration carries
    the labels one layer down and halves what arrives, while random layers carry nothing of layer 1
    up that could be told apart from their own residuals. With levels even two layers do not: all
    activations round to the same one.

    Deviation: the paper starts from the forward pass and grows the network; with levels its result
    depends on how the scale of the inputs happens to fit Δ.

    Args:
        seed: Seed of the whole network.
        owned: Numbers of the layers, from 1; the output layer gets none.
        widths: n_0…n_L of the stage.
        labels: Classes of the training nodes, (V,).
        size: Activation of a unit whose bit is 1.
        dtype: Type of the result, (V, n_l) a layer.

    Example:
        >>> codes = class_codes(0, [1, 2, 3], (4, 5, 5, 2), np.array([0, 1]), 1.0, "float32")
        >>> [code.shape for code in codes]
        [(2, 5), (2, 5)]
    """
    codes = []
    for number in owned:
        if number < len(widths) - 1:
            # The weights of layer l are drawn from (seed, l).
            random = np.random.default_rng((seed, _CODES))
            code = random.integers(2, size=(widths[-1], widths[number]))
            codes.append(jnp.asarray(size * code[labels], dtype))
    return codes
