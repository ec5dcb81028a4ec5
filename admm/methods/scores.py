"""How good outputs are for the targets of one client, a column at a time, missing ones left out."""

from typing import Any

import numpy as np

from admm.datasets.federation import FederationTask


def mean_absolute_error(
    outputs: np.ndarray, targets: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """The mean of |y − f| over the windows, of each column; NaN where all targets are missing.

    Args:
        outputs: f, (n, outputs).
        targets: y, (n, outputs), in any units.
        present: Which of them there are, (n, outputs).

    Example:
        >>> f, y = np.zeros((2, 2)), np.array([[1.0, 4.0], [3.0, 0.0]])
        >>> mean_absolute_error(f, y, np.array([[True, True], [True, False]])).tolist()
        [2.0, 4.0]
    """
    return _column_means(np.abs(outputs - targets), present)


def smape(outputs: np.ndarray, targets: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The mean of 2|y − f|/(|y| + |f|), in 0…2, of each column; where both are 0 it is 0.

    It depends on where the targets' zero is: of scaled columns that is their mean.

    Example:
        >>> smape(np.array([[3.0]]), np.array([[1.0]]), np.array([[True]])).tolist()
        [1.0]
    """
    size = np.abs(outputs) + np.abs(targets)
    return _column_means(2 * np.abs(outputs - targets) / np.where(size > 0, size, 1), present)


def _column_means(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    count = present.sum(axis=0)
    sums = np.where(present, values, 0).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def class_scores(classes: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro F1 of classes.

    Balanced accuracy is the mean, over the classes of the targets, of the fraction of right
    answers. Macro F1 is the mean over the classes of targets or answers, as in scikit-learn.

    Args:
        classes: The answers, (n,).
        targets: (n,), at least one.

    Example:
        >>> scores = class_scores(np.array([0, 1, 1]), np.array([0, 0, 1]))
        >>> scores["balanced_accuracy"], round(scores["macro_f1"], 3)
        (0.75, 0.667)
    """
    from sklearn.metrics import f1_score, recall_score

    present = np.unique(targets)
    recall = recall_score(targets, classes, labels=present, average="macro", zero_division=0)
    return {
        "accuracy": float((classes == targets).mean()),
        "balanced_accuracy": float(recall),
        "macro_f1": float(f1_score(targets, classes, average="macro", zero_division=0)),
    }


def column_scores(
    task: FederationTask, outputs: Any, targets: np.ndarray, present: np.ndarray
) -> dict[str, np.ndarray]:
    """All scores of a client, of each column that there is.

    Args:
        task: Tells the scores: of numbers `mae` and `smape`; of labels and classes `accuracy`,
            `balanced_accuracy` and `macro_f1`.
        outputs: Of a network, (n, outputs): numbers, or the logits of labels or classes.
        targets: (n, outputs); of classes (n,).
        present: The shape of the targets.

    Returns:
        For each score (outputs,), NaN where all targets of a column are missing; of classes (1,).
    """
    outputs = np.asarray(outputs)
    if task == "regression":
        scores = {"mae": mean_absolute_error, "smape": smape}
        return {name: score(outputs, targets, present) for name, score in scores.items()}
    if task == "classes":
        answers, targets, present = (
            outputs.argmax(axis=1)[:, None],
            targets[:, None],
            present[:, None],
        )
    else:
        answers = (outputs > 0).astype(targets.dtype)
    names = ("accuracy", "balanced_accuracy", "macro_f1")
    columns = [
        class_scores(answers[there, n], targets[there, n])
        if (there := present[:, n]).any()
        else dict.fromkeys(names, np.nan)
        for n in range(answers.shape[1])
    ]
    return {name: np.array([column[name] for column in columns]) for name in names}


def client_scores(
    task: FederationTask, outputs: Any, targets: np.ndarray, present: np.ndarray
) -> dict[str, float]:
    """`column_scores`, each the mean over the columns that have targets.

    Raises:
        ValueError: If all targets are missing.

    Example:
        >>> y = np.array([[1.0], [3.0]], np.float32)
        >>> client_scores("regression", np.zeros((2, 1)), y, np.ones((2, 1), bool))
        {'mae': 2.0, 'smape': 2.0}
    """
    if not present.any():
        raise ValueError("all targets are missing: there is nothing to score")
    found = column_scores(task, outputs, targets, present)
    return {name: float(np.nanmean(columns)) for name, columns in found.items()}
