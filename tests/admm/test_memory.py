"""What is available, by files of the system; what is said when it does not suffice."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import admm.memory
from admm import options
from admm.errors import AdmmError
from admm.memory import Available, available_memory, check_memory, memory_told

GIB = 2**30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Files of a machine of 8 GiB, by path."""
    monkeypatch.setattr(admm.memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(admm.memory, "_GROUPS", tmp_path / "groups")

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(text))

    write(**{"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:  {8 * 2**20} kB\n"})
    return write


def test_of_the_machine(system):
    assert available_memory() == Available(8 * GIB, "MemAvailable of /proc/meminfo")


def test_of_a_control_group(system):
    """Cached files make room; `max` is no limit; the group above has one too."""
    system(**{"proc/self/cgroup": "0::/job/step\n", "groups/job/step/memory.max": "max\n"})
    assert available_memory().nbytes == 8 * GIB
    above = {
        "memory.max": 5 * GIB,
        "memory.current": 3 * GIB,
        "memory.stat": f"inactive_file {GIB}",
    }
    system(**{f"groups/job/{name}": text for name, text in above.items()})
    left = available_memory()
    assert left.nbytes == 3 * GIB
    assert left.bound.endswith("job/memory.max is 5 GiB")


def test_of_a_control_group_of_version_1(system):
    system(**{"proc/self/cgroup": "5:devices:/\n4:cpu,memory:/job\n0::/\n"})
    own = {"memory.limit_in_bytes": 2 * GIB, "memory.usage_in_bytes": GIB}
    system(**{f"groups/memory/job/{name}": text for name, text in own.items()})
    system(**{"groups/memory/job/memory.stat": f"inactive_file 7 total_inactive_file {GIB // 2}"})
    assert available_memory().nbytes == GIB + GIB // 2


def test_where_the_system_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(admm.memory, "_PROC", tmp_path)
    assert available_memory() is None
    check_memory(2**60, "inputs", options())


def test_too_much_is_refused(system):
    check_memory(8 * GIB, "inputs of 3 nodes", options())
    message = (
        r"^inputs of 3 nodes need 9 GiB, but 8 GiB are available \(MemAvailable of .*\); a smaller "
        "hops= or hidden= takes less, and more ranks on more machines share the work out$"
    )
    with pytest.raises(AdmmError, match=message) as error:
        check_memory(9 * GIB, "inputs of 3 nodes", options())
    assert error.value.exit_code == 1


def test_numpy_s_error_is_told(system):
    message = r"^out of memory in training: 128\.? TiB for an array of shape .*, but 8 GiB are av"
    with (
        pytest.raises(AdmmError, match=message),
        memory_told("training", options()),
    ):
        np.empty((2**24, 2**20))


def test_other_errors_are_not():
    with pytest.raises(RuntimeError, match="^RESOURCES$"), memory_told("training", options()):
        raise RuntimeError("RESOURCES")


def limited(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_jax_s_error_is_told():
    code = """
import resource
import jax.numpy as jnp
from admm import options
from admm.memory import memory_told
jnp.ones(3).block_until_ready()
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**29,) * 2)
with memory_told("training layers 1–2", options("gsam")):
    jnp.zeros((2**14, 2**14)).block_until_ready()
"""
    done = limited(code)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert "AdmmError: out of memory in training layers 1–2: 1 GiB were asked for, but 0." in told
    assert "available (the limit of the address space is " in told
    assert "a smaller hidden= or filters= or batch= takes less" in told


def test_inputs_that_do_not_fit_are_refused_before_they_are_made(tmp_path):
    """More than 10 GiB in an address space of 8."""
    nodes = 20_000
    path, identity = tmp_path / "identity.npz", sp.eye_array(nodes, format="csr")
    links = sp.csr_array((nodes, nodes))
    np.savez(
        path,
        labels=np.arange(nodes) % 10,
        **{f"adj_{k}": getattr(links, k) for k in ("data", "indices", "indptr")},
        **{f"attr_{k}": getattr(identity, k) for k in ("data", "indices", "indptr")},
        adj_shape=links.shape,
        attr_shape=identity.shape,
    )
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30,) * 2)
from admm.cli import main
sys.exit(main(sys.argv[1:]))
"""
    done = limited(code, "train", "--dataset", path, "--hops", 60)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    told = done.stderr.strip().splitlines()[-1]
    assert "inputs of 2,200 nodes × 1,200,000 columns need 9.83 GiB, but " in told
    assert "; a smaller --hops or --hidden takes less" in told
