"""What a run costs, as far as it follows from shapes: operations, messages, checkpoints.

A method says it in `MethodOptions.costs`, for every stage and worker; what a whole run comes to is
added up here. Needs no JAX.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

EVALUATION = "evaluation"


class Message(NamedTuple):
    """Messages of one size from one worker to another."""

    variable: str
    target: int
    nbytes: int  # of one
    times: int  # so many
    per: Literal["stage", "epoch", "evaluation"]  # at each start of a stage, or in each of these


class WorkerCosts(NamedTuple):
    """What a stage costs one worker."""

    units: str  # what it owns
    flops: float  # of an epoch
    evaluation_flops: float  # of an evaluation
    messages: tuple[Message, ...]  # that it sends
    checkpoint_bytes: int  # of its arrays in a checkpoint


class StageCosts(NamedTuple):
    """What a stage costs."""

    parameters: int  # of the network that is saved
    epochs: int
    evaluations: int
    workers: tuple[WorkerCosts, ...]


def evaluations(epochs: int, eval_every: int) -> int:
    """How often a stage is evaluated: every so often, and after its last epoch.

    Example:
        >>> evaluations(10, 4), evaluations(8, 4)
        (3, 2)
    """
    return -(-epochs // eval_every)


def sent(stage: StageCosts) -> Counter[str]:
    """Bytes that all workers send in a stage, by variable."""
    times = {"stage": 1, "epoch": stage.epochs, "evaluation": stage.evaluations}
    total: Counter[str] = Counter()
    for worker in stage.workers:
        for each in worker.messages:
            total[each.variable] += each.nbytes * each.times * times[each.per]
    return total


def flops_of(stages: Sequence[StageCosts]) -> dict[str, float]:
    """Floating-point operations of all workers in a run: its epochs, and its evaluations."""
    return {
        "training": sum(s.epochs * w.flops for s in stages for w in s.workers),
        EVALUATION: sum(s.evaluations * w.evaluation_flops for s in stages for w in s.workers),
    }
