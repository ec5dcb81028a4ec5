"""Penalty schedules: the protocol, and an adaptive one that raises ρ and ν when the loss stalls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """How the penalties go from iteration to iteration.

    Its penalties are any object with the attributes `rho` and `nu`, and what the schedule wants to
    remember. A schedule itself has no state: every process has one and gets the same `info`.
    """

    def init(self, rho: float, nu: float) -> Any:
        """Penalties of the first iteration, from those of the solver."""
        ...

    def update(self, penalties: Any, info: Mapping[str, Any]) -> Any:
        """Penalties of the next iteration, given what this one has come to, `loss` among it."""
        ...


class PenaltyState(NamedTuple):
    """Current penalties, and what the schedule remembers of the loss."""

    rho: float
    nu: float
    last_loss: float | None = None
    stalls: int = 0


@dataclass(frozen=True)
class PenaltySchedule:
    """Multiply ρ and ν by `factor`, up to `limit`, once the loss has stalled `patience` times.

    A stall is an improvement of the mean training loss below `tolerance`.

    Example:
        >>> schedule = PenaltySchedule()
        >>> state = schedule.init(rho=0.01, nu=0.5)
        >>> for loss in (1.0, 0.9999, 0.9998):
        ...     state = schedule.update(state, {"loss": loss})
        >>> state.rho, state.nu
        (0.1, 1.0)
    """

    factor: float = 10.0
    limit: float = 1.0
    tolerance: float = 1e-3
    patience: int = 2

    def init(self, rho: float, nu: float) -> PenaltyState:
        """Penalties of the first iteration."""
        return PenaltyState(rho, nu)

    def update(self, penalties: PenaltyState, info: Mapping[str, Any]) -> PenaltyState:
        """The penalties of the next iteration, given the mean training loss of this one."""
        loss = info["loss"]
        stalled = penalties.last_loss is not None and penalties.last_loss - loss < self.tolerance
        stalls = penalties.stalls + 1 if stalled else 0
        if stalls < self.patience:
            return penalties._replace(last_loss=loss, stalls=stalls)
        return PenaltyState(self._raised(penalties.rho), self._raised(penalties.nu), loss)

    def _raised(self, penalty: float) -> float:
        return max(penalty, min(penalty * self.factor, self.limit))
