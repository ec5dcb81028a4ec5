"""What a saved network makes of its data, each worker holding only its own layers or modules."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.errors import InputError
from admm.parallel import LocalTransport, Transport, chain, pass_dense, pass_forward
from admm.training.checks import check_dtype
from admm.training.data import (
    Facts,
    ImageFacts,
    Labelled,
    full_inputs,
    image_inputs,
    load_again,
)
from admm.training.model import read_layer, read_manifest
from admm.training.network import CHUNK, check_inputs, fill, make_network
from admm.training.options import Options
from admm.training.subnetwork_options import SubnetworkOptions, options_from_json
from layers import (
    RELU,
    Dense,
    Network,
    Subnetwork,
    build,
    forward_costs,
    layer_costs,
    module_shapes,
    split_layers,
    widths,
)


def evaluate(
    run: Path,
    transport: Transport | None = None,
    data_dir: Path | None = None,
    network: Network | None = None,
) -> dict[str, float]:
    """Accuracy of the best network of a run so far, on all its labelled nodes or images.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the network out; by default it is passed in one piece.
        data_dir: Where the data set lies; by default where it lay in training.
        network: The network of one's own that was trained, if it was.

    Returns:
        `train`, `val` and `test` accuracy, in every process.

    Raises:
        InputError: If network or data cannot be read, or do not belong together.

    Example:
        >>> import tempfile
        >>> from admm.training import Options, train
        >>> run = Path(tempfile.mkdtemp())
        >>> best = train(Options(layers=2, hidden=16, epochs=5, out=run)).summary["best"]
        >>> evaluate(run)["test"] == best["test_accuracy"]
        True
    """
    transport = transport or LocalTransport(1)
    facts, logits = _pass(run, transport, data_dir, network)
    found = None if logits is None else facts.accuracies(logits)
    found = transport.share(found, transport.size - 1)
    transport.flush()
    return found


def predict(
    run: Path,
    transport: Transport | None = None,
    data_dir: Path | None = None,
    network: Network | None = None,
) -> np.ndarray:
    """Probability of every class for every node or image, by the best network of a run so far.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the network out; by default it is passed in one piece.
        data_dir: Where the data set lies; by default where it lay in training.
        network: The network of one's own that was trained, if it was.

    Returns:
        Probabilities, (nodes or images, classes), in the order of the data set, in every process.

    Raises:
        InputError: If network or data cannot be read, or do not belong together.
    """
    transport = transport or LocalTransport(1)
    _, logits = _pass(run, transport, data_dir, network, every=True)
    found = None if logits is None else np.asarray(jax.nn.softmax(logits, axis=1))
    found = transport.share(found, transport.size - 1)
    transport.flush()
    return found


def _pass(
    run: Path,
    transport: Transport,
    data_dir: Path | None,
    network: Network | None,
    every: bool = False,
) -> tuple[Labelled, Array | None]:
    """Facts, and where the output layer is the logits: of what is labelled, or of everything."""
    manifest = transport.at_root(lambda: read_manifest(run))
    options = options_from_json(manifest["options"])
    check_dtype(options.dtype)
    if data_dir is not None:
        options = replace(options, data_dir=data_dir)
    if isinstance(options, SubnetworkOptions):
        if network is None and manifest.get("own_network"):
            raise InputError(f"{run} holds a network of one's own; pass it along, as network")
        return _pass_modules(run, manifest, options, transport, network, every)
    if network is not None:
        raise InputError(f"{run} was trained by {options.solver}, which takes no network")
    return _pass_layers(run, manifest, options, transport, every)


def _pass_layers(
    run: Path,
    manifest: Mapping[str, Any],
    options: Options,
    transport: Transport,
    every: bool,
) -> tuple[Facts, Array | None]:
    if transport.size > manifest["depth"]:
        raise InputError(
            f"got {transport.size} workers for {manifest['depth']} layers; start fewer ranks"
        )
    facts, inputs = load_again(lambda: full_inputs(options, every), manifest, transport)
    rows = None if inputs is None else jax.device_put(inputs.rows, transport.device(0))
    shape = widths(facts.columns, options.hidden, facts.classes, manifest["depth"])
    split = split_layers(layer_costs(shape), transport.size)
    owned = [range(first, last + 1) for first, last in split]
    found = None
    for worker in transport.local:
        network = jax.device_put(
            [Dense(**read_layer(run, manifest, number)) for number in owned[worker]],
            transport.device(worker),
        )
        logits = pass_dense(
            network,
            RELU,
            len(facts.labels),
            rows if worker == 0 else None,
            worker,
            chain(owned)[worker],
            transport,
        )
        if logits is not None:
            found = logits
    return facts, found


def _pass_modules(
    run: Path,
    manifest: Mapping[str, Any],
    options: SubnetworkOptions,
    transport: Transport,
    network: Network | None,
    every: bool,
) -> tuple[ImageFacts, Array | None]:
    facts, rows = load_again(lambda: image_inputs(options, every), manifest, transport)
    network = network or make_network(options, facts.shape, facts.classes)
    check_inputs(network, options, facts)
    try:
        shapes, costs = module_shapes(network), forward_costs(network)
    except ValueError as error:
        raise InputError(str(error)) from error
    if len(shapes) - 1 != manifest["depth"]:
        raise InputError(
            f"got a network of {len(shapes) - 1} modules; {run} holds one of {manifest['depth']}"
        )
    if transport.size >= len(shapes):
        raise InputError(
            f"got {transport.size} workers for {len(shapes) - 1} modules; start fewer ranks"
        )
    owned = [range(first - 1, last) for first, last in split_layers(costs, transport.size)]
    found = None
    for worker in transport.local:
        modules = [
            fill(module, read_layer(run, manifest, number + 1), f"module {number} of {run}")
            for number, module in zip(
                owned[worker], build(network, owned[worker], options.seed).modules, strict=True
            )
        ]
        arrays, rest = eqx.partition(Subnetwork(tuple(modules)), eqx.is_array)
        part = eqx.combine(jax.device_put(arrays, transport.device(worker)), rest)
        logits = pass_forward(
            eqx.filter_jit(part),
            jnp.zeros((0, *shapes[owned[worker].start]), options.dtype),
            len(facts.labels),
            jax.device_put(rows, transport.device(0)) if worker == 0 else None,
            worker,
            chain(owned)[worker],
            transport,
            chunk=CHUNK,
        )
        if logits is not None:
            found = logits
    return facts, found
