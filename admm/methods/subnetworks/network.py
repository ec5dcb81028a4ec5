"""The network of a run of gsADMM or gsAM, and its parameters by name."""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm import fill_leaves, named_leaves
from admm.errors import InputError, spelled
from admm.methods.subnetworks.data import RowFacts
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.run.method import Arrays
from layers import (
    Chain,
    Network,
    build,
    cnn,
    forward_costs,
    from_modules,
    mlp,
    module_shapes,
    resnet,
    split_model,
)

# Images that an evaluation passes on at a time.
CHUNK = 1000


def make_network(
    options: SubnetworkOptions,
    shape: tuple[int, ...],
    classes: int,
    input_dtype: str | None = None,
) -> Network:
    """The network that the options ask for, or hold.

    Args:
        options: Of the run.
        shape: Of a sample.
        classes: Numbers that the last module returns.
        input_dtype: Of samples of whole numbers.

    Raises:
        InputError: If samples of this shape do not fit it, or a model cannot be cut.
    """
    hidden, dtype = options.hidden, options.dtype
    options.check_given("network")
    if isinstance(options.network, Network):
        return options.network
    if not isinstance(options.network, str):
        try:
            return from_modules(split_model(options.network), shape, dtype, input_dtype)
        except ValueError as error:
            raise InputError(
                f"{spelled('network')} must be one of mlp, cnn, resnet, a Network of layers or a "
                f"model that can be cut, got {options.network!r:.80}: {error}"
            ) from error
    try:
        if options.network == "mlp":
            return mlp(shape, hidden, classes, options.layers, dtype)
        if options.network == "cnn":
            return cnn(shape, classes, options.filters, hidden, dtype)
        return resnet(shape, classes, options.blocks, options.filters, hidden, dtype)
    except ValueError as error:
        raise InputError(
            f"{spelled('network', options.network)} on {options.dataset}: {error}"
        ) from error


class Plan(NamedTuple):
    """A network, and what is known of it before anything is computed."""

    network: Network
    shapes: list[tuple[int, ...]]  # of one sample before, between and after its modules
    costs: list[float]  # of its modules


def plan(options: SubnetworkOptions, facts: RowFacts) -> Plan:
    """The network of a run.

    Raises:
        InputError: If it does not take the samples, or modules do not fit together.
    """
    outputs = facts.task.outputs
    if outputs is None and isinstance(options.network, str):
        raise InputError(
            f"{spelled('network', options.network)} has outputs for the targets, and a loss of "
            "one's own does not say how many; pass a network of your own too"
        )
    network = make_network(options, facts.shape, prod(outputs or ()), facts.input_dtype)
    takes = (network.shape, network.dtype, network.input_dtype)
    if takes != (facts.shape, options.dtype, facts.input_dtype):
        raise InputError(
            f"the network takes samples of shape {network.shape} in "
            f"{network.input_dtype or network.dtype}; {options.dataset} has {facts.shape} in "
            f"{facts.input_dtype or options.dtype}, and {spelled('dtype')} is {options.dtype}"
        )
    try:
        return Plan(network, module_shapes(network), forward_costs(network))
    except ValueError as error:
        raise InputError(str(error)) from error


def named_arrays(module: Any) -> dict[str, Array]:
    """The parameters of a module, by name."""
    return named_leaves(eqx.filter(module, eqx.is_inexact_array))


def fill(module: Any, arrays: dict[str, np.ndarray], what: str) -> Any:
    """A module with parameters from a file.

    Raises:
        InputError: If names or shapes are not those of the module; it says `what` they are.
    """
    params, static = eqx.partition(module, eqx.is_inexact_array)
    expected = {name: array.shape for name, array in named_arrays(module).items()}
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        raise InputError(f"{what} has parameters {found}; the network's has {expected}")
    return eqx.combine(fill_leaves(params, jax.tree.map(jnp.asarray, arrays)), static)


def filled(network: Network, seed: int, read: Callable[[int], Arrays], what: str) -> Chain:
    """A whole network with parameters from elsewhere, in one piece.

    Args:
        network: Says what its modules are.
        seed: Of the run.
        read: The arrays of a module by name; modules are numbered from 1.
        what: Holds them, for messages.

    Raises:
        InputError: If their names or shapes are others.
    """
    modules = build(network, range(len(network.builders)), seed).modules
    return Chain(
        tuple(
            fill(module, dict(read(number)), f"module {number} of {what}")
            for number, module in enumerate(modules, 1)
        )
    )
