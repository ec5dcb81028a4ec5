"""The loss of a run: that which its name means for the targets, or one's own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.errors import InputError, spelled
from admm.methods.supervised import SupervisedOptions
from admm.methods.tasks import Measured, MultiLabelled, Task
from admm.solvers.losses import Loss, binary_cross_entropy, cross_entropy, squared_error


def loss_of(loss: Any, facts: Task) -> Loss:
    """R of each sample: of labels the cross-entropy is that of each on its own."""
    if not isinstance(loss, str):
        return loss
    if loss == "squared_error":
        return squared_error
    return binary_cross_entropy if isinstance(facts, MultiLabelled) else cross_entropy


def loss_targets(facts: Task, outputs: tuple[int, ...]) -> np.ndarray:
    """The targets as the loss takes them: numbers in the shape of the outputs, of one sample."""
    if isinstance(facts, Measured):
        return facts.targets.reshape(len(facts.targets), *outputs)
    return facts.targets


def mean_losses(loss: Any, facts: Task, outputs: Array) -> dict[str, float]:
    """The mean loss of each part, from the outputs of all rows, as a history names it."""
    each = loss_of(loss, facts)
    targets = jnp.asarray(loss_targets(facts, outputs.shape[1:]))
    return {
        f"{part}_loss": float(each(outputs[rows], targets[rows]).mean())
        for part, rows in facts.parts()
    }


def history_losses(options: SupervisedOptions, facts: Task, outputs: Array) -> dict[str, float]:
    """Mean losses in training: that of training rows alone where accuracy picks the network."""
    every = mean_losses(options.loss, facts, outputs)
    if options.select == "val_accuracy":
        return {"train_loss": every["train_loss"]}
    return every


def check_loss(loss: Any, facts: Task, outputs: tuple[int, ...], dtype: str) -> None:
    """Whether a loss of one's own makes one number of every sample.

    Raises:
        InputError: If not, or it does not take outputs and targets of these shapes.
    """
    targets, rows = loss_targets(facts, outputs), facts.training_rows
    given = (
        jax.ShapeDtypeStruct((rows, *outputs), dtype),
        jax.ShapeDtypeStruct((rows, *targets.shape[1:]), targets.dtype),
    )
    what = f"{spelled('loss')} of outputs {given[0].shape} and targets {given[1].shape}"
    try:
        found = jax.eval_shape(loss_of(loss, facts), *given)
    except Exception as error:  # it may raise anything
        raise InputError(f"{what} fails: {error}") from error
    if getattr(found, "shape", None) != (rows,) or not jnp.issubdtype(found.dtype, jnp.floating):
        raise InputError(
            f"{what} returns {found}; expected floats of shape ({rows},), one for each sample"
        )
