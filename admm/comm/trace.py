"""Traces: what a process did when, in the format of Chrome's trace viewer.

A computation runs on the device while the host goes on, so a span around the call alone would say
nothing. Under a trace the host waits for every computation; a traced run is therefore a little
slower than one that is not, above all where computations are short.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

# `admm.comm.shares` counts an instant that is in several spans for the first of these.
Category = Literal["compile", "checkpoint", "evaluate", "decode", "wait", "encode", "compute"]


class Trace:
    """Spans of one process.

    Args:
        process: Number of the process in the trace, its first worker's.
        name: Its name.

    Example:
        >>> trace = Trace(0, "worker 0")
        >>> with trace.span("compute", "layer 1"):
        ...     pass
        >>> trace.events[-1]["cat"], trace.events[-1]["ph"]
        ('compute', 'X')
    """

    def __init__(self, process: int, name: str) -> None:
        self._process = process
        # All processes of a host count from the same moment.
        self._zero = time.time() - time.perf_counter()
        self.events: list[dict[str, Any]] = [
            {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}}
        ]

    @contextmanager
    def span(self, category: Category, name: str) -> Iterator[None]:
        """Record how long the body takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(category, name, time.perf_counter() - start)

    def add(self, category: Category, name: str, seconds: float) -> None:
        """Record what has just ended, and took so many seconds."""
        self.events.append(
            {
                "ph": "X",
                "cat": category,
                "name": name,
                "pid": self._process,
                "tid": 0,
                "ts": 1e6 * (self._zero + time.perf_counter() - seconds),  # microseconds
                "dur": 1e6 * seconds,
            }
        )
