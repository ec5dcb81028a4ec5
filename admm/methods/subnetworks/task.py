"""The task that a loss and the targets of a data set make together."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from admm.datasets import Graph, Images, Samples
from admm.datasets.labels import read_labels
from admm.errors import InputError, spelled
from admm.methods.labelled import Labelled, description
from admm.methods.supervised import SupervisedOptions
from admm.methods.tasks import Measured, MultiLabelled, Task, Unscored


def read_task(
    options: SupervisedOptions,
    data: Graph | Images | Samples,
    contents: np.ndarray | sp.csr_array,
    features: int,
    order: np.ndarray,
) -> Task:
    """The targets of rows, for the loss of a run.

    | loss | targets | task |
    |---|---|---|
    | cross_entropy | (N,) whole numbers, −1 too, truth values or text | classes |
    | cross_entropy | (N, L) of 0 and 1 | L labels, each on its own |
    | squared_error | (N, …) numbers | R² |
    | one's own | classes of a graph or of images | classes |
    | one's own | (N, …) numbers | its mean |

    Args:
        options: Of the run.
        data: The data set.
        contents: Of its inputs, for the fingerprint.
        features: Numbers in one row.
        order: The rows, in their order.

    Raises:
        InputError: If the loss is not for such targets.
    """
    sizes = tuple(map(len, data.split))
    counts: dict[str, Any] = {"nodes": 0, "edges": 0, "features": features}
    if not isinstance(data, Samples):
        if options.loss == "squared_error":
            raise InputError(
                f"{spelled('loss', 'squared_error')} is for samples with real numbers as targets; "
                f"{data.name} has classes: leave it out"
            )
        counts |= {"nodes": len(data.labels), "classes": data.classes}
        names = data.class_names if isinstance(data, Graph) else range(data.classes)
        dataset = description(data, counts, (contents, data.labels), names)
        return Labelled(dataset, data.labels[order].astype(np.int32), sizes)
    y, names, kind = data.targets, (), _kind(options, data)
    if kind is Labelled:
        labels = read_labels(data.name, y, plain=True)
        y, names = labels.numbers.astype(np.int32), labels.class_names
        counts["classes"] = len(names)
    else:
        dtype = "int32" if kind is Unscored and y.dtype.kind in "biu" else options.dtype
        with np.errstate(over="ignore"):
            typed = y.astype(dtype)
        whole = typed.dtype.kind == "i"
        y, given = typed, y
        if not (np.array_equal(y, given) if whole else np.isfinite(y).all()):
            raise InputError(f"{data.name}: some targets overflow {dtype}; scale them")
        counts["outputs"] = int(np.prod(y.shape[1:]))
    counts["nodes"] = len(y)
    dataset = description(data, counts, (contents, y), names)
    return kind(dataset, y[order], sizes)


def _kind(options: SupervisedOptions, data: Samples) -> type[Task]:
    y, loss = data.targets, options.loss
    if loss == "cross_entropy" and (y.ndim == 1 or y.shape[1:] == (1,)):
        if y.dtype.kind == "f" and (y != np.round(y)).any():
            raise InputError(
                f"{data.name}: targets are real numbers, and {spelled('loss', loss)} is for "
                f"classes; {spelled('loss', 'squared_error')} is for numbers"
            )
        return Labelled
    if y.dtype.kind not in "biuf":
        raise InputError(
            f"{data.name}: targets are text or other objects, of shape {y.shape}; only classes of "
            f"{spelled('loss', 'cross_entropy')} may be, of shape ({len(y)},)"
        )
    if loss != "cross_entropy":
        return Measured if loss == "squared_error" else Unscored
    if y.ndim != 2 or not np.isin(y, (0, 1)).all():
        raise InputError(
            f"{data.name}: targets of {spelled('loss', loss)} are classes, of shape ({len(y)},), "
            f"or labels of 0 and 1, of shape ({len(y)}, labels); got {y.dtype} of shape {y.shape}"
        )
    return MultiLabelled
