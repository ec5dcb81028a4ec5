"""What every process knows of the rows of a data set, and how good outputs are for their targets.

A task is a subclass of `Task`: classes are in `labelled`, the others here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Task(ABC):
    """What every process knows of rows, and the scores of their task.

    Attributes:
        dataset: See `description`, as in `summary.json`.
        targets: Of every row: training rows, then validation, then test.
        sizes: Rows of each of the three; there may be no test.
        score: What the main score is called.
    """

    score: ClassVar[str]

    dataset: dict[str, Any]
    targets: np.ndarray
    sizes: tuple[int, ...]

    @property
    def training_rows(self) -> int:
        return self.sizes[0]

    @property
    @abstractmethod
    def outputs(self) -> tuple[int, ...] | None:
        """Shape of what a network has to return of a row; None where any will do."""

    def parts(self) -> Iterator[tuple[str, slice]]:
        """The rows of each part that has any."""
        start = 0
        for name, size in zip(PARTS, self.sizes, strict=True):
            if size:
                yield name, slice(start, start + size)
            start += size

    @abstractmethod
    def main_scores(self, outputs: Array) -> dict[str, float]:
        """The main score of each part, from the outputs of all rows; the larger the better."""

    def other_scores(self, outputs: Array) -> dict[str, float]:
        """Further scores of validation and test, by their whole names."""
        return {}

    @abstractmethod
    def predicted(self, outputs: Array) -> np.ndarray:
        """What outputs say of the targets."""

    def scores(self, outputs: Array) -> dict[str, float]:
        """All scores, as a history has them."""
        main = self.main_scores(outputs)
        named = {f"{part}_{self.score}": value for part, value in main.items()}
        return {**named, **self.other_scores(outputs)}


class MultiLabelled(Task):
    """Rows with several labels of 0 and 1, each on its own: targets are (rows, labels).

    Accuracy is the fraction of labels that are right. ROC AUC is the mean over the labels that a
    part has both of.
    """

    score: ClassVar[str] = "accuracy"

    @property
    def outputs(self) -> tuple[int, ...]:
        return self.targets.shape[1:]

    def main_scores(self, outputs: Array) -> dict[str, float]:
        right = (np.asarray(outputs) > 0) == (self.targets > 0)
        return {part: float(right[rows].mean()) for part, rows in self.parts()}

    def other_scores(self, outputs: Array) -> dict[str, float]:
        given, found = np.asarray(outputs), {}
        for part, rows in list(self.parts())[1:]:
            positive = self.targets[rows] > 0
            both = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0))
            if len(both):
                areas = [roc_auc(positive[:, n], given[rows, n]) for n in both]
                found[f"{part}_roc_auc"] = float(np.mean(areas))
        return found

    def predicted(self, outputs: Array) -> np.ndarray:
        """The probability of each label, (rows, labels)."""
        import jax

        return np.asarray(jax.nn.sigmoid(outputs))


class Measured(Task):
    """Rows with real numbers, of any shape: the score is R².

    R² = 1 − Σ(y − f)²/Σ(y − ȳ)², ȳ being the mean of the part; of several numbers a row the mean of
    each one's R². Where all y are the same it is 1 if f is right, else 0, as in scikit-learn.
    """

    score: ClassVar[str] = "r2"

    @property
    def outputs(self) -> tuple[int, ...]:
        return self.targets.shape[1:]

    def main_scores(self, outputs: Array) -> dict[str, float]:
        y = self.targets.reshape(len(self.targets), -1).astype(np.float64)
        f = np.asarray(outputs, np.float64).reshape(y.shape)
        return {part: _r2(y[rows], f[rows]) for part, rows in self.parts()}

    def predicted(self, outputs: Array) -> np.ndarray:
        """The numbers, in the shape of the targets."""
        return np.asarray(outputs).reshape(len(outputs), *self.targets.shape[1:])


class Unscored(Task):
    """Rows of which only a loss of one's own says how good outputs are."""

    score: ClassVar[str] = "loss"

    @property
    def outputs(self) -> None:
        return None

    def main_scores(self, outputs: Array) -> dict[str, float]:
        return {}

    def predicted(self, outputs: Array) -> np.ndarray:
        """The outputs, as they are."""
        return np.asarray(outputs)


def _r2(y: np.ndarray, f: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows in its loss
        residual, total = ((y - f) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    same = total == 0
    ratio = np.where(same, residual > 0, residual / np.where(same, 1, total))
    return float(np.mean(1 - ratio))


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive row has a higher score than another.

    Equal scores count half. It takes one sort, so that every evaluation has time for it.

    Args:
        positive: Which rows are, (rows,); some are, and some are not.
        scores: Numbers, (rows,).

    Example:
        >>> roc_auc(np.array([True, False, False, True]), np.array([0.9, 0.1, 0.5, 0.5]))
        0.875
    """
    others, own = np.sort(scores[~positive]), scores[positive]
    below = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
    return float(below.mean() / (2 * len(others)))
