"""A saved GA-MLP and its data, each worker holding only its own layers."""

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
    owned = [range(a, b + 1) for a, b in split_layers(layer_costs(shape), transport.size)]
    found = None
    for worker in transport.local:
        network = [
            # The rows have been through layer 1, but for its activation.
            identity_dense((shape[1], shape[1]), options.dtype)
            if number == 1
            else Dense(**saved.read(number))
            for number in owned[worker]
        ]
        logits = pass_dense(
            jax.device_put(network, transport.device(worker)),
            RELU,
            len(facts.labels),
            rows if worker == 0 else None,
            worker,
            chain(owned)[worker],
            transport,
        )
        found = found if logits is None else logits
    return facts, found
