"""What solvers can be set to, and the checks of it; needs no JAX, so that options can tell."""

from dataclasses import fields
from numbers import Real
from typing import Any, Literal, get_args

from admm.checks import COUNT, FRACTION, NOT_NEGATIVE, POSITIVE, Check
from admm.errors import InputError, spelled, switched_off

StepRule = Literal["exact", "joint", "backtracking", "newton"]
"""How long the steps of p and W are in pdADMM-G."""

Optimizer = Literal["gd", "adadelta", "adagrad", "adam"]
"""First-order optimisers that have a name."""

Splitting = Literal["gsadmm", "gsam"]
"""How subnetworks are coupled."""

PredictionForm = Literal["residual", "absolute"]
LossName = Literal["cross_entropy", "squared_error"]

LEARNING_RATES: dict[Optimizer, float] = {
    "gd": 1e-1,
    "adadelta": 1e-3,
    "adagrad": 1e-3,
    "adam": 1e-3,
}
"""Default rates: those of Wang et al., arXiv 2105.09837, for 100 neurons on most data sets."""


def _one_of(names: Any) -> Check:
    """The check of a word that is one of a `Literal`."""
    known = get_args(names)
    return Check(f"one of {', '.join(known)}", lambda value: value in known, str)


OPTIMIZER = _one_of(Optimizer)

# None of these is checked anywhere else.
RULES: dict[str, Check] = {
    "rho": POSITIVE,
    "nu": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "learning_rate": POSITIVE,
    "alpha": POSITIVE,
    "reach": POSITIVE,
    "relaxation": FRACTION,
    "inner": COUNT,
    "row_block": COUNT,
    "rate": POSITIVE,
    "damping": POSITIVE,
    "decay": NOT_NEGATIVE,
    "factor_every": COUNT,
    "dropout": Check("in [0, 1)", lambda value: 0 <= value < 1, Real),
    "step_rule": _one_of(StepRule),
    "form": _one_of(PredictionForm),
}


def check_rules(solver: Any) -> None:
    """Whether every hyperparameter of a solver that is given keeps its rule.

    Raises:
        InputError: If not.
    """
    for name in (each.name for each in fields(solver) if each.name in RULES):
        if getattr(solver, name) is not None:
            RULES[name](name, getattr(solver, name))


def check_alpha(alpha: float | None, rho: float | None, inner: int, refresh: bool) -> None:
    """Whether gsADMM and gsAM have the α that other settings need.

    Raises:
        InputError: If not.
    """
    if alpha is not None:
        return
    if rho is not None:
        raise InputError(
            f"{spelled('rho')} needs {spelled('alpha')}; without, both follow from the gradient"
        )
    if inner > 1 or not refresh:
        raise InputError(
            f"{spelled('inner')} above 1 and {switched_off('refresh')} need {spelled('alpha')}: "
            "that which follows from the gradient is for one step from f"
        )


def default_stages(layers: int) -> tuple[int, ...]:
    """Depths of the stages: the full depth, halved down to two (or three) layers.

    Example:
        >>> default_stages(10), default_stages(16), default_stages(1)
        ((2, 5, 10), (2, 4, 8, 16), (1,))
    """
    stages = [layers]
    while stages[0] > 3:
        stages.insert(0, stages[0] // 2)
    return tuple(stages)
