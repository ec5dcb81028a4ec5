"""The penalty schedule: ρ and ν grow when the training loss stalls."""

from dataclasses import dataclass
from typing import NamedTuple


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
        >>> schedule, state = PenaltySchedule(), PenaltyState(rho=0.01, nu=0.5)
        >>> for loss in (1.0, 0.9999, 0.9998):
        ...     state = schedule.update(state, loss)
        >>> state.rho, state.nu
        (0.1, 1.0)
    """

    factor: float = 10.0
    limit: float = 1.0
    tolerance: float = 1e-3
    patience: int = 2

    def update(self, state: PenaltyState, loss: float) -> PenaltyState:
        """The penalties of the next iteration, given the mean training loss of this one."""
        stalled = state.last_loss is not None and state.last_loss - loss < self.tolerance
        stalls = state.stalls + 1 if stalled else 0
        if stalls < self.patience:
            return state._replace(last_loss=loss, stalls=stalls)
        return PenaltyState(self._raised(state.rho), self._raised(state.nu), loss)

    def _raised(self, penalty: float) -> float:
        return max(penalty, min(penalty * self.factor, self.limit))
