"""Greedy growth: the stages of a run, who owns what in each, and where its parameters start."""

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from layers import Dense, identity_dense, init_dense

# Third seed of the class codes, beside the run's and the layer's.
_CODES = 1


def default_stages(layers: int) -> tuple[int, ...]:
    """Depths of the stages: the full depth, halved down to two (or three) layers.

    Example:
        >>> default_stages(10), default_stages(16), default_stages(1)
        ((2, 5, 10), (2, 4, 8, 16), (1,))
    """
    stages = [layers]
    while stages[0] > 3:
        stages.insert(0, stages[0] // 2)
    return tuple(stages)


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
) -> list[Dense]:
    """Parameters of the owned layers at the start of a stage.

    In the first stage (`kept` is None) all are random, N(0, 2/n_{l−1}) (He et al.,
    arXiv 1502.01852). Later, hidden layers that were trained are kept, and new hidden layers and
    the output layer start from the identity.

    Args:
        seed: Seed of the whole network.
        owned: Numbers of the layers, from 1.
        widths: n_0…n_L of the stage.
        kept: Trained hidden layers by number.
        features: Inputs of layer 1, when `layers.row_basis` leaves fewer of them in n_0.
        dtype: Type of the parameters.
    """
    network = []
    for number in owned:
        shape = (widths[number - 1], widths[number])
        if kept is None:
            fan_in = features if number == 1 else shape[0]
            network.append(init_dense(seed, number, shape, math.sqrt(2 / fan_in), dtype))
        elif number in kept:
            network.append(kept[number])
        else:
            network.append(identity_dense(shape, dtype))
    return network


def class_codes(
    seed: int,
    owned: Sequence[int],
    widths: Sequence[int],
    labels: np.ndarray,
    step: float,
    dtype: str,
) -> list[Array]:
    """Label-informed z_l for the hidden layers of the first stage of pdADMM-G-Q.

    The activations that random weights produce all round to the same level, and nothing is
    learned from there. So every unit starts at three steps of Δ for the nodes of some classes,
    each chosen with probability ½, and at 0 for the others: far enough apart that rounding does
    not blur them.

    Deviation: the paper starts from the forward pass, and its result depends on how the scale of
    the inputs happens to fit Δ.

    Args:
        seed: Seed of the whole network.
        owned: Numbers of the layers, from 1; the output layer gets none.
        widths: n_0…n_L of the stage.
        labels: Classes of the training nodes, (V,).
        step: Distance of the levels.
        dtype: Type of the result, (V, n_l) a layer.
    """
    codes = []
    for number in owned:
        if number < len(widths) - 1:
            # The weights of layer l are drawn from (seed, l).
            random = np.random.default_rng((seed, number, _CODES))
            code = random.integers(2, size=(widths[-1], widths[number]))
            codes.append(jnp.asarray(3 * step * code[labels], dtype))
    return codes
