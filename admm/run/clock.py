"""Where the time of a process goes, disjointly: iterations, waiting, evaluation, and so on."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

from jax import monitoring

from admm.comm import Transport

Section = Literal["iterate", "evaluate", "checkpoint"]
_SECTIONS = get_args(Section)


class Clock:
    """Seconds by section, net of the compilation and the waiting inside them.

    Used as a context manager: it listens to JAX's compilation events while it is entered.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._sections: defaultdict[str, float] = defaultdict(float)
        self._waited: defaultdict[str, float] = defaultdict(float)
        self._compile = 0.0
        self._start = time.perf_counter()
        self._cpu = time.process_time()

    def __enter__(self) -> "Clock":
        monitoring.register_event_duration_secs_listener(self._on_event)
        return self

    def __exit__(self, *_: object) -> None:
        monitoring.unregister_event_duration_listener(self._on_event)

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count on from the totals of an earlier process."""
        self._start -= seconds["total"]
        self._cpu -= seconds["cpu"]
        self._compile += seconds["compile"]
        for name in _SECTIONS:
            self._sections[name] += seconds[name]
        self._waited["iterate"] += seconds["wait"]
        self._transport.waited += seconds["wait"]

    @contextmanager
    def section(self, name: Section) -> Iterator[None]:
        """Count the time of the body as `name`."""
        start, compiled, waited = time.perf_counter(), self._compile, self._transport.waited
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            waited = self._transport.waited - waited
            self._sections[name] += elapsed - (self._compile - compiled) - waited
            self._waited[name] += waited
            trace = self._transport.trace
            if trace is not None and name != "iterate":  # which has spans of its own
                trace.add(name, name, elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._start

    @property
    def iterating(self) -> float:
        """Seconds of iterations: waiting included, without compilation."""
        return self._sections["iterate"] + self._waited["iterate"]

    def seconds(self) -> dict[str, float]:
        """Totals, under the names of `summary.json`."""
        return {
            "total": self.elapsed,
            "cpu": time.process_time() - self._cpu,
            "compile": self._compile,
            "wait": self._transport.waited,
            **{name: self._sections[name] for name in _SECTIONS},
        }

    def _on_event(self, event: str, duration_secs: float, **_: str | int) -> None:
        # Tracing, lowering and the backend's compilation of one function follow each other.
        if event.startswith("/jax/core/compile/"):
            self._compile += duration_secs
            if self._transport.trace is not None:
                what = event.rpartition("/")[2].removesuffix("_duration")
                self._transport.trace.add("compile", what, duration_secs)
