"""A saved network over the parts of its graph, which are dealt out anew."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from admm.comm import Transport, fill_leaves
from admm.methods.partitions.options import PartitionOptions
from admm.methods.partitions.share import Facts, load_share
from admm.methods.partitions.training import logits_of_all, new_network, optimizer_of
from admm.methods.partitions.worker import PartitionWorker
from admm.run.saved import Saved


def pass_saved(
    options: PartitionOptions, saved: Saved, transport: Transport, data: Any, every: bool
) -> tuple[Facts, Array | None]:
    """Facts, and in the last process the logits: of what is labelled, or of every node.

    Raises:
        InputError: In every process, if data or network cannot be read.
    """
    # Any parts will do: those of training may need what is not installed here.
    options = replace(options.exact(), partition="auto", optimizer="gd", lr=None)  # does no step
    share = load_share(options, transport, data, parts=transport.size)
    transport.at_root(lambda: saved.check_dataset(share.dataset))
    blank = new_network(options, share.widths)
    network = [fill_leaves(layer, saved.read(n)) for n, layer in enumerate(blank, start=1)]
    optimizer = optimizer_of(options)
    workers = [
        PartitionWorker(index, share, transport, network, optimizer) for index in transport.local
    ]
    logits = transport.share(logits_of_all(share, workers, transport), 0)
    return share.facts, jnp.asarray(logits if every else logits[share.facts.rows])
