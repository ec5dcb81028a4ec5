"""Accuracy of a saved network, each worker holding only its own layers."""

from dataclasses import replace
from pathlib import Path

import jax

from admm.errors import InputError
from admm.parallel import Transport, chain, pass_dense
from admm.training.checks import check_dtype
from admm.training.data import full_inputs, load_again
from admm.training.model import read_layer, read_manifest
from admm.training.options import options_from_json
from layers import RELU, Dense, layer_costs, split_layers, widths


def evaluate(run: Path, transport: Transport, data_dir: Path | None = None) -> dict[str, float]:
    """Accuracy of the best network of a run, on all its labelled nodes.

    Args:
        run: The `--out` folder of the run.
        transport: Its workers share the layers out.
        data_dir: Where the data set lies; by default where it lay in training.

    Returns:
        `train`, `val` and `test` accuracy, in every process.

    Raises:
        InputError: If the network or the data cannot be read, or do not belong together.
    """
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
    facts, inputs = load_again(lambda: full_inputs(options), manifest, transport)
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
            found = facts.accuracies(logits)
    found = transport.share(found, transport.size - 1)
    transport.flush()
    return found
