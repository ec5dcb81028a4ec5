"""Libraries that are missing, and those that are there and cannot be imported."""

import re

import pytest

from admm.errors import InputError
from admm.extras import load


@pytest.mark.parametrize("part", ["", ".part"])
def test_a_missing_library_is_to_be_installed(part):
    with pytest.raises(InputError, match=r"^a plot needs absent_library: pip install absent_\w+$"):
        load(f"absent_library{part}", "a plot")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("import absent_dependency", "No module named 'absent_dependency'"),
        ("raise ImportError('libc is too old')", "libc is too old"),
    ],
)
def test_a_library_that_cannot_be_imported_says_why(tmp_path, monkeypatch, content, why):
    (tmp_path / "broken_library.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    words = f"a plot needs broken_library, which cannot be imported; reinstall it: {why}"
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        load("broken_library", "a plot")
