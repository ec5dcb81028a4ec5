"""The figures of one run that follow from its `summary.json`. Needs no JAX.

After Bai et al., Beyond Efficiency, arXiv 2401.00625, section 3.3: computation, memory, energy,
money, network. Every figure says where it comes from; what is not known is "not measured".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from admm.checks import NOT_NEGATIVE

Source = Literal["counted", "measured", "modelled", "not measured"]

_HOUR, _KWH = 3600.0, 3.6e6


class Figure(NamedTuple):
    """A figure of a run."""

    value: float | None
    unit: str
    source: Source
    note: str  # what it is of; where it is not measured, what would measure it


@dataclass(frozen=True)
class Prices:
    """What turns time into energy, and energy and time into emissions and money.

    Args:
        watts: Of a busy core; models the energy where no meter was read.
        grid_intensity: Grams of CO2 equivalent a kWh.
        price: Of an hour of all machines of a run.

    Raises:
        InputError: If one is negative or not finite.

    Example:
        >>> Prices(watts=10, price=0.1).grid_intensity is None
        True
    """

    watts: float | None = None
    grid_intensity: float | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                NOT_NEGATIVE(name, value)


def not_measured(unit: str, remedy: str) -> Figure:
    """A figure that is not known, and what would tell it."""
    return Figure(None, unit, "not measured", remedy)


def figures_of(summary: Mapping[str, Any], prices: Prices) -> dict[str, Figure]:
    """The figures of a run by name.

    Args:
        summary: The contents of `summary.json`.
        prices: Of energy and time.

    Example:
        >>> from admm import options, train
        >>> summary = train(options(layers=2, hidden=16, epochs=5)).summary
        >>> figures_of(summary, Prices(watts=10.0))["energy"].source
        'modelled'
    """
    best, final, seconds = summary["best"], summary["final"], summary["seconds"]
    return {
        "test_accuracy": _or_missing(best, "test_accuracy", "fraction", "of the best network"),
        **_computation(summary),
        "iterate_seconds": _or_missing(
            final, "iterate_seconds", "s", "of epochs, waiting included, without compilation"
        ),
        "total_seconds": Figure(seconds["total"], "s", "measured", "from the start to the end"),
        "peak_memory": Figure(
            max(summary["peak_rss_bytes"]), "bytes", "measured", "resident, of the largest rank"
        ),
        **_messages(summary["bytes"]),
        **_prices(summary, prices),
    }


def _or_missing(line: Mapping[str, Any] | None, name: str, unit: str, note: str) -> Figure:
    value = None if line is None else line.get(name)
    if value is None:
        return not_measured(unit, "a run with an evaluation that has it")
    return Figure(value, unit, "measured", note)


def _computation(summary: Mapping[str, Any]) -> dict[str, Figure]:
    units = {
        "training_flops": ("FLOP", "of all epochs, from shapes"),
        "evaluation_flops": ("FLOP", "of all evaluations, from shapes"),
        "parameters": ("numbers", "of the best network"),
        "model_size": ("bytes", "of these, as they are saved"),
    }
    costs = summary["costs"]
    if costs is None or costs["parameters"] is None:
        remedy = "a run by a method that says what it costs"
        return {name: not_measured(unit, remedy) for name, (unit, _) in units.items()}
    values = (*costs["flops"].values(), costs["parameters"], costs["model_bytes"])
    return {
        name: Figure(value, unit, "counted", note)
        for (name, (unit, note)), value in zip(units.items(), values, strict=True)
    }


def _messages(nbytes: Mapping[str, Any]) -> dict[str, Figure]:
    every = {
        "sent": (nbytes["sent"], "of training, all variables"),
        **{f"sent_{name}": (n, f"of {name}") for name, n in nbytes["by_variable"].items()},
        "sent_evaluation": (nbytes["evaluation"], "of activations in evaluations"),
        "sent_control": (nbytes["control"], "of sums, scores and agreements"),
    }
    found = {name: Figure(n, "bytes", "counted", note) for name, (n, note) in every.items()}
    found["compression"] = (
        Figure(nbytes["float32"] / nbytes["sent"], "ratio", "counted", "float32 / sent")
        if nbytes["sent"]
        else not_measured("ratio", "a run on two workers or more")
    )
    return found


def _prices(summary: Mapping[str, Any], prices: Prices) -> dict[str, Figure]:
    energy = _energy(summary, prices.watts)
    emissions = not_measured("kg CO2e", "--grid-intensity, and the energy")
    if energy.value is not None and prices.grid_intensity is not None:
        kilograms = energy.value / _KWH * prices.grid_intensity / 1000
        note = f"{energy.source} energy at {prices.grid_intensity:g} g/kWh"
        emissions = Figure(kilograms, "kg CO2e", "modelled", note)
    cost = per_parameter = not_measured("money", "--price of an hour")
    if prices.price is not None:
        money = prices.price * summary["seconds"]["total"] / _HOUR
        cost = Figure(money, "money", "modelled", f"{prices.price:g} an hour, by total_seconds")
        parameters = (summary["costs"] or {}).get("parameters")
        per_parameter = (
            not_measured("money", "a run whose parameters are counted")
            if parameters is None
            else Figure(money / parameters, "money", "modelled", "cost / parameters")
        )
    return {
        "energy": energy,
        "emissions": emissions,
        "cost": cost,
        "cost_per_parameter": per_parameter,
    }


def _energy(summary: Mapping[str, Any], watts: float | None) -> Figure:
    """What meters said, else watts · busy core-seconds; never the one in the guise of the other."""
    joules, cpu = summary["joules"], summary["seconds"]["cpu"]
    if joules is not None:
        return Figure(joules, "J", "measured", "RAPL: all that ran on the machines of the run")
    if watts is None:
        return not_measured("J", "RAPL counters that can be read, or --watts of a core")
    core_seconds = cpu * summary["workers"]["ranks"]
    if summary["workers"]["mpi"] is None:
        core_seconds = cpu  # all workers in one process
    note = f"{watts:g} W a core, {core_seconds:.4g} s of busy cores"
    return Figure(watts * core_seconds, "J", "modelled", note)
