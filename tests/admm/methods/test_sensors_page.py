"""The blocks of docs/sensors.md, one after the other."""

from pathlib import Path

import pytest
from pages import programs

PAGE = Path(__file__).parents[3] / "docs" / "sensors.md"


def test_the_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = programs(PAGE)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert names["north"].train.inputs.shape == (47, 24, 3)
    assert names["press"].train.targets.shape == (60,)
    found = [names[name] for name in ("last", "alone", "together")]
    assert found == pytest.approx([1.252, 0.380, 0.325], abs=2e-3)
