"""The network of a client, made of shared and private parameters, and its loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from admm.comm import fill_leaves
from admm.datasets.windows import Windows
from admm.methods.federated.options import FederatedOptions
from admm.solvers.backprop import make_optimizer
from admm.solvers.federated import LocalSolver, Scalar, Shared
from layers import Context, init_sequence_network, private_parameters
from layers.masked import bce, cross_entropy, l1, squared_error

# Windows of a client that pass through its network at once, in evaluations.
CHUNK = 128

_LOSSES = {
    "l1": l1,
    "squared_error": squared_error,
    "multilabel": bce,
    "classes": cross_entropy,
}


class Batch(NamedTuple):
    """Windows with what is to be learned of them, as the arithmetic has them: NumPy or JAX."""

    inputs: Any  # (…, T, D)
    targets: Any  # (…, outputs) or, of classes, (…)
    present: Any  # the shape of the targets
    slots: Any = None  # (…), of windows that look at those of other clients
    context: Any = None  # what these are told of them in each slot, (slots, others, T, H)


class Personal(NamedTuple):
    """What a client adds to the shared parameters to make its network."""

    v: PyTree  # private parameters
    context: Context | None = None  # what it was told of the others last

    @property
    def saved(self) -> Any:
        """As it is saved: a saved network has numbers alone, no truth values."""
        if self.context is None:
            return self.v
        sequences, available = self.context
        return Personal(self.v, Context(sequences, available.astype(sequences.dtype)))

    def filled(self, arrays: Mapping[str, Any]) -> "Personal":
        """The same of another network, from the named leaves of its `saved`."""
        if self.context is None:
            return Personal(fill_leaves(self.v, arrays))
        v, (sequences, available) = fill_leaves(self.saved, arrays)
        return Personal(v, Context(sequences, available > 0))


@dataclass(frozen=True)
class Model:
    """How shared and private parameters make a network, without their values.

    Attributes:
        static: What of the network is no parameter.
        unravel: From the shared parameters in a row to their tree.
        criterion: The loss of a batch: (outputs, targets, present) ↦ ().
    """

    static: PyTree
    unravel: Callable[[Shared], PyTree]
    criterion: Callable[[Array, Array, Array], Scalar]

    def network(self, w: Shared, v: PyTree) -> Any:
        """The network of a window."""
        return eqx.combine(self.unravel(w), v, self.static)

    def outputs(self, w: Shared, v: PyTree, batch: Batch) -> Array:
        """Of the windows of a batch, (windows, outputs)."""
        network = self.network(w, v)
        if batch.context is None:
            return jax.vmap(network)(batch.inputs)

        def of_window(x: Array, slot: Array) -> Array:
            return network(x, context=jax.tree.map(lambda each: each[slot], batch.context))

        return jax.vmap(of_window)(batch.inputs, batch.slots)

    def loss(self, w: Shared, v: PyTree, batch: Batch) -> Scalar:
        """f_k of a batch: the mean over the targets that are there."""
        return self.criterion(self.outputs(w, v, batch), batch.targets, batch.present)

    @partial(jax.jit, static_argnames="self")
    def evaluate(self, w: Shared, v: PyTree, batch: Batch) -> tuple[Array, Scalar]:
        """Outputs of a batch, (windows, outputs), and their loss."""
        outputs = self.outputs(w, v, batch)
        return outputs, self.criterion(outputs, batch.targets, batch.present)

    @partial(jax.jit, static_argnames="self")
    def encode(self, w: Shared, v: PyTree, batch: Batch) -> Array:
        """R of the windows of a batch, (windows, T, H)."""
        return jax.vmap(self.network(w, v).encode)(batch.inputs)


class Start(NamedTuple):
    """A network before training, the same at all clients."""

    model: Model
    w: Shared
    v: PyTree


def start_network(options: FederatedOptions, outline: Any) -> Start:
    """The network that the options name, for the windows of a federation.

    Args:
        options: Of the run.
        outline: `steps`, `features`, `outputs`, `clients` and `task` of the federation.
    """
    network = init_sequence_network(
        options.network,
        features=outline.features,
        steps=outline.steps,
        outputs=len(outline.outputs),
        hidden=options.hidden,
        attention=options.attention,
        clients=len(outline.clients),
        use_task_attention=options.task_attention,
        use_temporal_attention=options.temporal_attention,
        dtype=options.dtype,
        key=jax.random.key(options.seed),
    )
    parameters, static = eqx.partition(network, eqx.is_inexact_array)
    mask = private_parameters(parameters)
    if not options.private:
        mask = jax.tree.map(lambda _: False, mask)
    v, shared = eqx.partition(parameters, mask)
    w, unravel = ravel_pytree(shared)
    name = (options.loss or "l1") if outline.task == "regression" else outline.task
    return Start(Model(static, unravel, _LOSSES[name]), w, v)


def solver_of(options: FederatedOptions, model: Model) -> LocalSolver:
    """The local steps."""
    return LocalSolver(model.loss, optimizer_of(options.optimizer, options.lr, options.clip))


@cache  # one object for the same settings, so that what is compiled for it is found again
def optimizer_of(name: Any, lr: float, clip: float) -> optax.GradientTransformation:
    """The optimiser of clients, and of the server where that takes steps."""
    optimizer = make_optimizer(name, lr)
    return optax.chain(optax.clip_by_global_norm(clip), optimizer) if clip else optimizer


def on_host(windows: Windows, dtype: str) -> Batch:
    """Windows as the arithmetic has them."""
    return Batch(*(a if a is None or a.dtype.kind != "f" else a.astype(dtype) for a in windows))


def chunked(windows: Windows, dtype: str) -> list[Batch]:
    """Windows in chunks of `CHUNK`, the last one filled with windows whose targets are missing."""
    missing = -len(windows.inputs) % CHUNK
    filled = jax.tree.map(
        lambda array: np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)),
        on_host(windows, dtype),
    )
    starts = range(0, len(filled.inputs), CHUNK)
    return [jax.tree.map(lambda a, s=start: a[s : s + CHUNK], filled) for start in starts]
