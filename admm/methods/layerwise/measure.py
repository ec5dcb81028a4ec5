"""What an iteration of `solve` has come to: over all workers, by name, and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from admm.comm import Transport
from admm.methods.layerwise.worker import LayerWorker
from admm.solvers import Diagnosis

Row = Mapping[str, Any]

_PARTS = (
    "risk",
    "linear_penalty",
    "activation_penalty",
    "weight_decay",
    "dual_term",
    "coupling_penalty",
)
_RESIDUALS = ("primal_residual", "dual_residual", "stationarity")
# What a residual is measured against: its number of elements, and the squares of which the largest
# counts.
_AGAINST = {
    "primal_residual": ("coupled", ("p", "q")),
    "dual_residual": ("coupled", ("u",)),
    "stationarity": ("unknowns", ("terms",)),
}


def measure(workers: Sequence[LayerWorker], transport: Transport) -> tuple[float, Diagnosis]:
    """Mean training loss and the diagnosis of every layer, (layers,) a field, in every process."""
    for worker in workers:
        worker.finish()
    own = [layer for worker in workers for layer in worker.diagnose() or ()]
    found = (workers[-1].loss(), np.array(jax.device_get(own), float))
    every = transport.gather(found)
    loss = every[-1][0]
    assert loss is not None  # the last worker has the output layer
    return loss, Diagnosis(*np.concatenate([values for _, values in every]).T)


def row(loss: float, layers: Diagnosis, **more: Any) -> Row:
    """A row of the trace: `more`, and what adds up over layers; `layers` has their own values."""
    columns = layers._asdict()
    with np.errstate(invalid="ignore"):  # what is not finite ends the run
        lagrangian = sum(columns[name] for name in _PARTS)
        own = {"lagrangian": lagrangian, **{name: columns[name] for name in _PARTS}}
        totals = {name: float(values.sum()) for name, values in own.items()}
        norms = {name: float(columns[name].sum() ** 0.5) for name in _RESIDUALS}
    own |= {name: columns[name] ** 0.5 for name in _RESIDUALS}
    return {**more, "loss": loss, **totals, **norms, "layers": own}


def converged(layers: Diagnosis, absolute: float, relative: float) -> bool:
    """Whether all residuals are below their bounds, see `Tolerance`."""
    total = {name: float(values.sum()) for name, values in layers._asdict().items()}
    return all(
        total[name] ** 0.5
        <= absolute * total[count] ** 0.5 + relative * max(total[each] for each in against) ** 0.5
        for name, (count, against) in _AGAINST.items()
    )


def table(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """A column for every value of the rows, those of layers apart."""
    return {name: np.array([each[name] for each in rows]) for name in rows[0] if name != "layers"}


def layer_table(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The values of layers: a row for every step and layer, in this order."""
    layers = rows[0]["layers"]
    depth = len(layers["lagrangian"])
    columns = {name: np.concatenate([each["layers"][name] for each in rows]) for name in layers}
    steps = np.repeat([each["step"] for each in rows], depth)
    return {"step": steps, "layer": np.tile(np.arange(1, depth + 1), len(rows)), **columns}
