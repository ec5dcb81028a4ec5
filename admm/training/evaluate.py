"""What a saved network makes of its data, each worker holding only its own layers or modules."""

from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.errors import InputError
from admm.parallel import Transport, chain, pass_dense, pass_forward
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
from admm.training.options import options_from_json
from admm.training.subnetwork_options import subnetwork_options_from_json
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


def evaluate(run: Path, transport: Transport, data_dir: Path | None = None) -> dict[str, float]:
    """Accuracy of the best network of a run so far, on all its labelled nodes.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the layers out.
        data_dir: Where the data set lies; by default where it lay in training.

    Returns:
        `train`, `val` and `test` accuracy, in every process.

    Raises:
        InputError: If the network or the data cannot be read, or do not belong together.
    """
    return _accuracies(*_pass_layers(run, transport, data_dir), transport)


def _accuracies(facts: Labelled, logits: Array | None, transport: Transport) -> dict[str, float]:
    found = None if logits is None else facts.accuracies(logits)
    found = transport.share(found, transport.size - 1)
    transport.flush()
    return found


def predict(
    run: Path,
    transport: Transport,
    data_dir: Path | None = None,
    network: Network | None = None,
) -> np.ndarray:
    """Probability of every class for every node or image, by the best network of a run so far.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the network out.
        data_dir: Where the data set lies; by default where it lay in training.
        network: The network of one's own that was trained, if it was.

    Returns:
        Probabilities, (nodes, classes), in the order of the data set, in every process.

    Raises:
        InputError: If network or data cannot be read, or do not belong together.
    """
    if "subnetworks" in transport.at_root(lambda: read_manifest(run))["options"]:
        _, logits = _pass_modules(run, transport, data_dir, network, every=True)
    else:
        _, logits = _pass_layers(run, transport, data_dir, every=True)
    found = None if logits is None else np.asarray(jax.nn.softmax(logits, axis=1))
    found = transport.share(found, transport.size - 1)
    transport.flush()
    return found


def _pass_layers(
    run: Path, transport: Transport, data_dir: Path | None, every: bool = False
) -> tuple[Facts, Array | None]:
    """Facts, and where the output layer is the logits: of the labelled nodes, or of every one."""
    manifest = transport.at_root(lambda: read_manifest(run))
    if "grow" not in manifest["options"]:
        raise InputError(f"{run} was trained by gsadmm or gsam; use evaluate_subnetworks")
    options = options_from_json(manifest["options"])
    check_dtype(options.dtype)
    if data_dir is not None:
        options = replace(options, data_dir=data_dir)
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


def evaluate_subnetworks(
    run: Path,
    transport: Transport,
    data_dir: Path | None = None,
    network: Network | None = None,
) -> dict[str, float]:
    """Accuracy of the best network of a run of gsADMM or gsAM; see `evaluate`.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the modules out.
        data_dir: Where the data set lies; by default where it lay in training.
        network: The network of one's own that was trained, if it was.

    Raises:
        InputError: If network or data cannot be read, or do not belong together.
    """
    return _accuracies(*_pass_modules(run, transport, data_dir, network), transport)


def _pass_modules(
    run: Path,
    transport: Transport,
    data_dir: Path | None,
    network: Network | None,
    every: bool = False,
) -> tuple[ImageFacts, Array | None]:
    """As `_pass_layers`, of images."""
    manifest = transport.at_root(lambda: read_manifest(run))
    if "subnetworks" not in manifest["options"]:
        raise InputError(f"{run} was not trained by gsadmm or gsam; use admm.training.evaluate")
    options = subnetwork_options_from_json(manifest["options"])
    if network is None and manifest.get("own_network"):
        raise InputError(f"{run} holds a network of one's own; pass it along, as network")
    check_dtype(options.dtype)
    if data_dir is not None:
        options = replace(options, data_dir=data_dir)
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
