"""The network of a run of gsADMM or gsAM, and its parameters by name."""

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
from layers import Network, cnn, forward_costs, mlp, module_shapes, resnet

# Images that an evaluation passes on at a time.
CHUNK = 1000


def make_network(options: SubnetworkOptions, shape: tuple[int, ...], classes: int) -> Network:
    """The network that the options ask for, or hold.

    Raises:
        InputError: If samples of this shape do not fit it.
    """
    hidden, dtype = options.hidden, options.dtype
    if isinstance(options.network, Network):
        return options.network
    if options.network is None:
        raise InputError("there was a network of one's own; pass it along, as network")
    if not isinstance(options.network, str):
        raise InputError(
            f"{spelled('network')} must be one of mlp, cnn, resnet or a Network of layers, got "
            f"{options.network!r}"
        )
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
    network = make_network(options, facts.shape, facts.classes)
    if (network.shape, network.dtype) != (facts.shape, options.dtype):
        raise InputError(
            f"the network takes samples of shape {network.shape} in {network.dtype}; "
            f"{options.dataset} has {facts.shape}, and {spelled('dtype')} is {options.dtype}"
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
