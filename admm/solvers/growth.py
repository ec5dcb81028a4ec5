"""Greedy growth: the stages of a run, who owns what in each, and where its parameters start."""

import math
from collections.abc import Mapping, Sequence

from jaxtyping import Array

from layers import Dense, identity_dense, init_dense


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
    key: Array,
    owned: Sequence[int],
    widths: Sequence[int],
    kept: Mapping[int, Dense] | None,
    input_norm: float,
    dtype,
) -> list[Dense]:
    """Parameters of the owned layers at the start of a stage.

    In the first stage (`kept` is None) all are random: W₁ ~ N(0, 1/‖x‖²), so that the first
    pre-activations have unit variance whatever the number and scale of the inputs, and
    W_l ~ N(0, 2/n_{l−1}) above (He et al., arXiv 1502.01852). Later, hidden layers that were
    trained are kept, and new hidden layers and the output layer start from the identity.

    Args:
        key: Random key of the whole network.
        owned: Numbers of the layers, from 1.
        widths: n_0…n_L of the stage.
        kept: Trained hidden layers by number.
        input_norm: Root mean square Euclidean length of the input rows.
        dtype: Type of the parameters.
    """
    network = []
    for number in owned:
        shape = (widths[number - 1], widths[number])
        if kept is None:
            scale = 1 / input_norm if number == 1 else math.sqrt(2 / shape[0])
            network.append(init_dense(key, number, shape, scale, dtype))
        elif number in kept:
            network.append(kept[number])
        else:
            network.append(identity_dense(shape, dtype))
    return network
