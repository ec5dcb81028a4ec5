"""Labels of the classifiers: one rule for graphs and one for plain rows.

Of the nodes of a graph −1, NaN, `None`, masked elements and empty text are no label, see
`admm.datasets.labels.read_labels`. Plain rows need a label each, and −1 is a class.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from admm.datasets.labels import Labels, read_labels
from admm.datasets.objects import array_of
from admm.errors import InputError


def fitted_labels(y: Any, rows: int, plain: bool) -> Labels:
    """The classes of rows to fit.

    Args:
        y: In any form that `read_labels` takes.
        rows: As many there are.
        plain: Whether they are no nodes of a graph.

    Raises:
        InputError: If there are none, not so many, or they are no classes.
    """
    labels = _given(y)
    if labels.ndim == 2 and labels.shape[1] == 1 and not sp.issparse(labels):
        labels = column_or_1d(labels, warn=True)
    if labels.shape[:1] != (rows,):
        raise InputError(f"expected one label for each of {rows} rows, got shape {labels.shape}")
    if labels.ndim == 1 and labels.dtype.kind == "f":
        if np.isinf(labels).any():
            raise InputError(f"y has infinity at row {np.argmax(np.isinf(labels))}; clean it first")
        check_classification_targets(labels[~np.isnan(labels)])
    return read_labels("the data", labels, plain)


def scored_labels(y: Any, classes: np.ndarray, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    """The label of every row, and which rows have one, of any form that `fitted_labels` takes.

    Args:
        y: The labels.
        classes: Those of the model.
        plain: Whether the rows are no nodes of a graph.

    Raises:
        InputError: If there are none, or a plain row has none.
    """
    labels = _given(y)
    if sp.issparse(labels):
        labels = labels.toarray()
    if labels.ndim == 2 and labels.shape[1] > 1:  # one-hot rows: classes are columns
        labels, known = labels.argmax(axis=1), (labels != 0).sum(axis=1) > 0
    else:
        hidden = np.ma.getmaskarray(labels).ravel()
        labels = np.ma.getdata(labels).ravel()
        no_label = plain or -1 in classes.tolist()
        blank = [None, "", "nan", *([] if no_label else [-1])]
        there = [each == each and each not in blank for each in labels.tolist()]
        known = np.array(there, bool) & ~hidden
    if plain and not known.all():
        raise InputError(f"row {np.argmin(known)} has no label; score plain rows that have one")
    return labels, known


def _given(y: Any) -> Any:
    """Labels as an array, masked or sparse where they were.

    Raises:
        InputError: If there are none.
    """
    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    if isinstance(y, list):  # which may have text beside None
        return np.array(y, object) if np.ndim(y) == 1 else np.asarray(y)
    return y if sp.issparse(y) or isinstance(y, np.ma.MaskedArray) else array_of(y)
