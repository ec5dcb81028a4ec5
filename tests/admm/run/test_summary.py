"""What a summary says of the process."""

import resource
import sys
from types import SimpleNamespace

import pytest

from admm.run import summary


@pytest.mark.parametrize(("platform", "nbytes"), [("linux", 7 * 1024), ("darwin", 7)])
def test_peak_memory_is_in_bytes(monkeypatch, platform, nbytes):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=7))
    assert summary._peak_rss() == nbytes
