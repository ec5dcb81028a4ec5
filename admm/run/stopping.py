"""Callbacks that end a run early."""

from collections.abc import Callable

from admm.checks import COUNT
from admm.errors import InputError
from admm.run.history import Evaluation, gain


def below(value: str, tolerance: float) -> Callable[[Evaluation], bool]:
    """Stop once a value of the history has fallen to a tolerance.

    Raises:
        InputError: At the first evaluation, if the method has no such value.

    Example:
        >>> stop = below("primal_residual", 1e-3)
        >>> stop({"primal_residual": 1e-2}), stop({"primal_residual": 1e-4})
        (False, True)
    """

    def stop(evaluation: Evaluation) -> bool:
        return _value(evaluation, value) <= tolerance

    return stop


def patience(evaluations: int, value: str = "val_accuracy") -> Callable[[Evaluation], bool]:
    """Stop once a value has not become better for so many evaluations of a stage.

    Better is larger; of a value whose name ends in `loss`, smaller.

    The first stage that comes to this ends the run: with a network that grows, ask for one stage.

    Raises:
        InputError: If there are to be none; at the first evaluation, if the method has no such
            value.

    Example:
        >>> stop = patience(2)
        >>> values = enumerate((0.5, 0.6, 0.6, 0.4))
        >>> [stop({"stage": 0, "epoch": n, "val_accuracy": x}) for n, x in values]
        [False, False, False, True]
    """
    COUNT("evaluations", evaluations)
    best, since, place = 0.0, 0, (-1, 0)

    def stop(evaluation: Evaluation) -> bool:
        nonlocal best, since, place
        found, before = gain(value, _value(evaluation, value)), place
        place = (evaluation["stage"], evaluation["epoch"])
        goes_on = place > before and place[0] == before[0]  # else another stage, or a run gone back
        best, since = (best, since + 1) if goes_on and found <= best else (found, 0)
        return since >= evaluations

    return stop


def _value(evaluation: Evaluation, value: str) -> float:
    if value not in evaluation:
        raise InputError(
            f"there is no {value!r} in an evaluation; expected one of {', '.join(evaluation)}"
        )
    return evaluation[value]
