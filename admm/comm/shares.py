"""Where the time of a traced run went, by process and kind of work. Needs no JAX."""

import json
import math
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args

from admm.comm.trace import Category
from admm.errors import InputError
from admm.files import reading

# What `evaluate` sends travels in messages whose names end so.
_OF_EVALUATIONS = " evaluation"

IDLE = "idle"
KINDS = (*reversed(get_args(Category)), IDLE)


class Shares(NamedTuple):
    """Where the time of one process went."""

    process: str
    seconds: float  # from its first span to the end of its last
    of: dict[str, float]  # fractions by kind, which add up to 1


def trace_shares(path: str | Path) -> list[Shares]:
    """The share of every kind of work in the time of each process of a trace.

        share of a kind = time in its spans / time from the first span to the end of the last

    An instant in several spans counts once: for compilation before evaluation and checkpoints, for
    these before the messages and computations in them. What is in no span is idle.

    Args:
        path: What `admm train --trace` wrote.

    Raises:
        InputError: If the file cannot be read, or something else wrote it.

    Example:
        >>> import tempfile
        >>> from admm.comm import Trace
        >>> trace, path = Trace(0, "worker 0"), Path(tempfile.mkdtemp(), "trace.json")
        >>> trace.add("compute", "layer 1", seconds=2.0)
        >>> _ = path.write_text(json.dumps({"traceEvents": trace.events}))
        >>> trace_shares(path)[0].of["compute"]
        1.0
    """
    path = Path(path)
    spans: defaultdict[Any, list[tuple[float, float, str]]] = defaultdict(list)
    names = {}
    for event in _events(path):
        try:
            if event["ph"] == "M" and event["name"] == "process_name":
                names[event["pid"]] = str(event["args"]["name"])
            elif event["ph"] == "X":
                spans[event["pid"]].append(_span(event))
        except (KeyError, TypeError, ValueError) as error:
            raise _foreign(path, f"an event is {str(event)[:80]}") from error
    if not spans:
        raise _foreign(path, "it has no spans")
    return [_shares(names.get(pid, f"process {pid}"), spans[pid]) for pid in sorted(spans)]


def _events(path: Path) -> list[Any]:
    with reading(path):
        text = path.read_bytes()
    try:
        events = json.loads(text)["traceEvents"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _foreign(path, "it has no JSON object with traceEvents") from error
    if not isinstance(events, list):
        raise _foreign(path, "its traceEvents are no list")
    return events


def _span(event: dict[str, Any]) -> tuple[float, float, str]:
    """Start, end and kind.

    Raises:
        ValueError: If it is none of ours.
    """
    start, seconds = event["ts"] / 1e6, event["dur"] / 1e6
    if event["cat"] not in KINDS or not (math.isfinite(start) and 0 <= seconds < math.inf):
        raise ValueError
    of_evaluation = event["name"].endswith(_OF_EVALUATIONS)
    return start, start + seconds, "evaluate" if of_evaluation else event["cat"]


def _shares(process: str, spans: list[tuple[float, float, str]]) -> Shares:
    steps = sorted(
        step for start, end, kind in spans for step in ((start, 1, kind), (end, -1, kind))
    )
    open_ones: Counter[str] = Counter()
    seconds = dict.fromkeys(KINDS, 0.0)
    for (now, change, kind), (then, *_) in pairwise(steps):
        open_ones[kind] += change
        first = next((each for each in get_args(Category) if open_ones[each] > 0), IDLE)
        seconds[first] += then - now
    total = steps[-1][0] - steps[0][0]
    return Shares(process, total, {kind: each / (total or 1) for kind, each in seconds.items()})


def _foreign(path: Path, why: str) -> InputError:
    return InputError(f"{path} is no trace of admm train --trace FILE: {why}")
