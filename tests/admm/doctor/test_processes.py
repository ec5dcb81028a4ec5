"""What processes are together, by made-up ones."""

import os
from pathlib import Path

import pytest

from admm.doctor import Finding, Process, look, process_findings
from admm.errors import InputError, shell_spelling
from admm.run.devices import Used
from admm.run.versions import versions

VERSIONS = dict.fromkeys(versions(), "1.0")


def cpu(cores=(0, 1), host="a", **changes):
    used = Used(host, "cpu", list(map(str, cores)))
    given = {
        "host": host,
        "cores": list(cores),
        "limit": None,
        "fault": None,
        "used": used,
        "device": "cpu",
        "gpus": 0,
        "bounded": False,
        "blas": [("openblas 0.3", len(cores))],
        "versions": VERSIONS,
        "cache": "/cache",
        "cache_fault": None,
        "data": Finding("ok", "data", "ADMM_DATA=/data"),
    }
    return Process(**{**given, **changes})


def gpu(number, host="a", **changes):
    changes = {"device": "NVIDIA H100", "gpus": 2, **changes}
    return cpu(host=host, used=Used(host, "gpu", [f"gpu {number}"]), **changes)


def found(*ranks):
    """Findings that are not ok, by check."""
    with shell_spelling():
        every = list(process_findings(ranks))
    return {each.check: each for each in every if each.level != "ok"}


def test_all_is_well():
    ranks, blas = [cpu(), cpu((2, 3, 5)), cpu(host="b")], "BLAS openblas 0.3 with"
    lines = list(map(str, process_findings(ranks)))
    assert lines == [
        f"ok       versions  {', '.join(f'{name} 1.0' for name in VERSIONS)}",
        "ok       ranks     2 on a, 1 on b",
        f"ok       rank 0    cpu on a, 2 cores (0–1), 2 threads of JAX; {blas} 2 threads",
        f"ok       rank 1    cpu on a, 3 cores (2–3,5), 3 threads of JAX; {blas} 3 threads",
        f"ok       rank 2    cpu on b, 2 cores (0–1), 2 threads of JAX; {blas} 2 threads",
        "ok       cache     compiled functions are kept in /cache",
        "ok       data      ADMM_DATA=/data",
    ]


def test_other_versions():
    bad = found(cpu(), cpu((2,), versions={**VERSIONS, "jax": "2.0"}))
    assert bad["versions"].level == "fault"
    assert bad["versions"].text == "rank 1 has jax 2.0, rank 0 1.0"
    assert not found(cpu((0,)), cpu((1,), versions={**VERSIONS, "scipy": "2.0"}))


def test_more_ranks_than_cores():
    bad = found(cpu(), cpu(), cpu())["devices"]
    assert (bad.level, bad.text) == (
        "warning",
        "3 ranks on a share 2 cores and take turns; mpirun -n 2 gives each one of its own",
    )


def test_more_threads_than_cores():
    bad = found(cpu((0,), blas=[("mkl 2025", 64)]))["rank 0"]
    assert bad.level == "warning"
    assert "BLAS mkl 2025 with 64 threads: too many" in bad.text
    assert bad.mend == "OMP_NUM_THREADS=1"


def test_a_container_with_less_time_than_cores():
    bad = found(cpu((0, 1), limit=2.5), cpu((2, 3), limit=2.5))["cores"]
    assert bad.text == "a has 4 cores, its container the time of 2.5"
    assert bad.mend == "taskset -c 0-1 in front, and no more than 2 ranks"
    assert not found(cpu((0, 1), limit=2.0))


def test_ranks_on_one_gpu():
    bad = found(gpu(0), gpu(0))["devices"]
    assert bad.level == "fault"
    assert bad.text.startswith("2 ranks on a share 1 GPU and take turns; mpirun -n 1 gives each")
    assert bad.mend == "else XLA_PYTHON_CLIENT_MEM_FRACTION=0.45"
    bad = found(gpu(0, bounded=True), gpu(0, bounded=True))["devices"]
    assert bad.level == "warning"
    assert not found(gpu(0), gpu(1), gpu(0, host="b"))


def test_the_memory_of_a_gpu_is_for_the_ranks_on_it():
    """Not for those of the job."""
    job = (gpu(0), gpu(0), gpu(0), gpu(1), gpu(0, host="b"))
    for ranks in (job, (*job, cpu(host="c"))):  # beside others that compute on CPUs, too
        with shell_spelling():
            bad = next(each for each in process_findings(ranks) if each.check == "devices")
        assert bad.level == "fault"
        assert bad.text.startswith("4 ranks on a share 2 GPUs and take turns; mpirun -n 2 gives")
        assert bad.mend == "else XLA_PYTHON_CLIENT_MEM_FRACTION=0.3"


def test_a_gpu_that_nobody_uses():
    bad = found(cpu(gpus=1))["rank 0"]
    assert bad.text.endswith("; 1 NVIDIA GPU unused")
    assert "jax[cuda" in bad.mend


def test_devices_of_two_kinds():
    assert "ranks compute on cpu and gpu" in found(cpu((5,)), gpu(0))["devices"].text


def test_jax_does_not_start():
    bad = found(cpu(), cpu((2,), used=None, fault="JAX cannot start (no)"))
    assert bad["rank 1"].level == "fault"
    assert bad["rank 1"].text == "JAX cannot start (no)"


def test_caches():
    bad = found(cpu((0,)), cpu((1,), cache_fault="cannot write /x"))["cache"]
    assert (bad.level, bad.text) == (
        "warning",
        "every run compiles anew (rank 1: cannot write /x)",
    )


def test_data(monkeypatch, tmp_path):
    """Those of rank 0 count: it reads them."""

    def seen():
        return look(fail, None).data

    monkeypatch.setenv("ADMM_DATA", str(tmp_path / "none"))
    bad = seen()
    assert (bad.level, bad.text) == ("fault", f"ADMM_DATA={tmp_path}/none is no folder")
    monkeypatch.setenv("ADMM_DATA", str(tmp_path))
    assert seen() == ("ok", "data", f"ADMM_DATA={tmp_path}", "")
    assert found(cpu((0,), data=bad), cpu((1,)))["data"] == bad
    assert not found(cpu((0,)), cpu((1,), data=bad))
    monkeypatch.delenv("ADMM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = f"ADMM_DATA is not set; data sets are looked for in {tmp_path}/layerwise-admm"
    assert seen() == ("ok", "data", text, "")


def test_this_process(monkeypatch, tmp_path):
    process = look(lambda: None, tmp_path / "cache")
    assert process.cores == sorted(os.sched_getaffinity(0))
    assert process.used.parts == list(map(str, process.cores))
    assert (process.fault, process.cache_fault, process.device) == (None, None, "cpu")
    assert process.blas
    assert all(threads >= 1 for _, threads in process.blas)
    assert process.versions["jax"] == versions()["jax"]
    (tmp_path / "file").write_text("")
    process = look(fail, tmp_path / "file" / "cache")
    assert (process.used, process.fault) == (None, "JAX cannot start")
    assert "Not a directory" in process.cache_fault
    assert look(fail, None).cache_fault == "this user has no home folder"


def fail():
    raise InputError("JAX cannot start")


@pytest.mark.parametrize(
    ("variables", "bounded"),
    [
        ({}, False),
        ({"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}, False),
        ({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, True),
        ({"XLA_PYTHON_CLIENT_MEM_FRACTION": ".4"}, True),
    ],
)
def test_memory_of_a_gpu(monkeypatch, variables, bounded):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert look(fail, Path()).bounded is bounded


@pytest.mark.parametrize(
    ("text", "limit"), [("max 100000\n", None), ("250000 100000\n", 2.5), ("", None)]
)
def test_the_limit_of_a_container(monkeypatch, text, limit):
    read = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, *given, **named: (
            text if str(self) == "/sys/fs/cgroup/cpu.max" else read(self, *given, **named)
        ),
    )
    assert look(fail, Path()).limit == limit
