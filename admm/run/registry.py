"""Methods by name: those of the toolkit, and entry points of other packages. Needs no JAX.

A package adds a method with

    [project.entry-points."layerwise_admm.methods"]
    my-solver = "my_package:MyOptions"

where `MyOptions` is a subclass of `MethodOptions` whose `solver` may be `my-solver`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import Field
from importlib.metadata import entry_points
from typing import Any

from admm.errors import InputError, did_you_mean, spelled, switched_off
from admm.run.options import MethodOptions, option_fields

GROUP = "layerwise_admm.methods"
DEFAULT = "pdadmm-g"

_LAYERWISE = "admm.methods.layerwise.options"
_FEDERATED = "admm.methods.federated.options:FederatedOptions"
_PARTITIONS = "admm.methods.partitions.options:PartitionOptions"
_SUBNETWORKS = "admm.methods.subnetworks.options"
_BUILT_IN = {
    "pdadmm-g": f"{_LAYERWISE}:PDADMMGOptions",
    **dict.fromkeys(("gd", "adadelta", "adagrad", "adam"), f"{_LAYERWISE}:BackpropOptions"),
    **dict.fromkeys(("gsadmm", "gsam"), f"{_SUBNETWORKS}:SubnetworkOptions"),
    "sadmm": "admm.methods.stochastic.options:StochasticOptions",
    **dict.fromkeys(("partitions", "digest", "sat"), _PARTITIONS),
    **dict.fromkeys(("fed-admm", "fedavg", "fedavgm", "fedprox", "scaffold", "fedsgd"), _FEDERATED),
}


def solver_places() -> dict[str, str]:
    """Where the options of every solver are: `MODULE:CLASS` by name.

    Example:
        >>> sorted(solver_places())[:3]
        ['adadelta', 'adagrad', 'adam']
    """
    others = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {**others, **_BUILT_IN}


def find_method(solver: str) -> type[MethodOptions]:
    """The options of a solver.

    Raises:
        InputError: If there is no such solver, or its package does not hold what it says.

    Example:
        >>> find_method("gsam").__name__
        'SubnetworkOptions'
    """
    place = _BUILT_IN.get(solver) or solver_places().get(solver)
    if place is None:
        known = list(solver_places())
        raise InputError(
            f"{spelled('solver')} must be one of {', '.join(known)}, got {solver!r}"
            f"{did_you_mean(solver, known)}"
        )
    try:
        found = _load(place)
    except (ImportError, AttributeError) as error:
        message = f"the solver {solver!r} cannot be loaded from {place} ({error})"
        raise InputError(message) from error
    if not (isinstance(found, type) and issubclass(found, MethodOptions)):
        raise InputError(f"the solver {solver!r}: {place} is no subclass of MethodOptions")
    return found


def options(solver: str = DEFAULT, **given: Any) -> MethodOptions:
    """The options of a run with a solver.

    Args:
        solver: Its name.
        **given: Options that are not to have their defaults.

    Raises:
        InputError: If there is no such solver or option, or a value does not fit.

    Example:
        >>> options("adam", layers=2, epochs=50).lr
        0.001
    """
    kind = find_method(solver)
    for name in given:
        if name not in options_of(solver):
            raise unknown_option(name, solver)
    return kind(solver=solver, **given)


def options_of(solver: str) -> dict[str, Field[Any]]:
    """The options that a solver takes.

    Example:
        >>> "rho" in options_of("gsadmm"), "rho" in options_of("gsam")
        (True, False)
    """
    return {
        name: each
        for name, each in option_fields(find_method(solver)).items()
        if solver in each.metadata.get("only", {}).get("solver", (solver,))
    }


def options_from_json(values: Mapping[str, Any]) -> MethodOptions:
    """The options that `as_json` gave."""
    return find_method(values["solver"]).from_json(values)


def unknown_option(name: str, solver: str) -> InputError:
    """What to say of an option that a solver does not have."""
    written = {
        each: switched_off(each) if known.default is True else spelled(each)
        for each, known in options_of(solver).items()
    }
    bare = name.removeprefix("no_")
    if bare in written:
        return InputError(f"there is no option {spelled(name)}; there is {written[bare]}")
    if any(bare in option_fields(_load(place)) for place in _BUILT_IN.values()):
        return InputError(
            f"{spelled(name)} is not for {spelled('solver', solver)}, which takes "
            f"{', '.join(written[each] for each in sorted(written))}"
        )
    hint = did_you_mean(name, [*written], spelled)
    return InputError(f"there is no option {spelled(name)}{hint}")


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
