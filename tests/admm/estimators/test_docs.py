"""The blocks of docs/estimators.md, one after the other."""

from pathlib import Path

import numpy as np
from pages import programs

PAGE = Path(__file__).parents[3] / "docs" / "estimators.md"


def test_the_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = programs(PAGE)
    assert len(blocks) == 7
    for block in blocks:
        exec(block, names)
    right = names["probabilities"].argmax(axis=1) == names["y"]
    assert right.mean() > 0.9
    assert names["watched"].n_iter_ == len(names["losses"]) <= 15
    assert names["table"].getvalue()
    assert sorted(np.load("network.npz")) == ["W1", "W2", "b1", "b2"]
    for number, layer in names["network"].items():
        np.testing.assert_array_equal(layer.W, names["result"].network[number].W)
