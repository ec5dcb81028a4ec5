"""Text on the way: what cannot be written costs nothing but the text."""

import io
import os

import pytest

from admm.console import Console


class Broken(io.TextIOBase):
    """A stream that a library has made, or a widget that is gone; it has no descriptor."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def write(self, text):
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("gone"), OSError(28, "full"), ValueError("closed")])
def test_a_stream_that_fails_is_let_go(error):
    open_ones = os.listdir("/proc/self/fd")
    stream = Broken(error)
    console = Console(stream)
    console.write("a")
    console.write("b")
    assert stream.calls == 1
    assert not console
    assert len(os.listdir("/proc/self/fd")) == len(open_ones)
