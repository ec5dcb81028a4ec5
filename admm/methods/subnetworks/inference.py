"""A saved network of modules: passed its data by workers that hold their own modules, or alone."""

from collections.abc import Callable
from pathlib import Path
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
from admm.methods.subnetworks.network import CHUNK, fill, filled, make_network, plan
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.methods.tasks import Task
from admm.run.options import folder_of
from admm.run.registry import options_from_json
from admm.run.run import check_dtype
from admm.run.saved import Saved, hold_saved
from layers import Chain, Subnetwork, build, split_layers


def load_module(run: str | Path, network: Any = None) -> Chain:
    """The best network of a run so far as one equinox module of one sample, for any new samples.

    It is what `Result.module` returns, from disk and without the data. Dropout is switched off by
    `eqx.nn.inference_mode`.

    Args:
        run: The `out` folder of a run of gsADMM or gsAM.
        network: The network of one's own that was trained: a `layers.Network`, or a model, whose
            parameters do not matter. An `mlp` by name needs none; of a `cnn` or `resnet` by name
            it is what `layers` makes for the shape of an image.

    Raises:
        InputError: If there is no such network, it is damaged, or `network` is another.

    Example:
        >>> import tempfile
        >>> import equinox as eqx
        >>> from admm import options, train_subnetworks
        >>> x = jax.random.normal(jax.random.key(1), (300, 4))
        >>> def make():
        ...     return eqx.nn.MLP(4, 1, 16, 2, key=jax.random.key(0))
        >>> run = tempfile.mkdtemp()
        >>> given = options("gsam", loss="squared_error", epochs=2, batch=30, out=run)
        >>> result = train_subnetworks(given, data=(x, x[:, 0]), network=make())
        >>> found = jax.vmap(load_module(run, make()))(x)
        >>> bool((found == jax.vmap(result.module())(x)).all())
        True
    """
    saved = hold_saved(folder_of(run))
    options = options_from_json(saved.manifest["options"])
    if not isinstance(options, SubnetworkOptions):
        raise InputError(f"{run} was trained by {options.solver}, which makes no module")
    check_dtype(options.dtype)
    return saved_module(saved, options, network)


def saved_module(saved: Saved, options: SubnetworkOptions, network: Any = None) -> Chain:
    """`load_module` of a network that is open.

    Raises:
        InputError: If `network` is missing, or another than the one saved.
    """
    dataset = saved.manifest["dataset"]
    outputs = dataset.get("classes", dataset.get("outputs"))
    if network is not None:
        options = SubnetworkOptions(network=network, dtype=options.dtype, seed=options.seed)
    elif options.network in ("cnn", "resnet"):
        raise InputError(
            f"{saved.run} holds a {options.network}, and no shape of an image; pass network=layers."
            f"{options.network}(shape, {outputs}), with the sizes that it was trained with"
        )
    made = make_network(options, (dataset["features"],), outputs)
    if len(made.builders) != saved.depth:
        raise InputError(
            f"{saved.run} holds {saved.depth} modules; the network has {len(made.builders)}"
        )
    return filled(made, options.seed, saved.read, str(saved.run))


def read_saved(
    options: SubnetworkOptions, saved: Saved, transport: Transport, data: Any, every: bool
) -> tuple[Task, Callable[[], Any]]:
    """Task, and a pass over the parts in order, or over every row.

    Where the last module is, the pass returns its outputs.

    Raises:
        InputError: In every process, if data or network cannot be read or do not fit, or there are
            more workers than modules.
    """
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
