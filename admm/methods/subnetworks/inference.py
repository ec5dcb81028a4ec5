"""A saved network of modules and its data, each worker holding only its own modules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import scipy.sparse as sp
from jaxtyping import Array

from admm.comm import Transport, chain, pass_forward
from admm.errors import InputError
from admm.methods.labelled import load_at_root
from admm.methods.subnetworks.data import compact_inputs
from admm.methods.subnetworks.network import CHUNK, fill, plan
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.methods.tasks import Task
from admm.run.saved import Saved
from layers import Subnetwork, build, split_layers


def read_saved(
    options: SubnetworkOptions, saved: Saved, transport: Transport, data: Any, every: bool
) -> tuple[Task, Callable[[], Any]]:
    """Task, and a pass over the parts in order, or over every row.

    Where the last module is, the pass returns its outputs.

    Raises:
        InputError: In every process, if data or network cannot be read or do not fit, or there are
            more workers than modules.
    """
    if saved.manifest.get("own_network") and isinstance(options.network, str):
        options = replace(options, network=None)  # so an earlier release said it
    facts, rows = load_at_root(lambda: compact_inputs(options, data, every), transport, saved)
    network, shapes, costs = plan(options, facts)
    if len(shapes) - 1 != saved.depth:
        raise InputError(
            f"got a network of {len(shapes) - 1} modules; {saved.run} holds one of {saved.depth}"
        )
    if transport.size > saved.depth:
        raise InputError(
            f"got {transport.size} workers for {saved.depth} modules; start fewer ranks"
        )
    owned = [range(first - 1, last) for first, last in split_layers(costs, transport.size)]
    parts = {}
    for worker in transport.local:
        modules = [
            fill(module, dict(saved.read(number + 1)), f"module {number} of {saved.run}")
            for number, module in zip(
                owned[worker], build(network, owned[worker], options.seed).modules, strict=True
            )
        ]
        whole = eqx.nn.inference_mode(Subnetwork(tuple(modules)))
        arrays, rest = eqx.partition(whole, eqx.is_array)
        part = eqx.combine(jax.device_put(arrays, transport.device(worker)), rest)
        parts[worker] = eqx.filter_jit(part)

    def forward() -> Array | None:
        found: list[Array] = []
        for worker, apply in parts.items():
            for start in range(0, len(facts.task.targets), CHUNK):  # dense for a while only
                count = min(CHUNK, len(facts.task.targets) - start)
                outputs = pass_forward(
                    apply,
                    jnp.zeros((0, *shapes[owned[worker].start]), options.dtype),
                    count,
                    _on_device(rows, start, count, transport) if worker == 0 else None,
                    worker,
                    chain(owned)[worker],
                    transport,
                )
                found += [] if outputs is None else [outputs]
        return jnp.concatenate(found) if found else None

    return facts.task, forward


def _on_device(rows: Any, start: int, count: int, transport: Transport) -> Array:
    block = rows[start : start + count]
    return jax.device_put(block.toarray() if sp.issparse(block) else block, transport.device(0))
