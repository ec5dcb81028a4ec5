"""A saved GA-MLP and its data, each worker holding only its own layers."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array

from admm.comm import Transport, chain, pass_dense
from admm.errors import InputError
from admm.methods.labelled import load_at_root
from admm.methods.layerwise.data import Facts, first_layer
from admm.methods.layerwise.options import HopOptions
from admm.run.saved import Saved
from layers import RELU, Dense, identity_dense, layer_costs, split_layers, widths


def pass_saved(
    options: HopOptions, saved: Saved, transport: Transport, data: Any, every: bool
) -> tuple[Facts, Array | None]:
    """Facts, and where the output layer is the logits: of what is labelled, or of every node.

    Raises:
        InputError: In every process, if data or network cannot be read, or there are more workers
            than layers.
    """
    if transport.size > saved.depth:
        raise InputError(
            f"got {transport.size} workers for {saved.depth} layers; start fewer ranks"
        )
    facts, rows = load_at_root(lambda: first_layer(options, saved, data, every), transport)
    rows = None if rows is None else jax.device_put(rows, transport.device(0))
    shape = widths(facts.columns, options.hidden, facts.classes, saved.depth)

    def layer(number: int) -> Dense:
        if number == 1:  # the rows have been through it, but for its activation
            return identity_dense((shape[1], shape[1]), options.dtype)
        return Dense(**saved.read(number))

    return facts, pass_layers(layer, shape, rows, len(facts.labels), transport)


def pass_layers(
    layer: Callable[[int], Dense],
    shape: Sequence[int],
    rows: Array | None,
    count: int,
    transport: Transport,
) -> Array | None:
    """Outputs of so many rows, where the last layer is: every worker passes its own layers.

    Args:
        layer: Reads one by its number, from 1.
        shape: Widths n_0…n_L.
        rows: At the root.
        count: How many there are.
        transport: Its workers share the layers out.
    """
    owned = [range(a, b + 1) for a, b in split_layers(layer_costs(shape), transport.size)]
    found = None
    for worker in transport.local:
        outputs = pass_dense(
            jax.device_put([layer(n) for n in owned[worker]], transport.device(worker)),
            RELU,
            count,
            rows if worker == 0 else None,
            worker,
            chain(owned)[worker],
            transport,
        )
        found = found if outputs is None else outputs
    return found
