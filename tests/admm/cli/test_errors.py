"""Every mistake of a person: one message on standard error, the documented code, no stack trace."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from admm import __version__
from admm.errors import OutputError

LIMIT = 20  # seconds, start-up included
KARATE = "unknown data set 'karate'; expected one of digits, cora"


def check(done, message, code=2):
    assert done.returncode == code, (done.stdout, done.stderr)
    assert message in done.stderr
    assert done.stderr.count("admm: error:") == 1, done.stderr
    assert "Traceback" not in done.stderr


# A mistake in data, in options that do not go together, and in a value.
@pytest.mark.parametrize(
    ("arguments", "message", "ranks"),
    [
        (["--dataset", "karate"], KARATE, None),
        (["--dataset", "karate"], KARATE, 2),
        (["--solver", "adam", "--codec", "delta4"], "--codec is not for --solver adam, which", 2),
        (["--epochs", "many"], "--epochs must be a whole number, got 'many'", 2),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else None,
)
def test_bad_usage(admm, tmp_path, arguments, message, ranks):
    done = admm("train", *arguments, "--out", tmp_path / "out", ranks=ranks, timeout=LIMIT)
    check(done, message)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [("none.npz", "none.npz"), ("pubmd", "with a / in it; did you mean pubmed?")],
)
def test_data_that_are_not_there(command, tmp_path, dataset, message):
    check(command("train", "--dataset", dataset, "--out", tmp_path / "out"), message)


def test_a_bad_file(admm, tmp_path):
    nodes = 60
    features = np.ones(nodes)
    features[7] = np.nan
    np.savez(
        tmp_path / "nan.npz",
        adj_data=np.ones(nodes),
        adj_indices=(np.arange(nodes) + 1) % nodes,
        adj_indptr=np.arange(nodes + 1),
        adj_shape=[nodes, nodes],
        attr_data=features,
        attr_indices=np.arange(nodes) % 5,
        attr_indptr=np.arange(nodes + 1),
        attr_shape=[nodes, 5],
        labels=np.arange(nodes) % 3,
    )
    words = ("train", "--dataset", tmp_path / "nan.npz", "--out", tmp_path / "o")
    check(admm(*words, ranks=2, timeout=LIMIT), "1 feature values are NaN or infinite")


@pytest.mark.slow
def test_missing_files_of_a_known_data_set(admm, tmp_path):
    done = admm("train", "--dataset", "cora", "--data-dir", tmp_path, ranks=2, timeout=LIMIT)
    check(done, "get it from github.com/kimiyoung/planetoid")


@pytest.mark.slow
def test_more_ranks_than_layers(admm, tmp_path):
    done = admm("train", "--layers", 2, "--out", tmp_path / "out", ranks=3, timeout=LIMIT)
    check(done, "got 3 workers for 2 layers")


def test_workers_under_mpirun(admm, tmp_path):
    done = admm("train", "--workers", 2, "--out", tmp_path / "out", ranks=2, timeout=LIMIT)
    check(done, "under mpirun the ranks are the workers")


def test_diverged(admm, command, tmp_path):
    """Penalties beyond the largest float32 leave the finite numbers: code 3, and it is said."""
    options = ("--layers", 2, "--out", tmp_path, "--epochs")
    assert command("train", *options, 2).returncode == 0
    done = admm("train", *options, 5, "--rho", 1e38, "--nu", 1e38, ranks=2, timeout=60)
    check(done, "training diverged in epoch 1: train_loss nan, lagrangian ", code=3)
    assert (
        "; try other --rho and --nu (the defaults suit inputs of unit length, --no" in done.stderr
    )
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["status"] == "diverged"
    assert summary["best"] is None
    check(command("evaluate", tmp_path), "holds no trained network")  # not the first


@pytest.mark.slow
def test_out_that_is_a_file(admm, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = admm("train", "--layers", 2, "--out", tmp_path / "file", ranks=2, timeout=LIMIT)
    check(done, "cannot write results to")


def test_a_folder_of_runs_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"cannot make .*/runs/digits-.* \(Not a directory\)"):
        import_module("admm.cli.train")._new_folder("digits")


def test_evaluate_without_a_run(command, tmp_path):
    check(command("evaluate", tmp_path), "holds no trained network")


def test_evaluate_a_damaged_run(admm, command, tmp_path):
    """Two ranks, of which only one reads the damaged layer: the other must not wait for ever."""
    options = ("--layers", 2, "--epochs", 2, "--out", tmp_path)
    assert command("train", *options).returncode == 0
    layer = next(tmp_path.glob("models/*/layer_002.npz"))
    layer.write_bytes(layer.read_bytes()[:-1])
    check(command("evaluate", tmp_path), "does not match its checksum")
    done = admm("evaluate", tmp_path, ranks=2, timeout=LIMIT)
    check(done, "does not match its checksum")
    (tmp_path / "model.json").write_text("{")
    check(command("evaluate", tmp_path), "is damaged")


RAISES = """
import sys
from admm.cli import main
from admm.methods.layerwise.worker import LayerWorker

ascend = LayerWorker.ascend
def broken(self):
    if self.index == {rank}:
        raise RuntimeError("a rank broke in mid-iteration")
    ascend(self)
LayerWorker.ascend = broken
sys.exit(main(["train", "--layers", "4", "--out", sys.argv[1]]))
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_raises_ends_all(tmp_path, rank):
    """Not through `-m mpi4py`: the command itself must end the ranks that wait."""
    mpirun = Path(sys.executable).with_name("mpirun")
    program = [sys.executable, "-c", RAISES.format(rank=rank), str(tmp_path)]
    done = subprocess.run(
        [str(mpirun), "-n", "2", *program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("RuntimeError: a rank broke in mid-iteration") == 1


def test_a_launcher_of_another_mpi_is_noticed(admm):
    done = admm("train", timeout=LIMIT, PMI_SIZE="2", PMI_RANK="0")
    check(done, "the launcher started 2 ranks but the MPI library (MPICH Version: ")


def test_a_launcher_of_another_mpi_is_told_apart_from_help(admm):
    done = admm("--help", timeout=LIMIT, PMI_SIZE="2", PMI_RANK="0")
    check(done, "the launcher started 2 ranks but the MPI library (MPICH Version: ")


def test_help_of_a_command(admm):
    done = admm("train", "--help", timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: admm train")
    assert "Train with pdadmm-g." in done.stdout


def test_help_lists_the_commands(command):
    done = command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("train", "evaluate", "predict", "datasets"):
        assert re.search(rf"^    {name} +[a-z]", done.stdout, re.MULTILINE), done.stdout
    assert "--version" in done.stdout


@pytest.mark.parametrize("name", ["evaluate", "predict", "datasets"])
def test_help_of_the_other_commands(command, name):
    done = command(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: admm {name}")
    expected = {"evaluate": "--data-dir", "predict": "--out FILE", "datasets": "download"}
    assert expected[name] in done.stdout


def test_version_under_mpirun(admm):
    done = admm("--version", ranks=2, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"admm {__version__}\n"


def test_help_of_the_run_that_goes_on(command, tmp_path):
    """Options of its solver, though the command does not name it."""
    given = ("--layers", 3, "--hidden", 8, "--epochs", 1, "--checkpoint-every", 1)
    assert command("train", "--solver", "gsam", *given, "--out", tmp_path).returncode == 0
    done = command("train", "--resume", tmp_path, "--help")
    assert "Train with gsam." in done.stdout
    done = command("train", "--resume", tmp_path, "--rho", 1)
    check(done, "--rho is not for --solver gsam, which takes --alpha, --batch")
    done = command("train", "--resume", tmp_path, "--solver", "adam")
    check(done, f"--solver adam does not go on with {tmp_path}, which has gsam")
    done = command("train", "--resume", tmp_path, "--lr", 0.5)
    check(
        done, f"--lr 0.5 does not go on with {tmp_path}, which has 0.001; what may change is --ep"
    )


def test_help_under_mpirun_is_printed_once(admm):
    done = admm("train", "--help", ranks=2, timeout=LIMIT)
    assert done.returncode == 0
    assert done.stdout.count("usage: admm train") == 1


def processes_with(marker):
    """Running Python processes that have the marker on their command line."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that ended meanwhile
            words = cmdline.read_bytes().split(b"\0")
            if marker.encode() in words and b"mpirun" not in words[0]:
                found.append(int(cmdline.parent.name))
    return sorted(found)


def start_long_run(out, launcher, solver="pdadmm-g"):
    small = ["--layers", "2", "--hidden", "4", "--epochs", "100000", "--out", out]
    small += ["--hops", "1", "--grow", "none"] if solver == "pdadmm-g" else []
    process = subprocess.Popen(
        [*launcher, sys.executable, "-m", "admm", "train", "--solver", solver, *small],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(5):  # what is trained, the head of the table, a row
        process.stdout.readline()
    before = Path(out, "history.jsonl").stat().st_size
    while Path(out, "history.jsonl").stat().st_size < 2 * before:
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("whom", ["all", "one rank"])
def test_an_interrupt_leaves_no_process_behind(interruptible, tmp_path, whom):
    """Control-C in a terminal, or a signal to one rank alone: mpirun and both ranks end."""
    out = str(tmp_path / "out")
    mpirun = Path(sys.executable).with_name("mpirun")
    process = start_long_run(out, (*interruptible, str(mpirun), "-n", "2"))
    try:
        if whom == "all":
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(processes_with(out)[-1], signal.SIGINT)
        process.communicate(timeout=LIMIT)
        assert process.returncode != 0
        assert not processes_with(out)
    finally:
        process.kill()
        for pid in processes_with(out):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("solver", ["pdadmm-g", pytest.param("gsam", marks=pytest.mark.slow)])
def test_an_interrupted_run_keeps_what_it_has(command, interruptible, tmp_path, solver):
    process = start_long_run(str(tmp_path), interruptible, solver)
    try:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert f"test {summary['best']['test_accuracy']:.4f}" in command("evaluate", tmp_path).stdout
