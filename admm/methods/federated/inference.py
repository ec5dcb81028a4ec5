"""A saved network of shared and private parameters on the windows of its clients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from admm.comm import Transport, fill_leaves
from admm.methods.federated.context import Tables
from admm.methods.federated.network import Personal, start_network
from admm.methods.federated.options import FederatedOptions
from admm.methods.federated.scores import Parameters, Scorer
from admm.methods.federated.share import FederatedShare
from admm.run.saved import Saved


def evaluate_saved(
    options: FederatedOptions, saved: Saved, transport: Transport, data: Any
) -> dict[str, float]:
    """Means over the clients, and the worst of them, in every process.

    Raises:
        InputError: In every process, if data or network cannot be read.
    """
    _, scorer, parameters = _opened(options, saved, transport, data)
    return scorer.means(parameters)


def predict_saved(
    options: FederatedOptions, saved: Saved, transport: Transport, data: Any
) -> np.ndarray:
    """Outputs of all windows, in every process: of each client training, validation and test.

    Of numbers, in the units of the scaled targets; of labels and classes probabilities.

    Raises:
        InputError: In every process, if data or network cannot be read.
    """
    share, scorer, parameters = _opened(options, saved, transport, data)
    own = {k: scorer.outputs(k, *each) for k, each in parameters.items()}
    every = {k: each for part in transport.gather(own) for k, each in part.items()}
    outputs = np.concatenate([every[k] for k in sorted(every)])
    if share.outline.task == "regression":
        return outputs
    links = {"classes": jax.nn.softmax, "multilabel": jax.nn.sigmoid}
    return np.asarray(links[share.outline.task](jnp.asarray(outputs)))


def _opened(
    options: FederatedOptions, saved: Saved, transport: Transport, data: Any
) -> tuple[FederatedShare, Scorer, Parameters]:
    share: FederatedShare = options.look(transport, data)
    transport.at_root(lambda: saved.check_dataset(share.dataset))
    start = start_network(options, share.outline)
    shared = fill_leaves(start.model.unravel(start.w), saved.read(0))
    w = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, shared))[0]
    context = None
    if options.attention != "own":
        context = Tables(share, share.availability).nothing()
    blank = Personal(start.v, context)
    has_own = bool(jax.tree.leaves(blank))
    parameters = {
        k: (w, blank.filled(saved.read(k + 1)) if has_own else blank) for k in share.clients
    }
    return share, Scorer(share, start.model, transport), parameters
