"""What a run is going to cost, before it begins: nothing is trained, nothing is written."""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from admm.comm import LocalTransport, Transport
from admm.errors import AdmmError, InputError, spelled
from admm.memory import available_memory, check_memory, memory_told
from admm.run.agreement import check_one_job
from admm.run.costs import EVALUATION, StageCosts, flops_of, sent
from admm.run.options import MethodOptions, check_not_in_memory
from admm.run.run import check_dtype, check_transport

# Options whose halves are tried where a run does not fit.
_TRIED = ("hidden", "batch")


class Estimate(NamedTuple):
    """What a run is going to cost.

    Example:
        >>> from admm import options
        >>> isinstance(estimate(options(layers=2, hidden=16, epochs=5)), Estimate)
        True
    """

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
        AdmmError: In every process, if not; it says what takes less, and a value that fits.
    """
    host = socket.gethostname()
    every = transport.gather((host, list(transport.local)))
    own = [worker for name, workers in every if name == host for worker in workers]
    failure = None
    try:
        what = f"the arrays of {len(own)} of {transport.size} workers, those on {host},"
        check_memory(_need(found, own), what, options)
    except AdmmError as error:
        # One process of a machine looks for what fits: the first, whose error is the one raised.
        first = transport.local[0] == own[0]
        fits = [*_fitting(options, transport.size, own)] if first else []
        failure = AdmmError("; ".join([str(error), *(f"{each} fits" for each in fits)]))
    for each in transport.gather(failure):
        if each is not None:
            raise each


def _need(found: Estimate, workers: Sequence[int]) -> int:
    return sum(found.peak_bytes[worker] for worker in workers)


def _fitting(options: MethodOptions, size: int, own: Sequence[int]) -> Iterator[str]:
    """Options with half of their value, a quarter and so on, with which these workers fit."""
    left = available_memory()
    for name in _TRIED:
        value = getattr(options, name, 0) // 2
        # A network of one's own does not take every option. Any error is of this process alone, and
        # the others would wait for it in vain.
        with suppress(AdmmError):
            while left is not None and value > 0:
                changes: dict[str, Any] = {name: value}
                smaller = estimate(replace(options, **changes), LocalTransport(size))
                if _need(smaller, own) <= left.nbytes:
                    yield spelled(name, value)
                    break
                value //= 2


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
