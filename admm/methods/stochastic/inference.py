"""A saved network of stochastic ADMM and its data, each worker holding only its own layers."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from admm.comm import Transport
from admm.errors import InputError
from admm.methods.labelled import load_at_root
from admm.methods.layerwise.inference import pass_layers, pass_saved as pass_saved_hops
from admm.methods.stochastic.options import StochasticOptions
from admm.methods.stochastic.share import is_graph
from admm.methods.subnetworks.data import compact_inputs
from admm.methods.subnetworks.inference import read_saved
from admm.methods.tasks import Task
from admm.run.saved import Saved
from layers import Dense, widths


def pass_saved(
    options: StochasticOptions, saved: Saved, transport: Transport, data: Any, every: bool
) -> tuple[Task, Array | None]:
    """Task, and where the output layer is its outputs: of the parts in order, or of every row.

    Raises:
        InputError: In every process, if data or network cannot be read or do not fit, or there are
            more workers than layers.
    """
    if options.network == "cnn":
        task, forward = read_saved(options.modules, saved, transport, data, every)
        return task, forward()
    if is_graph(options, data):
        return pass_saved_hops(options, saved, transport, data, every)
    if transport.size > saved.depth:
        raise InputError(
            f"got {transport.size} workers for {saved.depth} layers; start fewer ranks"
        )

    def load() -> tuple[Any, Any]:
        facts, rows = compact_inputs(options, data, every)
        return facts, np.reshape(rows, (len(facts.task.targets), -1))

    facts, rows = load_at_root(load, transport, saved)
    rows = None if rows is None else jax.device_put(rows, transport.device(0))
    task, features = facts.task, int(np.prod(facts.shape))
    shape = widths(features, options.hidden, int(np.prod(task.outputs)), saved.depth)

    def layer(number: int) -> Dense:
        return Dense(**saved.read(number))

    return task, pass_layers(layer, shape, rows, len(task.targets), transport)
