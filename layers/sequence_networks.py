"""Networks of windows by name, and which of their parameters belong to one client."""

from collections.abc import Callable
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from layers.fathom import Fathom
from layers.names import Attention, SequenceKind
from layers.recurrent import RecurrentNetwork

_PRIVATE = {"task_attention", "output"}

SequenceNetwork = Callable[..., Array]
"""`network(x, *, context=None, key=None)`: the outputs of one window, (outputs,)."""


class WindowMLP(eqx.Module):
    """A hidden layer with ReLU, twice, on all numbers of a window, and a linear output.

    Example:
        >>> WindowMLP(3, 6, 2, 4, key=jax.random.key(0))(jnp.ones((6, 3))).shape
        (2,)
    """

    dense: tuple[eqx.nn.Linear, eqx.nn.Linear]
    output: eqx.nn.Linear

    def __init__(
        self,
        features: int,
        steps: int,
        outputs: int,
        hidden: int,
        dtype: str = "float32",
        *,
        key: PRNGKeyArray,
    ) -> None:
        keys = jax.random.split(key, 3)
        self.dense = (
            eqx.nn.Linear(steps * features, hidden, dtype=dtype, key=keys[0]),
            eqx.nn.Linear(hidden, hidden, dtype=dtype, key=keys[1]),
        )
        self.output = eqx.nn.Linear(hidden, outputs, dtype=dtype, key=keys[2])

    def __call__(
        self,
        x: Float[Array, "time features"],
        *,
        context: object = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " outputs"]:
        """The outputs of one window; other clients and randomness play no part."""
        y = x.ravel()
        for layer in self.dense:
            y = jax.nn.relu(layer(y))
        return self.output(y)


class WindowLinear(eqx.Module):
    """y = W · flatten(X) + b, from zero: with a squared loss and weight decay a ridge regression.

    Example:
        >>> WindowLinear(3, 6, 2)(jnp.ones((6, 3))).tolist()
        [0.0, 0.0]
    """

    weight: Float[Array, "outputs numbers"]
    bias: Float[Array, " outputs"]

    def __init__(self, features: int, steps: int, outputs: int, dtype: str = "float32") -> None:
        self.weight = jnp.zeros((outputs, steps * features), dtype)
        self.bias = jnp.zeros(outputs, dtype)

    def __call__(
        self,
        x: Float[Array, "time features"],
        *,
        context: object = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " outputs"]:
        """The outputs of one window; other clients and randomness play no part."""
        return self.weight @ x.ravel() + self.bias


def init_sequence_network(
    name: SequenceKind,
    *,
    features: int,
    steps: int,
    outputs: int,
    hidden: int = 16,
    attention: Attention = "own",
    clients: int = 1,
    use_task_attention: bool = True,
    use_temporal_attention: bool = True,
    dtype: str = "float32",
    key: PRNGKeyArray,
) -> SequenceNetwork:
    """A network of windows (steps, features), with start values that follow from `key`.

    | name | network |
    |---|---|
    | `fathom` | `Fathom`, with `attention`, `clients` and the two ablations |
    | `lstm` | `RecurrentNetwork` |
    | `mlp` | `WindowMLP` |
    | `linear` | `WindowLinear` |

    Raises:
        ValueError: If there is no such network, or no such attention.

    Example:
        >>> sizes = {"features": 3, "steps": 6, "outputs": 2, "key": jax.random.key(0)}
        >>> network = init_sequence_network("fathom", **sizes, attention="context")
        >>> jax.vmap(network)(jnp.ones((5, 6, 3))).shape
        (5, 2)
    """
    if name == "fathom":
        return Fathom(
            features,
            steps,
            outputs,
            hidden,
            attention,
            clients=clients,
            use_task_attention=use_task_attention,
            use_temporal_attention=use_temporal_attention,
            dtype=dtype,
            key=key,
        )
    if name == "lstm":
        return RecurrentNetwork(features, hidden, outputs, dtype, key=key)
    if name == "mlp":
        return WindowMLP(features, steps, outputs, hidden, dtype, key=key)
    if name == "linear":
        return WindowLinear(features, steps, outputs, dtype)
    raise ValueError(f"expected a network of {', '.join(get_args(SequenceKind))}, got {name!r}")


def private_parameters(network: PyTree) -> PyTree:
    """A tree like the network: True where a client keeps a leaf for itself, False where all share.

    Private is what is in a field named `task_attention` or `output`, of a network of one's own too.

    Example:
        >>> private = private_parameters(RecurrentNetwork(3, 4, 2, key=jax.random.key(0)))
        >>> private.output.weight, private.dense.weight
        (True, False)
        >>> any(jax.tree.leaves(private_parameters(WindowLinear(3, 6, 2))))
        False
    """

    def is_private(path: tuple[object, ...], leaf: object) -> bool:
        return not _PRIVATE.isdisjoint(getattr(entry, "name", "") for entry in path)

    return jax.tree_util.tree_map_with_path(is_private, network)
