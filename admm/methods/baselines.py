"""What a federation has to beat: the last value, and ridge regressions of one client or of all.

Ridge regressions need sums over windows alone, so that those of all clients can be added where
they are (`NormalEquations`). They tell more than a gradient does, though no window: see
docs/sensors.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from admm.datasets.federation import Federation, FederationTask
from admm.datasets.windows import Client, Windows
from admm.methods.scores import client_scores

PENALTIES = (1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""λ that the ridge regressions choose from, on validation."""

MAIN = {"regression": "mae", "multilabel": "macro_f1", "classes": "macro_f1"}
"""What a task is judged by."""


class NormalEquations(NamedTuple):
    """Sums over windows, of each output: with all of them a ridge regression is solved.

    Attributes:
        gram: Shape (outputs, p, p), Σ x xᵀ over the windows that have the target.
        moment: Shape (outputs, p), Σ x y.
    """

    gram: np.ndarray
    moment: np.ndarray


def last_value(federation: Federation, client: Client) -> dict[str, float] | None:
    """The scores on the test of a forecast by the input's last value of the same column.

    Returns:
        None where the outputs are not among the named columns, or are no numbers.

    Example:
        >>> from admm.datasets.clients import read_federation
        >>> federation = read_federation("sensors:clients=2")
        >>> sorted(last_value(federation, federation.client(0)))
        ['mae', 'smape']
    """
    if federation.task != "regression" or not set(federation.outputs) <= set(federation.columns):
        return None
    places = [federation.columns.index(output) for output in federation.outputs]
    inputs, targets, present, _ = client.test
    return client_scores(federation.task, inputs[:, -1, places], targets, present)


def design(task: FederationTask, inputs: np.ndarray) -> np.ndarray:
    """The rows of a linear regression on windows, (n, p), float64, the last of them 1.

    Of numbers, all values of a window; of labels and classes, mean, deviation, minimum and maximum
    of each column.

    Example:
        >>> design("classes", np.zeros((5, 50, 6))).shape
        (5, 25)
    """
    x = inputs.astype(np.float64)
    if task == "regression":
        columns = x.reshape(len(x), -1)
    else:
        figures = (x.mean(axis=1), x.std(axis=1), x.min(axis=1), x.max(axis=1))
        columns = np.concatenate(figures, axis=1)
    return np.column_stack([columns, np.ones(len(x))])


def normal_equations(federation: Federation, windows: Windows) -> NormalEquations:
    """The sums of one client's windows; targets of labels and classes are −1 and 1."""
    x = design(federation.task, windows.inputs)
    y, present = windows.targets.astype(np.float64), windows.present
    if federation.task == "classes":
        y = (windows.targets[:, None] == np.arange(len(federation.outputs))).astype(np.float64)
        present = np.repeat(present[:, None], y.shape[1], axis=1)
    if federation.task != "regression":
        y = 2 * y - 1
    own = [x[there] for there in present.T]
    gram = np.stack([rows.T @ rows for rows in own])
    moment = np.stack([r.T @ y[t, n] for n, (r, t) in enumerate(zip(own, present.T, strict=True))])
    return NormalEquations(gram, moment)


def ridge(equations: NormalEquations, penalty: float) -> np.ndarray:
    """argmin over w of ½‖Xw − y‖² + λ/2‖w‖² of each output, (p, outputs); the constant is free.

    Where an output has no window at all, its weights are zero.
    """
    gram, moment = equations
    size = gram.shape[-1]
    penalties = np.full(size, penalty)
    penalties[-1] = 1e-9 * penalty  # only so that there is a solution where nothing was seen
    return np.linalg.solve(gram + np.diag(penalties), moment[..., None])[..., 0].T


def add_equations(equations: Iterable[NormalEquations]) -> NormalEquations:
    """The sums over all of several clients' windows, added in their order."""
    return reduce(lambda a, b: NormalEquations(a.gram + b.gram, a.moment + b.moment), equations)


def linear_scores(
    federation: Federation, weights: np.ndarray, windows: Windows
) -> dict[str, float]:
    """The scores of a linear regression, by its weights (p, outputs)."""
    outputs = design(federation.task, windows.inputs) @ weights
    return client_scores(federation.task, outputs, windows.targets, windows.present)


def best_penalty(task: FederationTask, scores: Sequence[float]) -> float:
    """The one of `PENALTIES` whose main score on validation is the best; the first of equal ones.

    Example:
        >>> best_penalty("regression", [3, 2, 2, 4, 5, 6])
        1.0
    """
    return PENALTIES[int(np.argmin(scores) if task == "regression" else np.argmax(scores))]


def ridge_per_client(federation: Federation, client: Client) -> dict[str, float]:
    """The scores on the test of a ridge regression on one client's windows alone."""
    equations = normal_equations(federation, client.train)
    return tuned_ridge(federation, equations, {0: client}, lambda of_client: of_client(0))[0]


def ridge_pooled(federation: Federation, clients: Sequence[Client]) -> list[dict[str, float]]:
    """The scores on each client's test of one ridge regression on the windows of all clients.

    λ is that of the best mean, over the clients, of the main score on validation.

    Example:
        >>> from admm.datasets.clients import read_federation
        >>> federation = read_federation("sensors:clients=2")
        >>> clients = [federation.client(0), federation.client(1)]
        >>> len(ridge_pooled(federation, clients))
        2
    """
    equations = add_equations(normal_equations(federation, each.train) for each in clients)

    def total(of_client: Callable[[int], np.ndarray]) -> np.ndarray:
        return np.sum([of_client(number) for number in range(len(clients))], axis=0)

    found = tuned_ridge(federation, equations, dict(enumerate(clients)), total)
    return list(found.values())


def tuned_ridge(
    federation: Federation,
    equations: NormalEquations,
    clients: Mapping[int, Client],
    total: Callable[[Callable[[int], np.ndarray]], np.ndarray],
) -> dict[int, dict[str, float]]:
    """The scores on each client's test of a ridge regression, λ chosen on validation.

    Args:
        federation: Of the clients.
        equations: Sums over the windows to learn from.
        clients: Those that are here, by number.
        total: The sum over all clients, here and elsewhere, of a function of their numbers.
    """
    solved = [ridge(equations, penalty) for penalty in PENALTIES]
    main = MAIN[federation.task]

    def validated(number: int) -> np.ndarray:
        windows = clients[number].val
        return np.array([linear_scores(federation, each, windows)[main] for each in solved])

    penalty = best_penalty(federation.task, total(validated).tolist())
    weights = solved[PENALTIES.index(penalty)]
    return {k: linear_scores(federation, weights, each.test) for k, each in clients.items()}
