"""Rows with a class each: the scores of a classifier. Loading at the root, for all methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Array

from admm.comm import Transport
from admm.datasets import Graph, Images, Samples, load as load_graph
from admm.datasets.fingerprint import fingerprint
from admm.errors import InputError, spelled
from admm.methods.supervised import GraphOptions
from admm.methods.tasks import PARTS, Task, roc_auc
from admm.run.saved import Saved

F = TypeVar("F", bound=Any)
X = TypeVar("X")


@dataclass(frozen=True)
class Labelled(Task):
    """Rows with a class each, 0…C−1: targets are (rows,), outputs their logits, (rows, C)."""

    score: ClassVar[str] = "accuracy"

    @property
    def labels(self) -> np.ndarray:
        """Class of every row."""
        return self.targets

    @property
    def classes(self) -> int:
        return int(self.dataset["classes"])

    @property
    def outputs(self) -> tuple[int, ...]:
        return (self.classes,)

    def main_scores(self, logits: Array) -> dict[str, float]:
        """Fraction of right answers in each part, from the logits of all rows."""
        right = np.asarray(logits.argmax(axis=1)) == self.labels
        return {part: float(right[rows].mean()) for part, rows in self.parts()}

    def other_scores(self, logits: Array) -> dict[str, float]:
        """Scores of `val` and `test` that do not depend on how many rows a class has.

        Balanced accuracy is the mean, over the classes of the part, of the fraction of right
        answers. The area under the ROC curve, see `roc_auc`, ranks rows by their probability of
        class 1 where there are two classes. Where there are more, it is the mean over the classes
        of the part, each against the rest. A part of one class has none: its key is missing.
        """
        given = np.asarray(logits).astype(np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite shows in the loss
            powers = np.exp(given - given.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
        right = given.argmax(axis=1) == self.labels
        found = {}
        for name, rows in list(self.parts())[1:]:
            labels, own = self.labels[rows], probabilities[rows]
            present = np.unique(labels)
            rates = [right[rows][labels == each].mean() for each in present]
            found[f"{name}_balanced_accuracy"] = float(np.mean(rates))
            if len(present) > 1:
                ranked = present if self.classes > 2 else [1]
                areas = [roc_auc(labels == each, own[:, each]) for each in ranked]
                found[f"{name}_roc_auc"] = float(np.mean(areas))
        return found

    def predicted(self, logits: Array) -> np.ndarray:
        """The probability of each class, (rows, C)."""
        import jax

        return np.asarray(jax.nn.softmax(logits, axis=1))


def description(
    data: Graph | Images | Samples,
    counts: Mapping[str, Any],
    contents: Sequence[Any],
    class_names: Sequence[Any] = (),
) -> dict[str, Any]:
    """`Task.dataset`: name, counts, and the fingerprint of contents and split.

    Of a graph also its provenance, and the names of classes where they are not 0…C−1.
    """
    found = {
        "name": data.name,
        **counts,
        "fingerprint": fingerprint(*contents, *data.split),
        **dict(zip(PARTS, map(len, data.split), strict=True)),
    }
    if isinstance(data, Graph):
        found["provenance"] = dict(data.provenance)
    plain = tuple(range(len(class_names)))
    # False and True are 0 and 1 to Python.
    if tuple(class_names) != plain or any(isinstance(each, bool) for each in class_names):
        found["class_names"] = list(class_names)
    return found


def load_at_root(
    load: Callable[[], tuple[F, X]], transport: Transport, saved: Saved | None = None
) -> tuple[F, X | None]:
    """Facts in every process, and inputs in the root's.

    Args:
        load: Loads both; facts have a `dataset`, see `Task`.
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


def read_graph(options: GraphOptions, data: Any = None) -> Graph:
    """The graph that the options name, or the one that is given.

    Raises:
        InputError: If it cannot be loaded, or is none.
    """
    if data is None:
        data = load_graph(
            options.dataset,
            options.data_dir,
            options.split_seed,
            split=options.split,
            weights=options.weights,
            features=options.features,
        )
    if not isinstance(data, Graph):
        raise InputError(
            f"{spelled('solver', options.solver)} trains on a Graph of admm.datasets, got "
            f"a {type(data).__name__}"
        )
    return options.with_first_rows(data)
