"""What a run is going to cost, before it begins: nothing is trained, nothing is written."""

import socket
from collections import Counter
from typing import Any, NamedTuple

from admm.comm import LocalTransport, Transport
from admm.errors import AdmmError, InputError
from admm.memory import check_memory, memory_told
from admm.run.agreement import check_one_job
from admm.run.costs import EVALUATION, StageCosts, flops_of, sent
from admm.run.options import MethodOptions, check_not_in_memory
from admm.run.run import check_dtype, check_transport


class Estimate(NamedTuple):
    """What a run is going to cost."""

    introduction: str  # what is trained on what
    stages: list[StageCosts]
    bytes_by_variable: dict[str, int]  # of a whole run, as `bytes.by_variable` of its summary
    evaluation_bytes: int  # as `bytes.evaluation`
    flops: dict[str, float]  # of a whole run: training, evaluation
    peak_bytes: list[int]  # arrays of every worker, beside the memory of an idle process


def estimate(
    options: MethodOptions, transport: Transport | None = None, *, data: Any = None
) -> Estimate:
    """What a run is going to cost every worker; data are looked at, and nothing else is done.

    Args:
        options: Of the run.
        transport: Its workers are those of the run; by default `options.workers` live here.
        data: In place of a name, as in `train`.

    Returns:
        In every process.

    Raises:
        InputError: If data or options cannot be used, or the method does not say what it costs.

    Example:
        >>> from admm import options
        >>> found = estimate(options(layers=2, hidden=16, epochs=5, workers=2))
        >>> found.bytes_by_variable
        {'q': 76800, 'p': 64000}
    """
    transport = LocalTransport(options.workers) if transport is None else transport
    check_transport(transport)
    check_dtype(options.dtype)
    check_one_job(options, transport)
    if transport.share(data is None, 0):
        check_not_in_memory(options.dataset)
    with memory_told("looking at the data", options):
        share = options.look(transport, data)
        stages, peaks = options.costs(share), options.peak_memory(share)
    if stages is None or peaks is None:
        raise InputError(
            f"{options.solver} does not say what a run costs: {type(options).__name__} has no "
            "costs and no peak_memory"
        )
    total = sum(map(sent, stages), Counter())
    evaluation = total.pop(EVALUATION, 0)
    return Estimate(
        share.introduction,
        list(stages),
        dict(total),
        evaluation,
        flops_of(stages),
        list(peaks),
    )


def check_fits(found: Estimate, options: MethodOptions, transport: Transport) -> None:
    """Whether the arrays of all workers fit into the memory that their machines can still give.

    Raises:
        AdmmError: In every process, if not; it says what takes less.
    """
    host = socket.gethostname()
    every = transport.gather((host, list(transport.local)))
    own = [worker for name, workers in every if name == host for worker in workers]
    failure = None
    try:
        what = f"the arrays of {len(own)} of {transport.size} workers, those on {host},"
        check_memory(sum(found.peak_bytes[worker] for worker in own), what, options)
    except AdmmError as error:
        failure = error
    for each in transport.gather(failure):
        if each is not None:
            raise each


def as_json(found: Estimate) -> dict[str, Any]:
    """An estimate as JSON values."""
    return {**found._asdict(), "stages": [_object(stage) for stage in found.stages]}


def _object(value: Any) -> Any:
    """Named tuples, however deep, as objects."""
    if isinstance(value, tuple):
        if hasattr(value, "_asdict"):
            return {name: _object(each) for name, each in value._asdict().items()}
        return [_object(each) for each in value]
    return value
