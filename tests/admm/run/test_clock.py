"""Seconds by section."""

import pytest

from admm.comm import LocalTransport, Trace
from admm.run.clock import Clock


def test_a_section_that_an_error_leaves():
    """Its time counts, and stands in the trace."""
    transport = LocalTransport()
    transport.trace = Trace(0, "worker 0")
    with Clock(transport) as clock:
        with pytest.raises(KeyError), clock.section("evaluate"):
            raise KeyError
        assert clock.seconds()["evaluate"] > 0
    assert transport.trace.events[-1]["name"] == "evaluate"
