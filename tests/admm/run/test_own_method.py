"""The method of docs/own-method.md, as a package of its own: nothing in admm/ knows of it."""

import json
import os
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "own-method.md"
TRAIN = ("train", "--solver", "consensus", "--epochs", 6, "--checkpoint-every", 2)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The page's program, installed: a module, and the entry point in its metadata."""
    folder = tmp_path_factory.mktemp("site")
    program = PAGE.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    (folder / "consensus.py").write_text(program)
    info = folder / "consensus-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: consensus\nVersion: 1.0\n")
    entry = "[layerwise_admm.methods]\nconsensus = consensus:ConsensusOptions\n"
    (info / "entry_points.txt").write_text(entry)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def history(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    apart = ("seconds", "iterate_seconds", "bytes_sent")
    return [{n: v for n, v in line.items() if n not in apart} for line in lines]


def summary(run):
    return json.loads((run / "summary.json").read_text())


@pytest.mark.parametrize("ranks", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_it_trains_and_resumes(admm, package, tmp_path, ranks):
    whole, part = tmp_path / "whole", tmp_path / "part"
    for out, epochs in ((whole, 6), (part, 4)):
        done = admm(*TRAIN, "--epochs", epochs, "--out", out, ranks=ranks, **package)
        assert done.returncode == 0, done.stderr
    done = admm("train", "--resume", part, "--epochs", 6, ranks=ranks, **package)
    assert done.returncode == 0, done.stderr
    assert history(part) == history(whole)
    found = summary(whole)
    assert found["best"]["val_accuracy"] > 0.85
    size = 64 * 10 * 4  # one array each way an epoch
    expected = {"w": 6 * size, "z": 6 * size} if ranks else {"w": 0, "z": 0}
    assert found["bytes"]["by_variable"] == expected


def test_it_diverges_and_goes_back(admm, package, tmp_path):
    seldom = ("--checkpoint-every", 50)  # back to the start, before anything has grown
    done = admm(*TRAIN, *seldom, "--step", 100, "--out", tmp_path, ranks=2, **package)
    assert done.returncode == 0, done.stderr
    (retreat,) = summary(tmp_path)["retreats"]
    assert retreat["error"].startswith("training diverged in epoch")
    assert retreat["then"] == "step 1"
    assert summary(tmp_path)["options"]["step"] == 1


def test_the_command_line_knows_its_options(admm, package, tmp_path):
    done = admm("train", "--solver", "consensus", "--help", **package)
    assert "step of the dual variables [1.0]" in done.stdout
    done = admm("train", "--solver", "consensus", "--step", "-1", "--out", tmp_path, **package)
    assert done.returncode == 2
    assert "--step must be positive and finite, got -1.0" in done.stderr
    done = admm("train", "--solver", "consensus", "--hops", 3, **package)
    assert "--hops is not for --solver consensus, which takes" in done.stderr


def test_without_the_package_the_solver_is_unknown(admm):
    done = admm("train", "--solver", "consensus")
    assert done.returncode == 2
    assert "--solver must be one of pdadmm-g, gd" in done.stderr


def test_it_does_not_say_what_a_run_costs(admm, package):
    done = admm(*TRAIN, "--dry-run", **package)
    assert done.returncode == 2
    assert "consensus does not say what a run costs: ConsensusOptions has no costs" in done.stderr
