"""Accuracy of a saved network, each worker holding only its own layers."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from admm.errors import InputError
from admm.parallel import Transport, chain, pass_dense
from admm.training.data import Facts, full_inputs
from admm.training.model import read_layer, read_manifest
from admm.training.options import check_dtype, options_from_json
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
    rows: list[np.ndarray] = []

    def load() -> Facts:
        facts, inputs = full_inputs(options)
        if facts.summary != manifest["dataset"]:
            raise InputError(
                f"the network was trained on {manifest['dataset']}, but the data set is now "
                f"{facts.summary}"
            )
        rows.append(inputs.rows)
        return facts

    facts = transport.at_root(load)
    shape = widths(facts.columns, options.hidden, facts.classes, manifest["depth"])
    split = split_layers(layer_costs(shape), transport.size)
    owned = [range(first, last + 1) for first, last in split]
    right = None
    for worker in transport.local:
        network = jax.device_put(
            [Dense(**read_layer(run, manifest, number)) for number in owned[worker]],
            transport.device(worker),
        )
        logits = pass_dense(
            network,
            RELU,
            len(facts.labels),
            jax.device_put(rows[0], transport.device(0)) if worker == 0 else None,
            worker,
            chain(owned)[worker],
            transport,
        )
        if logits is not None:
            right = np.asarray(logits.argmax(axis=1)) == facts.labels
    right = transport.share(right, transport.size - 1)
    transport.flush()
    parts = np.split(right, np.cumsum(facts.sizes)[:-1])
    return {
        name: float(part.mean()) for name, part in zip(("train", "val", "test"), parts, strict=True)
    }
