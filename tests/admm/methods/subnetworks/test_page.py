"""The programs of docs/own-network.md, one after the other."""

import re
from pathlib import Path

import jax
import numpy as np

PAGE = Path(__file__).parents[4] / "docs" / "own-network.md"


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(programs) == 4
    names = {}
    with jax.numpy_dtype_promotion("standard"):  # as everywhere but in these tests
        for program in programs:
            exec(compile(program, str(PAGE), "exec"), names)
    assert (tmp_path / "runs" / "own" / "summary.json").exists()
    assert names["result"].summary["final"]["modules"] == 5
    assert np.isfinite(names["model"](names["x"][0], key=jax.random.key(0))).all()
