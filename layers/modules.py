"""Modules, one after the other: on one sample, and on a batch; and models taken apart into them.

A module is an equinox module, or any other callable, that maps one sample to one sample. One that
has a `key` among its arguments, as those of equinox do, is given a random key in training and none
in inference.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree, Shaped

Module = Callable[..., Array]


class Chain(eqx.Module):
    """Consecutive modules of a network, applied to one sample.

    Every module is given a key of its own, made from `key` and the module's number in the network.

    Example:
        >>> import jax.numpy as jnp
        >>> Chain((jnp.ravel, lambda x: x + 1))(jnp.zeros((2, 1)))
        Array([1., 1.], dtype=float32)
    """

    modules: tuple[Module, ...]
    first: int = eqx.field(static=True, default=0)  # number of the first module, from 0

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        for number, module in enumerate(self.modules, self.first):
            own = None if key is None else jax.random.fold_in(key, number)
            x = apply_module(module, x, own)
        return x


class Subnetwork(eqx.Module):
    """Consecutive modules of a network, applied to the samples of a batch.

    Example:
        >>> import jax.numpy as jnp
        >>> Subnetwork((jnp.ravel, jnp.sum))(jnp.ones((5, 2, 3))).tolist()
        [6.0, 6.0, 6.0, 6.0, 6.0]
    """

    modules: tuple[Module, ...]
    first: int = eqx.field(static=True, default=0)

    def __call__(
        self, x: Shaped[Array, "batch ..."], keys: Key[Array, " batch"] | None = None
    ) -> Float[Array, "batch ..."]:
        """The outputs of a batch, with a key for each sample in training."""
        chain = Chain(self.modules, self.first)
        return jax.vmap(lambda sample, key: chain(sample, key=key))(x, keys)


class Pair(eqx.Module):
    """Parameters, and the function that applies them to a sample."""

    params: PyTree
    apply: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, x: Array, **key: Any) -> Any:
        return self.apply(self.params, x, **key)


def takes_key(module: Module) -> bool:
    """Whether a module has an argument `key`, after the sample.

    Example:
        >>> takes_key(eqx.nn.Dropout(0.5)), takes_key(jax.nn.relu)
        (True, False)
    """
    function = module.apply if isinstance(module, Pair) else module
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:  # of a function that is not written in Python
        return False
    return "key" in names[1:]


def apply_module(module: Module, x: Array, key: PRNGKeyArray | None) -> Any:
    """What a module makes of a sample, with a key if it takes one."""
    return module(x, key=key) if takes_key(module) else module(x)


def split_model(model: Any) -> list[Any]:
    """The modules of a model: the layers of an `MLP` or a `Sequential`, or those of a list.

    An activation stays with its layer of an `MLP`. Layers of a `Sequential` that can be split are.

    Raises:
        ValueError: If there is no telling where a model can be cut.

    Example:
        >>> len(split_model(eqx.nn.MLP(3, 1, width_size=8, depth=2, key=jax.random.key(0))))
        3
    """
    if isinstance(model, eqx.nn.MLP) and not getattr(model, "scan", False):
        if not model.depth:  # whether it has its activation depends on equinox's release
            return [model]
        hidden = [_Hidden(layer, model.activation, n) for n, layer in enumerate(model.layers[:-1])]
        return [*hidden, _Output(model.layers[-1], model.final_activation)]
    if isinstance(model, eqx.nn.Sequential):
        kinds = (eqx.nn.MLP, eqx.nn.Sequential)
        parts = (split_model(each) if isinstance(each, kinds) else [each] for each in model.layers)
        return [module for part in parts for module in part]
    if isinstance(model, Sequence) and not isinstance(model, str):
        return list(model)
    raise ValueError(
        f"a {type(model).__name__} cannot be cut: pass its modules, each a function of one sample, "
        "as a list, or an eqx.nn.Sequential or eqx.nn.MLP"
    )


class _Hidden(eqx.Module):
    """A hidden layer of an `MLP`, whose activation may have parameters of every layer."""

    layer: eqx.nn.Linear
    activation: Callable[[Array], Array]

    def __init__(self, layer: eqx.nn.Linear, activation: Any, number: int) -> None:
        self.layer = layer
        self.activation = jax.tree.map(
            lambda leaf: leaf[number] if eqx.is_array(leaf) else leaf, activation
        )

    def __call__(self, x: Array) -> Array:
        return eqx.filter_vmap(lambda each, y: each(y))(self.activation, self.layer(x))


class _Output(eqx.Module):
    """The last layer of an `MLP`."""

    layer: eqx.nn.Linear
    activation: Callable[[Array], Array]

    def __call__(self, x: Array) -> Array:
        y = self.layer(x)
        if not y.ndim:
            return self.activation(y)
        return eqx.filter_vmap(lambda each, y: each(y))(self.activation, y)


# Dense layers as equinox has them, alone or out of an `MLP`.
DENSE = (eqx.nn.Linear, _Hidden, _Output)
