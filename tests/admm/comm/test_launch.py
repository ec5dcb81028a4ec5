"""What a start imports, and which cores a rank's threads get."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent


def python(code, *arguments):
    """The standard output of a program, and its last line as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    return "\n".join(lines), json.loads(last)


LIGHT = """
import json, sys
import admm, admm.cli, admm.cli.main, admm.comm.launch
from admm.cli import main
for words in (["--help"], ["train", "--solver", "gsam", "--help"], ["train", "--help"]):
    try:
        main(words)
    except SystemExit as ended:
        assert ended.code == 0
    else:
        raise AssertionError(words)
assert main(["train", "--epochs", "many"]) == 2
heavy = {"jax", "jaxlib", "mpi4py", "equinox", "optax", "sklearn", "requests"}
print(json.dumps(sorted(heavy & set(sys.modules))))
"""


def test_help_and_mistakes_start_neither_jax_nor_mpi():
    text, heavy = python(LIGHT)
    assert text.count("usage: admm") == 3
    assert "--subnetworks" in text
    assert heavy == []


OPTIONS = """
import json, sys
import admm
for solver in ("pdadmm-g", "adam", "gsadmm", "gsam"):
    admm.options(solver).as_json()
try:
    admm.options(epochs=5.5)
except ValueError:
    pass
print(json.dumps("jax" in sys.modules))
"""


def test_options_do_not_start_jax():
    assert python(OPTIONS)[1] is False


NAMES = """
import importlib, json, pkgutil, sys
name, first = sys.argv[1:]
package = importlib.import_module(name)
if first == "modules":
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
places = {}
for each in package.__all__:
    value = getattr(package, each)
    places[each] = [getattr(value, "__module__", None), getattr(value, "__qualname__", None),
                    type(value).__name__]
print(json.dumps(places))
"""


@pytest.mark.parametrize("first", ["names", "modules"])
@pytest.mark.parametrize(
    "name", ["admm", "admm.comm", "admm.run", "admm.solvers", "layers", "quant"]
)
def test_public_names_are_what_the_package_says(name, first):
    """However much was imported before: a module of the same name does not take its place."""
    stub = ROOT / name.replace(".", "/") / "__init__.pyi"
    imports = [
        each for each in ast.parse(stub.read_text()).body if isinstance(each, ast.ImportFrom)
    ]
    expected = {a.asname or a.name: each.module for each in imports for a in each.names}
    _, found = python(NAMES, name, first)
    assert set(found) == set(expected)
    for each, module in expected.items():
        place, qualname, kind = found[each]
        if module is None:
            assert kind in ("module", "_ShadowGuardModule"), each
        else:
            assert kind not in ("module", "_ShadowGuardModule"), each
        if kind in ("function", "type", "ABCMeta"):
            assert (place, qualname) == (f"{name}.{module}", each)


THREADS = """
import json, os, sys
from pathlib import Path

allowed = sorted(os.sched_getaffinity(0))
words, out = sys.argv[1:-1], Path(sys.argv[-1])
from admm.cli import main
code = main([*words, "--out", str(out / "run")])

import importlib, pkgutil
import admm, layers, quant
for package in (admm, layers, quant):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
import jax, jax.numpy as jnp, numpy as np, scipy.linalg, sklearn.datasets
x = jnp.ones((1500, 1500))
(x @ x).block_until_ready()
np.linalg.svd(np.ones((600, 600)) @ np.ones((600, 600)))
scipy.linalg.qr(np.ones((600, 600)))

from mpi4py import MPI
threads = {}
for task in Path("/proc/self/task").iterdir():
    try:
        name, cores = (task / "comm").read_text().strip(), os.sched_getaffinity(int(task.name))
    except (OSError, ProcessLookupError):
        continue  # it ended meanwhile
    threads[f"{name} {task.name}"] = sorted(cores)
own = sorted(os.sched_getaffinity(0))
said = {"code": code, "allowed": allowed, "own": own, "threads": threads}
(out / f"{MPI.COMM_WORLD.rank}.json").write_text(json.dumps(said))
"""


@pytest.mark.parametrize("solver", ["pdadmm-g", pytest.param("gsadmm", marks=pytest.mark.slow)])
def test_every_thread_of_a_rank_has_its_cores(mpi_python, tmp_path, solver):
    """Those of JAX, of the linear algebra under NumPy and SciPy, and of the MPI library."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two ranks have the same core here")
    words = ("train", "--solver", solver, "--layers", 2, "--hidden", 8, "--epochs", 2)
    done = mpi_python(THREADS, *words, tmp_path, ranks=2)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for said in ranks:
        assert said["code"] == 0
        assert len(said["threads"]) > 1
        strays = {name: cores for name, cores in said["threads"].items() if cores != said["own"]}
        assert not strays, (said["own"], strays)
        assert len(said["own"]) == len(said["allowed"]) // 2
    assert not set(ranks[0]["own"]) & set(ranks[1]["own"])
