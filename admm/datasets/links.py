"""Links of a block model: ends drawn by weight, within groups and the classes in them."""

from collections.abc import Iterator

import numpy as np

_CHUNK = 2**16


def draw_links(
    seed: tuple[int, ...],
    count: int,
    weights: np.ndarray,
    groups: np.ndarray,
    labels: np.ndarray,
    own_class: float,
) -> Iterator[np.ndarray]:
    """Links in chunks, (2, at most 65,536), int32.

    The first end of a link is any node, with probability ∝ its weight. The second is so too, among
    the nodes of the first's group, and with some probability among those that have its class too.

    Args:
        seed: Of all chunks; each is a function of it and of its number.
        count: Of links.
        weights: Shape (nodes,), positive.
        groups: Shape (nodes,), whole numbers.
        labels: Shape (nodes,), classes.
        own_class: The probability of the first's class.

    Example:
        >>> ones, label = np.ones(4), np.array([0, 0, 1, 1])
        >>> (links,) = draw_links((0,), 100, ones, np.zeros(4, int), label, own_class=1.0)
        >>> links.shape, bool((label[links[0]] == label[links[1]]).all())
        ((2, 100), True)
    """
    order = np.lexsort((labels, groups)).astype(np.int32)
    upto = np.concatenate([[0], np.cumsum(weights[order])])
    # In this order both keys rise: groups, and classes within them, are slices.
    group = groups[order].astype(np.int64)
    group_class = group * (int(labels.max()) + 1) + labels[order]
    within, within_class = (
        np.stack([np.searchsorted(key, key, side) for side in ("left", "right")])
        for key in (group, group_class)
    )
    for start in range(0, count, _CHUNK):
        random = np.random.default_rng((start // _CHUNK, *seed))
        size = min(_CHUNK, count - start)
        # In order, which is no matter to links, both searches stay in the processor's cache.
        first = _pick(upto, np.sort(random.random(size)), np.array([[0], [len(order)]]))
        same = random.random(size) < own_class
        slices = np.where(same, within_class[:, first], within[:, first])
        yield order[np.stack([first, _pick(upto, random.random(size), slices)])]


def _pick(upto: np.ndarray, uniform: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """A place of each of the slices, with probability ∝ its weight.

    Args:
        upto: Shape (places + 1,), sums of the weights before each place.
        uniform: Shape (draws,), in [0, 1).
        slices: Shape (2, draws) or (2, 1), first place and the one behind the last.
    """
    low, high = slices
    sums = upto[low] + uniform * (upto[high] - upto[low])
    return np.clip(np.searchsorted(upto, sums, "right") - 1, low, high - 1)
