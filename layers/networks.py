"""Networks: sequences of modules, see `layers.modules`, that are numbered from 0."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from layers.modules import Module, Pair, Subnetwork, apply_module, takes_key

Builder = Callable[[PRNGKeyArray], Module]
"""Makes a module of a random key."""


@dataclass(frozen=True)
class Network:
    """What a network is made of; `build` makes its parameters.

    Args:
        builders: Each makes one module from a random key.
        shape: Shape of one input sample.
        dtype: Type of all parameters, and of what modules return.
        input_dtype: Type of an input sample, where that is another: whole numbers, such as tokens.

    Example:
        >>> scale = (lambda key: jnp.ones(3), lambda scale, x: scale * x)
        >>> isinstance(from_modules([scale, jnp.sum], shape=(3,)), Network)
        True
    """

    builders: tuple[Builder, ...]
    shape: tuple[int, ...]
    dtype: str = "float32"
    input_dtype: str | None = None


def build(network: Network, own: range, seed: int) -> Subnetwork:
    """The modules `own` of `network`.

    Seed and number together are a module's random key, so that a network is the same however it is
    cut, and whoever makes the modules.

    Example:
        >>> import equinox as eqx
        >>> network = from_modules([lambda x: 2 * x, lambda x: x + 1], shape=(3,))
        >>> build(network, range(1, 2), seed=0)(jnp.zeros((1, 3)))
        Array([[1., 1., 1.]], dtype=float32)
    """
    seed_key = jax.random.key(seed)
    modules = tuple(_make(network, n, jax.random.fold_in(seed_key, n)) for n in own)
    return Subnetwork(modules, own.start)


def from_modules(
    modules: Sequence[object],
    shape: tuple[int, ...],
    dtype: str = "float32",
    input_dtype: str | None = None,
) -> Network:
    """A network of one's own.

    Args:
        modules: Each is a callable that maps one sample to one sample, or a pair of functions
            `(init, apply)`: `init(key)` makes parameters, `apply(parameters, x)` maps one sample.
            A callable is used as it is, whatever the seed; it is trained where it is a pytree of
            arrays, like an equinox module. Where it has an argument `key` it is given one.
        shape: Shape of one input sample.
        dtype: Type of all parameters, which are converted to it, and of what modules return.
        input_dtype: Type of an input sample, where that is another.

    Raises:
        ValueError: If a module is neither, or if there is none.

    Example:
        >>> scale = (lambda key: jnp.ones(3), lambda scale, x: scale * x)
        >>> module_shapes(from_modules([scale, jnp.sum], shape=(3,)))
        [(3,), (3,), ()]
    """
    if not modules:
        raise ValueError("got no modules; a network needs at least one")
    builders = tuple(_builder(*item) for item in enumerate(modules))
    return Network(builders, tuple(shape), dtype, input_dtype)


def module_shapes(network: Network) -> list[tuple[int, ...]]:
    """Shapes of a sample before, between and after the modules; nothing is computed.

    Raises:
        ValueError: If a module does not take what the one before it returns, in training or in
            inference, returns another type, or keeps a state from batch to batch.

    Example:
        >>> module_shapes(from_modules([jnp.ravel, jnp.sum], shape=(2, 3)))
        [(2, 3), (6,), ()]
    """
    shapes = [network.shape]
    for number in range(len(network.builders)):
        module, x = _abstract(network, number), _sample(network, number, shapes[-1])
        what = f"module {number} ({_name(module)})"
        if _is_stateful(module):
            raise ValueError(
                f"{what} keeps a state from batch to batch, and modules are functions of one "
                "sample: use eqx.nn.LayerNorm, GroupNorm or RMSNorm in its place"
            )
        try:
            y = eqx.filter_eval_shape(apply_module, module, x, _abstract_key())
            if takes_key(module):
                eqx.filter_eval_shape(apply_module, eqx.nn.inference_mode(module), x, None)
        except Exception as error:
            kind = "" if x.dtype == network.dtype else f" in {x.dtype}"
            raise ValueError(
                f"{what} does not take a sample of shape {x.shape}{kind}: {error}"
            ) from error
        if not isinstance(y, jax.ShapeDtypeStruct):
            raise ValueError(
                f"{what} returns {type(y).__name__} for a sample of shape {x.shape}; "
                "expected one array"
            )
        if y.dtype != network.dtype:
            raise ValueError(
                f"{what} returns {y.dtype} for a sample of {x.dtype}; expected {network.dtype}"
            )
        shapes.append(y.shape)
    return shapes


def forward_costs(network: Network) -> list[float]:
    """Floating-point operations of every module's forward pass for one sample.

    XLA counts them, without compiling: a multiply-add is two, and products with the zeros around
    an image are none. The body of a loop (`jax.lax.scan`) counts once.

    Raises:
        ValueError: If a module does not take what the one before it returns.

    Example:
        >>> forward_costs(from_modules([lambda x: jnp.ones((10, 4)) @ x], shape=(4,)))
        [80.0]
    """
    costs = []
    try:  # not every backend counts; the CPU's does
        cpu = jax.devices("cpu")[0]
    except RuntimeError as error:
        raise ValueError(
            f"costs of modules are counted on the CPU, which JAX is told not to use ({error}); "
            "add it: JAX_PLATFORMS=cuda,cpu"
        ) from error
    with jax.default_device(cpu):
        for number, shape in enumerate(module_shapes(network)[:-1]):
            arrays, rest = eqx.partition(
                _abstract(network, number), lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
            )
            forward = jax.jit(
                lambda arrays, x, key, rest=rest: apply_module(eqx.combine(arrays, rest), x, key)
            )
            sample = _sample(network, number, shape)
            analysis = forward.lower(arrays, sample, _abstract_key()).cost_analysis() or {}
            costs.append(float(analysis.get("flops", 0)))
    return costs


def _builder(number: int, module: Any) -> Builder:
    if callable(module):
        return lambda key: module
    if isinstance(module, tuple) and len(module) == 2 and all(map(callable, module)):
        init, apply = module
        return lambda key: Pair(init(key), apply)
    raise ValueError(
        f"module {number} is a {type(module).__name__}; "
        "expected a callable or a pair (init, apply) of functions"
    )


def _make(network: Network, number: int, key: PRNGKeyArray) -> Module:
    """Module `number`, its parameters in the network's type (copied: a module may be shared)."""
    return jax.tree.map(
        lambda leaf: jnp.array(leaf, network.dtype) if eqx.is_inexact_array(leaf) else leaf,
        network.builders[number](key),
    )


def _abstract(network: Network, number: int) -> Module:
    """Module `number` with shapes in place of arrays."""
    return eqx.filter_eval_shape(lambda key: _make(network, number, key), _abstract_key())


def _abstract_key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _sample(network: Network, number: int, shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    """An input of module `number`."""
    given = network.input_dtype if number == 0 else None
    return jax.ShapeDtypeStruct(shape, given or network.dtype)


def _is_stateful(module: Any) -> bool:
    def is_index(leaf: Any) -> bool:
        return isinstance(leaf, eqx.nn.StateIndex)

    return any(map(is_index, jax.tree.leaves(module, is_leaf=is_index)))


def _name(module: Any) -> str:
    function = module.apply if isinstance(module, Pair) else module
    return getattr(function, "__name__", type(function).__name__)
