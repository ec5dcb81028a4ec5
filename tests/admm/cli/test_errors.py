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
from admm.errors import OutputError, hyphenated
from admm.run.registry import options_of, solver_places

LIMIT = 20  # seconds, start-up included


@pytest.fixture
def bad_graph(tmp_path):
    """A .npz graph with one thing wrong, by name."""

    def write(wrong):
        nodes = 60
        arrays = {
            "adj_data": np.ones(nodes),
            "adj_indices": (np.arange(nodes) + 1) % nodes,
            "adj_indptr": np.arange(nodes + 1),
            "adj_shape": np.array([nodes, nodes]),
            "attr_data": np.ones(nodes),
            "attr_indices": np.arange(nodes) % 5,
            "attr_indptr": np.arange(nodes + 1),
            "attr_shape": np.array([nodes, 5]),
            "labels": np.arange(nodes) % 3,
        }
        if wrong == "nan":
            arrays["attr_data"][7] = np.nan
        if wrong == "label":
            arrays["labels"][3] = -7
        if wrong == "shape":
            arrays["adj_shape"] = np.array([nodes, nodes + 1])
        path = tmp_path / f"{wrong}.npz"
        np.savez(path, **arrays)
        if wrong == "cut":
            path.write_bytes(path.read_bytes()[:500])
        return path

    return write


def check(done, message, code=2):
    assert done.returncode == code, (done.stdout, done.stderr)
    assert message in done.stderr
    assert done.stderr.count("admm: error:") == 1, done.stderr
    assert "Traceback" not in done.stderr


def alone_and_on_ranks(cases, fast):
    """Every case in one process, and under mpirun: but for `fast`, slow there."""
    return [
        pytest.param(*case, ranks, marks=[pytest.mark.slow] if ranks and n not in fast else [])
        for n, case in enumerate(cases)
        for ranks in (None, 2)
    ]


# Under mpirun a mistake in data, in a value, and in options that do not go together.
@pytest.mark.parametrize(
    ("arguments", "message", "ranks"),
    alone_and_on_ranks(
        [
            (["--dataset", "karate"], "unknown data set 'karate'; expected one of digits, cora"),
            (["--dataset", "none.npz"], "none.npz"),
            (["--dataset", "pubmd"], "with a / in it; did you mean pubmed?"),
            (["--hidden", "0"], "--hidden must be at least 1, got 0"),
            (["--layers", "1000000000"], "--layers must be in 1…10,000, got 1000000000"),
            (["--workers", "1000000"], "--workers must be in 1…1,024, got 1000000"),
            (
                ["--codec", "zip"],
                "--codec must be one of float64, float32, bfloat16, uniform16, unif",
            ),
            (
                ["--step", "big"],
                "--step must be one of exact, joint, backtracking, newton, got 'big'",
            ),
            (
                ["--solver", "adam", "--codec", "delta4"],
                "--codec is not for --solver adam, which takes",
            ),
            (["--epochs", "many"], "--epochs must be a whole number, got 'many'"),
            (["--leyers", "3"], "there is no option --leyers; did you mean --layers"),
        ],
        fast=(0, 8, 9),
    ),
    ids=lambda value: value[1] if isinstance(value, list) else None,
)
def test_bad_usage(admm, tmp_path, arguments, message, ranks):
    done = admm("train", *arguments, "--out", tmp_path / "out", ranks=ranks, timeout=LIMIT)
    check(done, message)


@pytest.mark.parametrize(
    ("wrong", "message", "ranks"),
    alone_and_on_ranks(
        [
            ("nan", "1 feature values are NaN or infinite"),
            ("label", "label -7 is out of range"),
            ("shape", "the adjacency must be square, got shape (60, 61)"),
            ("cut", "is not a readable .npz graph"),
        ],
        fast=(0,),
    ),
)
def test_bad_files(admm, bad_graph, tmp_path, wrong, message, ranks):
    path = bad_graph(wrong)
    done = admm("train", "--dataset", path, "--out", tmp_path / "o", ranks=ranks, timeout=LIMIT)
    check(done, message)


def test_missing_files_of_a_known_data_set(admm, tmp_path):
    done = admm("train", "--dataset", "cora", "--data-dir", tmp_path, ranks=2, timeout=LIMIT)
    check(done, "get it from github.com/kimiyoung/planetoid")


def test_more_ranks_than_layers(admm, tmp_path):
    done = admm("train", "--layers", 2, "--out", tmp_path / "out", ranks=3, timeout=LIMIT)
    check(done, "got 3 workers for 2 layers")


def test_workers_under_mpirun(admm, tmp_path):
    done = admm("train", "--workers", 2, "--out", tmp_path / "out", ranks=2, timeout=LIMIT)
    check(done, "under mpirun the ranks are the workers")


def test_diverged(admm, tmp_path):
    """Penalties beyond the largest float32 leave the finite numbers: code 3, and it is said."""
    options = ("--layers", 2, "--out", tmp_path, "--epochs")
    assert admm("train", *options, 2).returncode == 0
    done = admm("train", *options, 5, "--rho", 1e38, "--nu", 1e38, ranks=2, timeout=60)
    check(done, "training diverged in epoch 1: train_loss nan, lagrangian ", code=3)
    assert (
        "; try other --rho and --nu (the defaults suit inputs of unit length, --no" in done.stderr
    )
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["status"] == "diverged"
    assert summary["best"] is None
    check(admm("evaluate", tmp_path, timeout=LIMIT), "holds no trained network")  # not the first


def test_out_that_is_a_file(admm, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = admm("train", "--layers", 2, "--out", tmp_path / "file", ranks=2, timeout=LIMIT)
    check(done, "cannot write results to")


def test_a_folder_of_runs_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"cannot make .*/runs/digits-.* \(Not a directory\)"):
        import_module("admm.cli.train")._new_folder("digits")


def test_evaluate_without_a_run(admm, tmp_path):
    check(admm("evaluate", tmp_path, timeout=LIMIT), "holds no trained network")


def test_evaluate_a_damaged_run(admm, tmp_path):
    """Two ranks, of which only one reads the damaged layer: the other must not wait for ever."""
    options = ("--layers", 2, "--epochs", 2, "--out", tmp_path)
    assert admm("train", *options).returncode == 0
    layer = next(tmp_path.glob("models/*/layer_002.npz"))
    layer.write_bytes(layer.read_bytes()[:-1])
    check(admm("evaluate", tmp_path, timeout=LIMIT), "does not match its checksum")
    done = admm("evaluate", tmp_path, ranks=2, timeout=LIMIT)
    check(done, "does not match its checksum")
    (tmp_path / "model.json").write_text("{")
    check(admm("evaluate", tmp_path, timeout=LIMIT), "is damaged")


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
    start = time.monotonic()
    done = subprocess.run(
        [str(mpirun), "-n", "2", *program], capture_output=True, text=True, timeout=60, check=False
    )
    assert time.monotonic() - start < LIMIT + 10
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("RuntimeError: a rank broke in mid-iteration") == 1


def test_a_launcher_of_another_mpi_is_noticed(admm):
    done = admm("train", timeout=LIMIT, PMI_SIZE="2", PMI_RANK="0")
    check(done, "the launcher started 2 ranks but the MPI library (MPICH Version: ")


def test_a_launcher_of_another_mpi_is_told_apart_from_help(admm):
    done = admm("--help", timeout=LIMIT, PMI_SIZE="2", PMI_RANK="0")
    check(done, "the launcher started 2 ranks but the MPI library (MPICH Version: ")


@pytest.mark.parametrize("solver", [None, *solver_places()])
def test_help_is_complete(admm, solver):
    """All options of the solver, those of pdADMM-G by default, and no others."""
    done = admm("train", *(["--solver", solver] if solver else []), "--help", timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    known = options_of(solver or "pdadmm-g").items()
    names = {f"no-{name}" if field.default is True else name for name, field in known}
    flags = {
        "--no-cache",
        "--progress",
        "--dry-run",
        *(f"--{hyphenated(name)}" for name in names),
    }
    _, _, text = done.stdout.partition("data:\n")
    assert set(re.findall(r"^  (--[a-z-]+)(?= |$)", text, re.MULTILINE)) == flags
    assert done.stdout.count("usage: admm train") == 1
    assert f"Train with {solver or 'pdadmm-g'}." in done.stdout
    for other in solver_places():
        assert other in done.stdout


def test_help_lists_the_commands(admm):
    done = admm("--help", timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("train", "evaluate", "predict", "datasets"):
        assert re.search(rf"^    {command} +[a-z]", done.stdout, re.MULTILINE), done.stdout
    assert "--version" in done.stdout


@pytest.mark.parametrize("command", ["evaluate", "predict", "datasets"])
def test_help_of_the_other_commands(admm, command):
    done = admm(command, "--help", timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: admm {command}")
    expected = {"evaluate": "--data-dir", "predict": "--out FILE", "datasets": "download"}
    assert expected[command] in done.stdout


@pytest.mark.parametrize("ranks", [None, 2])
def test_version(admm, ranks):
    done = admm("--version", ranks=ranks, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"admm {__version__}\n"


def test_help_of_the_run_that_goes_on(admm, tmp_path):
    """Options of its solver, though the command does not name it."""
    given = ("--layers", 3, "--hidden", 8, "--epochs", 1, "--checkpoint-every", 1)
    assert admm("train", "--solver", "gsam", *given, "--out", tmp_path).returncode == 0
    done = admm("train", "--resume", tmp_path, "--help", timeout=LIMIT)
    assert "Train with gsam." in done.stdout
    done = admm("train", "--resume", tmp_path, "--rho", 1, timeout=LIMIT)
    check(done, "--rho is not for --solver gsam, which takes --alpha, --batch")
    done = admm("train", "--resume", tmp_path, "--solver", "adam", timeout=LIMIT)
    check(done, f"--solver adam does not go on with {tmp_path}, which has gsam")
    done = admm("train", "--resume", tmp_path, "--lr", 0.5, timeout=LIMIT)
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
    train = ("-m", "admm", "train", "--solver", solver, "--epochs", "100000", "--out", out)
    process = subprocess.Popen(
        [*launcher, sys.executable, *train],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(4):  # what is trained, the head of the table, one row: training has begun
        process.stdout.readline()
    time.sleep(1)  # in the middle of some later epoch
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
def test_an_interrupted_run_keeps_what_it_has(admm, interruptible, tmp_path, solver):
    process = start_long_run(str(tmp_path), interruptible, solver)
    try:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert f"test {summary['best']['test_accuracy']:.4f}" in admm("evaluate", tmp_path).stdout
