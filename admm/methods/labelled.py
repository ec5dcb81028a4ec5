"""Labelled rows: what every process knows of them, and the scores of a classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Array

from admm.comm import Transport
from admm.datasets import Graph, Images
from admm.datasets.fingerprint import fingerprint
from admm.run.saved import Saved

F = TypeVar("F", bound="Labelled")
X = TypeVar("X")

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Labelled:
    """What every process knows of labelled rows.

    Attributes:
        dataset: See `description`, as in `summary.json`.
        labels: Class of every row: training rows, then validation, then test.
        sizes: Rows of each of the three.
    """

    dataset: dict[str, Any]
    labels: np.ndarray
    sizes: tuple[int, ...]

    @property
    def training_rows(self) -> int:
        return self.sizes[0]

    @property
    def classes(self) -> int:
        return int(self.dataset["classes"])

    def accuracies(self, logits: Array) -> dict[str, float]:
        """Fraction of right answers in `train`, `val` and `test`, from the logits of all rows.

        An empty part has none: its key is missing.
        """
        right = np.asarray(logits.argmax(axis=1)) == self.labels
        parts = zip(PARTS, np.split(right, np.cumsum(self.sizes)[:-1]), strict=True)
        return {name: float(part.mean()) for name, part in parts if part.size}

    def class_scores(self, logits: Array) -> dict[str, float]:
        """Scores of `val` and `test` that do not depend on how many rows a class has.

        Balanced accuracy is the mean, over the classes of the part, of the fraction of right
        answers. The area under the ROC curve, see `roc_auc`, ranks rows by their probability of
        class 1 where there are two classes. Where there are more, it is the mean over the classes
        of the part, each against the rest. A part of one class has none: its key is missing.
        """
        trained, *held_out = self.sizes
        given = np.asarray(logits)[trained:].astype(np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite shows in the loss
            powers = np.exp(given - given.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
        known = self.labels[trained:]
        right = given.argmax(axis=1) == known
        edges = pairwise(np.cumsum([0, *held_out]))
        found = {}
        for name, (start, end) in zip(PARTS[1:], edges, strict=True):
            if start == end:
                continue
            labels, own = known[start:end], probabilities[start:end]
            present = np.unique(labels)
            rates = [right[start:end][labels == each].mean() for each in present]
            found[f"{name}_balanced_accuracy"] = float(np.mean(rates))
            if len(present) > 1:
                ranked = present if self.classes > 2 else [1]
                areas = [roc_auc(labels == each, own[:, each]) for each in ranked]
                found[f"{name}_roc_auc"] = float(np.mean(areas))
        return found

    def scores(self, loss: float, logits: Array) -> dict[str, float]:
        """Loss, accuracies and scores of classes, as a history has them."""
        found = self.accuracies(logits)
        accuracies = {f"{name}_accuracy": value for name, value in found.items()}
        return {"train_loss": loss, **accuracies, **self.class_scores(logits)}


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


def description(
    data: Graph | Images, nodes: int, edges: int, features: int, *contents: Any
) -> dict[str, Any]:
    """`Labelled.dataset`: name, counts, and the fingerprint of contents, labels and split.

    Of a graph also its provenance, and the names of its classes where they are not 0…C−1.
    """
    found = {
        "name": data.name,
        "nodes": nodes,
        "edges": edges,
        "features": features,
        "classes": data.classes,
        "fingerprint": fingerprint(*contents, data.labels, *data.split),
        **dict(zip(PARTS, map(len, data.split), strict=True)),
    }
    if isinstance(data, Graph):
        found["provenance"] = dict(data.provenance)
        plain = tuple(range(data.classes))
        # False and True are 0 and 1 to Python.
        if data.class_names != plain or any(isinstance(each, bool) for each in data.class_names):
            found["class_names"] = list(data.class_names)
    return found


def load_at_root(
    load: Callable[[], tuple[F, X]], transport: Transport, saved: Saved | None = None
) -> tuple[F, X | None]:
    """Facts in every process, and inputs in the root's.

    Args:
        load: Loads both.
        transport: Tells the other processes the facts.
        saved: A network whose data they have to be.

    Raises:
        InputError: In every process, if they cannot be loaded, or are others.
    """
    own: list[X] = []

    def load_both() -> F:
        facts, inputs = load()
        if saved is not None:
            saved.check_dataset(facts.dataset)
        own.append(inputs)
        return facts

    facts = transport.at_root(load_both)
    return facts, own[0] if own else None
