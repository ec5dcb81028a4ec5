"""Labelled rows: what every process knows of them, and the scores of a classifier."""

from collections.abc import Callable
from dataclasses import dataclass
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
        """Fraction of right answers in `train`, `val` and `test`, from the logits of all rows."""
        right = np.asarray(logits.argmax(axis=1)) == self.labels
        parts = np.split(right, np.cumsum(self.sizes)[:-1])
        return {name: float(part.mean()) for name, part in zip(PARTS, parts, strict=True)}

    def scores(self, loss: float, logits: Array) -> dict[str, float]:
        """Loss and accuracies as a history has them."""
        found = self.accuracies(logits)
        return {"train_loss": loss, **{f"{name}_accuracy": found[name] for name in PARTS}}


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
        if data.class_names != tuple(range(data.classes)):
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
