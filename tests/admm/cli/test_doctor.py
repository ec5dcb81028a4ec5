"""`admm doctor` alone and on ranks: what it says, its code, and that it leaves nothing."""

import re

import pytest

from admm import LocalTransport
from admm.doctor import folder_finding

LIMIT = 60


def levels(done):
    """The level of every check."""
    lines = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    return {re.split(r"  +", text)[0]: level for level, text in lines}


def test_alone(admm, tmp_path):
    done = admm("doctor", "--out", tmp_path / "runs", timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fault" not in levels(done).values()
    checks = ("start", "library", "launcher", "versions", "ranks", "rank 0", "cache", "folder")
    assert set(checks) <= set(levels(done))
    assert f"{tmp_path}/runs can be written\n" in done.stdout
    assert "messages" not in levels(done)
    assert not list(tmp_path.iterdir())


def test_no_launcher_counts(admm, tmp_path):
    done = admm("--no-mpi", "doctor", "--out", tmp_path, timeout=LIMIT, PMI_RANK="1", PMI_SIZE="2")
    assert (done.returncode, done.stderr) == (0, "")
    assert levels(done)["start"] == "warning"
    assert "ok       ranks     1 on" in done.stdout


def test_three_ranks(admm, tmp_path):
    """Each pair of neighbours has sent messages; where there are two cores, ranks share them."""
    done = admm("doctor", "--out", tmp_path, ranks=3, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    found = levels(done)
    assert "fault" not in found.values()
    assert len(done.stdout.splitlines()) == len(found)  # every check has one line, once
    assert "3 ranks of MPI" in done.stdout or "3 ranks of Open MPI" in done.stdout
    assert {"rank 0", "rank 1", "rank 2", "messages"} <= set(found)
    assert f"{tmp_path} can be written, seen by all 3 ranks\n" in done.stdout
    speed = re.search(
        r"messages  (.+) µs, (.+) GB/s; slowest: ranks (0 and 1|1 and 2)", done.stdout
    )
    assert speed is not None
    assert all(0 < float(word) < 1e6 for part in speed.groups()[:2] for word in part.split(" to "))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_shared(mpmd, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    done = mpmd((a, "doctor"), (b, "doctor"))
    assert done.returncode == 2
    assert f"the folder of rank 0, {a}, is not that of rank 1 ({b}); mend: --out" in done.stdout
    assert done.stderr == "admm: error: 1 fault: runs are wrong or impossible here\n"
    assert not [*a.iterdir(), *b.iterdir()]


def test_only_the_data_of_the_first_rank_count(mpmd, monkeypatch, tmp_path):
    """Its host has no folder, and that of the other has: nobody is left waiting."""
    monkeypatch.setenv("ADMM_DATA", "data")
    a, b = tmp_path / "a", tmp_path / "b"
    (a / "data").mkdir(parents=True)
    b.mkdir()
    words = ("doctor", "--out", tmp_path)
    done = mpmd((b, *words), (a, *words))
    assert done.returncode == 2
    assert done.stdout.count("fault    data      ADMM_DATA=data is no folder; mend: set it") == 1
    assert done.stderr == "admm: error: 1 fault: runs are wrong or impossible here\n"


@pytest.mark.parametrize(
    ("env", "check"),
    [
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "start"),  # the library sees one
        pytest.param({"MPI4PY_LIBMPI": "/nowhere/libmpi.so"}, "library", marks=pytest.mark.slow),
        ({"JAX_PLATFORMS": "nonsense"}, "rank 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_faults(admm, tmp_path, env, check):
    """They are found among other things, which are told too."""
    done = admm("doctor", "--out", tmp_path, timeout=LIMIT, **env)
    assert done.returncode == 2, done.stdout
    found = levels(done)
    assert [name for name, level in found.items() if level == "fault"] == [check]
    assert {"versions", "cache"} <= set(found)
    assert done.stderr == "admm: error: 1 fault: runs are wrong or impossible here\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ranks_that_leave_it_to_the_first(admm, tmp_path):
    env = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "1"}
    done = admm("doctor", "--out", tmp_path, timeout=LIMIT, **env)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_no_mpi4py(admm, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = lambda name, *more: "
        "None if name == 'mpi4py' else find(name, *more)\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:.", "PMI_RANK": "0", "PMI_SIZE": "2"}
    done = admm("doctor", timeout=LIMIT, **env)
    assert done.returncode == 2
    assert "fault    start     started by an MPI launcher, but mpi4py cannot load" in done.stdout


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    found = folder_finding(tmp_path / "file", LocalTransport())
    assert str(found).startswith(
        f"fault    folder    cannot write results to {tmp_path}/file (Not a directory); mend: --out"
    )
