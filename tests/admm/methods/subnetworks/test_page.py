"""The programs of docs/own-network.md, one after the other."""

from pathlib import Path

import jax
import numpy as np
import pytest
from pages import programs

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "own-network.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    with jax.numpy_dtype_promotion("standard"):  # as everywhere but in these tests
        for program in programs(PAGE):
            exec(compile(program, str(PAGE), "exec"), names)
    assert (tmp_path / "runs" / "own" / "summary.json").exists()
    assert names["result"].summary["final"]["modules"] == 4
    assert names["classifier"].score(names["X"], names["y"]) > 0.8
    assert np.isfinite(jax.vmap(names["loaded"])(names["new"].astype("float32"))).all()
    assert np.isfinite(names["model"](names["x"][0], key=jax.random.key(0))).all()
