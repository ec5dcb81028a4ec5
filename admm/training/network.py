"""The network of a run of gsADMM or gsAM, and its parameters by name."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.errors import InputError
from admm.parallel import fill_leaves, named_leaves
from admm.training.data import ImageFacts
from admm.training.subnetwork_options import SubnetworkOptions
from layers import Network, cnn, mlp, resnet

# Images that an evaluation passes on at a time.
CHUNK = 1000


def make_network(options: SubnetworkOptions, shape: tuple[int, ...], classes: int) -> Network:
    """The network that the options ask for.

    Raises:
        InputError: If samples of this shape do not fit it.
    """
    hidden, dtype = options.hidden, options.dtype
    try:
        if options.network == "mlp":
            return mlp(shape, hidden, classes, options.layers, dtype)
        if options.network == "cnn":
            return cnn(shape, classes, options.filters, hidden, dtype)
        return resnet(shape, classes, options.blocks, options.filters, hidden, dtype)
    except ValueError as error:
        raise InputError(f"--network {options.network} on {options.dataset}: {error}") from error


def check_inputs(network: Network, options: SubnetworkOptions, facts: ImageFacts) -> None:
    """Refuse a network that does not take the images of a run.

    Raises:
        InputError: If shape or type differ.
    """
    if (network.shape, network.dtype) != (facts.shape, options.dtype):
        raise InputError(
            f"the network takes samples of shape {network.shape} in {network.dtype}; "
            f"{options.dataset} has {facts.shape}, and --dtype is {options.dtype}"
        )


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
