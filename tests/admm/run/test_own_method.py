"""The method of docs/own-method.md, as a package of its own: nothing in admm/ knows of it."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import jax
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
    return folder


@pytest.fixture
def here(command, package, monkeypatch, unchecked):
    """Run `admm ARGS` in this process, which finds the package."""
    monkeypatch.syspath_prepend(package)
    with jax.numpy_dtype_promotion("standard"):  # as everywhere but in these tests
        yield command
    sys.modules.pop("consensus", None)


def history(run):
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    apart = ("seconds", "iterate_seconds", "bytes_sent")
    return [{n: v for n, v in line.items() if n not in apart} for line in lines]


def summary(run):
    return json.loads((run / "summary.json").read_text())


def train_and_resume(run, tmp_path, *words):
    whole, part = tmp_path / "whole", tmp_path / "part"
    for out, epochs in ((whole, 6), (part, 4)):
        done = run(*TRAIN, *words, "--epochs", epochs, "--out", out)
        assert done.returncode == 0, done.stderr
    done = run("train", "--resume", part, "--epochs", 6)
    assert done.returncode == 0, done.stderr
    assert history(part) == history(whole)
    return whole


@pytest.mark.parametrize("workers", [1, 2])
def test_it_trains_and_resumes(here, tmp_path, workers):
    found = summary(train_and_resume(here, tmp_path, "--workers", workers))
    assert found["best"]["val_accuracy"] > 0.85
    size = 64 * 10 * 4 * 6 * (workers - 1)  # one array each way an epoch
    assert found["bytes"]["by_variable"] == {"w": size, "z": size}


def test_it_trains_on_ranks(admm, here, package, tmp_path):
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = admm(*TRAIN, "--out", tmp_path / "ranks", ranks=2, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert here(*TRAIN, "--workers", 2, "--out", tmp_path / "workers").returncode == 0
    runs = (tmp_path / "ranks", tmp_path / "workers")
    for line, other in zip(*map(history, runs), strict=True):
        assert line == pytest.approx(other, rel=1e-4)
    assert summary(runs[0])["bytes"]["by_variable"] == summary(runs[1])["bytes"]["by_variable"]


@pytest.mark.slow
def test_it_resumes_on_ranks(admm, package, tmp_path):
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    train_and_resume(partial(admm, ranks=2, PYTHONPATH=path), tmp_path)


def test_it_diverges_and_goes_back(here, tmp_path):
    seldom = ("--checkpoint-every", 50)  # back to the start, before anything has grown
    done = here(*TRAIN, *seldom, "--step", 100, "--workers", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (retreat,) = summary(tmp_path)["retreats"]
    assert retreat["error"].startswith("training diverged in epoch")
    assert retreat["then"] == "step 1"
    assert summary(tmp_path)["options"]["step"] == 1


def test_the_command_line_knows_its_options(here, tmp_path):
    done = here("train", "--solver", "consensus", "--help")
    assert "step of the dual variables [1.0]" in done.stdout
    done = here("train", "--solver", "consensus", "--step", "-1", "--out", tmp_path)
    assert done.returncode == 2
    assert "--step must be positive and finite, got -1.0" in done.stderr
    done = here("train", "--solver", "consensus", "--hops", 3)
    assert "--hops is not for --solver consensus, which takes" in done.stderr


def test_without_the_package_the_solver_is_unknown(command):
    done = command("train", "--solver", "consensus")
    assert done.returncode == 2
    assert "--solver must be one of pdadmm-g, gd" in done.stderr


def test_it_does_not_say_what_a_run_costs(here):
    done = here(*TRAIN, "--dry-run")
    assert done.returncode == 2
    assert "consensus does not say what a run costs: ConsensusOptions has no costs" in done.stderr
