"""The examples, each in a process of its own, with parameters small enough for a test."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"


@pytest.fixture
def run(tmp_path):
    """Run an example in an empty folder; returns what it prints."""

    def run(name: str, **parameters: Any) -> str:
        cells = re.split(r"^(?=# %%)", (FOLDER / f"{name}.py").read_text(), flags=re.MULTILINE)
        (number,) = (n for n, cell in enumerate(cells) if cell.startswith('# %% tags=["param'))
        for parameter, value in parameters.items():
            line = re.compile(rf"^{parameter} = .*", re.MULTILINE)
            cells[number], found = line.subn(f"{parameter} = {value!r}", cells[number])
            assert found == 1, parameter
        (tmp_path / "example.py").write_text("".join(cells))
        env = {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "PYTHONWARNINGS": "error::UserWarning"}
        done = subprocess.run(
            [sys.executable, "example.py"],
            cwd=tmp_path,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def numbers(text: str, printed: str) -> list[float]:
    """The numbers that follow some words, in their order."""
    return [float(found) for found in re.findall(rf"{printed}\D*([\d.]+)", text)]


def test_quickstart(run):
    printed = run("quickstart", epochs=10)
    assert "['layers 1–1', 'layers 2–4']" in printed
    assert numbers(printed, "test accuracy")[0] > 0.5


@pytest.mark.slow
def test_own_graph(run):
    printed = run("own_graph", epochs=20)
    assert numbers(printed, "without a label")[0] > 0.8
    assert numbers(printed, "test accuracy")[0] > 0.8
    assert "train_mask, val_mask, test_mask" in printed  # the split of the file


@pytest.mark.slow
def test_quantised_messages(run):
    printed = run("quantised_messages", epochs=10, codecs=("float32", "delta2"))
    assert numbers(printed, "float32") == [1]
    assert 0 < numbers(printed, "delta2 ")[0] < 0.2
    assert numbers(printed, "test accuracy")[-1] > 0.5


@pytest.mark.slow
def test_convergence(run, tmp_path):
    printed = run("convergence", steps=20)
    assert re.findall(r"(\d+) rises", printed) == ["0"] * 3
    assert (tmp_path / "convergence.png").stat().st_size > 10_000


@pytest.mark.slow
def test_depth_that_pays(run):
    printed = run("depth_that_pays", dataset="digits", rows=300, epochs=2, depths=(3,))
    assert numbers(printed, "\n     3 ")[0] > 0.6


@pytest.mark.slow
def test_subnetworks(run):
    printed = run("subnetworks", epochs=10, samples=1000)
    assert 0 < numbers(printed, "validation loss")[0] < 0.2
    assert "'module': 2" in printed


@pytest.mark.slow
def test_partitions(run):
    printed = run("partitions", nodes=300, epochs=20)
    table = re.findall(r"^(\w+) +0\.\d+ +([\d,]+)$", printed, re.MULTILINE)
    sent = {halo: int(count.replace(",", "")) for halo, count in table}
    assert sent["exact"] > sent["stale"] > sent["refresh"] > sent["drop"] == 0


@pytest.mark.slow
def test_federated(run):
    printed = run("federated", clients=3, rounds=2)
    errors = re.findall(r"^fed\S+ +(?:100|70)% there, \w+ +(\d\.\d+)$", printed, re.MULTILINE)
    assert len(errors) == 5
    assert all(0 < float(error) < 2 for error in errors)


@pytest.mark.slow
def test_own_method(run):
    printed = run("own_method", epochs=100)
    values = [float(found) for found in re.findall(r"epoch \d+: ([\d.]+)", printed)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(numbers(printed, "optimum")[0], rel=0.02)


def test_every_example_has_a_test():
    text = Path(__file__).read_text()
    for path in FOLDER.glob("*.py"):
        assert f'run("{path.stem}"' in text


def test_the_job_of_slurm_goes_on_until_its_run_is_over(tmp_path):
    """With an `srun` that runs no program: it is done the second time, else interrupted."""
    log = tmp_path / "log"
    programs = {
        "srun": f'echo "$@" >> {log}\n'
        "mkdir -p run/checkpoints\n"
        f"[ $(grep -c python {log}) = 2 ] && status=done || status=interrupted\n"
        'echo "{\\"status\\": \\"$status\\"}" > run/summary.json\n'
        "[ $status = done ]\n",
        "scontrol": f'echo scontrol "$@" >> {log}\n',
    }
    for name, program in programs.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{program}")
        path.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    command = [shutil.which("bash"), FOLDER / "cluster" / "slurm.sh", "run", "--epochs", "9"]
    codes = [
        subprocess.run(
            command, cwd=tmp_path, env=env | restarts, timeout=20, check=False
        ).returncode
        for restarts in ({}, {"SLURM_RESTART_COUNT": "1"}, {"SLURM_RESTART_COUNT": "0"})
    ]
    assert codes == [1, 0, 1]
    assert log.read_text().splitlines() == [
        "--mpi=pmi2 python -m admm train --out run --epochs 9",
        "scontrol requeue 7",
        "--mpi=pmi2 python -m admm train --resume run",
        "--mpi=pmi2 python -m admm train --resume run --epochs 9",  # submitted anew
        "scontrol requeue 7",
    ]
