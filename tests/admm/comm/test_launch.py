"""What a start imports, whom it takes for its launcher, and which cores and GPU a rank gets."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from admm import options, solve, train, train_subnetworks
from admm.comm import launch
from admm.errors import InputError
from admm.solvers import PDADMMG
from layers import IDENTITY, SquaredError

LIMIT = 20  # seconds
SEVERAL = "srun started 2 tasks (SLURM_STEP_NUM_TASKS) and told MPI nothing"

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
first, *names = sys.argv[1:]
ours = {name.partition(".")[0] for name in names}
places = {}
if first == "modules":
    for name in names:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
for name in names:
    if first == "names":  # with no module of ours there
        for loaded in [each for each in sys.modules if each.partition(".")[0] in ours]:
            del sys.modules[loaded]
    package = importlib.import_module(name)
    places[name] = {}
    for each in package.__all__:
        value = getattr(package, each)
        places[name][each] = [getattr(value, "__module__", None),
                              getattr(value, "__qualname__", None), type(value).__name__]
print(json.dumps(places))
"""
PACKAGES = ["admm", "admm.comm", "admm.doctor", "admm.run", "admm.solvers", "layers", "quant"]


@pytest.fixture(scope="module", params=["names", "modules"])
def places(request):
    """Where the public names of all packages come from: at first, or after every module."""
    return python(NAMES, request.param, *PACKAGES)[1]


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_what_the_package_says(name, places):
    """However much was imported before: a module of the same name does not take its place."""
    stub = ROOT / name.replace(".", "/") / "__init__.pyi"
    imports = [
        each for each in ast.parse(stub.read_text()).body if isinstance(each, ast.ImportFrom)
    ]
    expected = {a.asname or a.name: each.module for each in imports for a in each.names}
    found = places[name]
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


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, SEVERAL),
        ({"SLURM_STEP_NUM_TASKS": "two"}, "SLURM_STEP_NUM_TASKS must be a whole number"),
        ({"PMI_RANK": "abc"}, "PMI_RANK must be a whole number of at least 0, as launchers set it"),
        ({"PMI_RANK": "-1"}, "PMI_RANK must be a whole number"),
        ({"PMI_RANK": "0", "PMI_SIZE": ""}, "PMI_SIZE must be a whole number of at least 1"),
        ({"PMI_RANK": "2", "PMI_SIZE": "2"}, "tell of rank 2 among 2"),
        ({"ADMM_MPI": "off"}, "ADMM_MPI must be 0, for no MPI, or 1, got 'off'"),
        ({"ADMM_MPI": ""}, "ADMM_MPI must be 0, for no MPI, or 1, got ''"),
    ],
    ids=lambda value: " ".join(map("=".join, value.items())) if isinstance(value, dict) else "",
)
def test_launchers_that_leave_doubt(command, monkeypatch, tmp_path, env, message):
    """One message, and nothing is touched."""
    set_only(monkeypatch, env)
    refused(command("train", "--out", tmp_path / "run"), message)
    assert not list(tmp_path.iterdir())


def test_a_closed_connection_to_the_launcher(admm, tmp_path):
    env = {"PMI_RANK": "0", "PMI_SIZE": "1", "PMI_FD": "77"}
    done = admm("train", "--out", tmp_path / "run", timeout=LIMIT, **env)
    refused(done, "PMI_FD=77 is a closed connection")
    assert not list(tmp_path.iterdir())


def refused(done, message):
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert message in done.stderr
    assert done.stderr.count("admm: error:") == len(done.stderr.splitlines()) == 1
    assert "ADMM_MPI" in done.stderr


RANK_1 = {"PMI_RANK": "1", "PMI_SIZE": "2"}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, ("datasets", "list")),  # a batch shell
        ({"SLURM_STEP_NUM_TASKS": "1"}, ("datasets", "list")),
        ({"SLURM_STEP_NUM_TASKS": "2", "ADMM_MPI": "0"}, ("datasets", "list")),
        ({**RANK_1, "ADMM_MPI": "0"}, ("datasets", "list")),
        ({"SLURM_STEP_NUM_TASKS": "2"}, ("--no-mpi", "datasets", "list")),
        (RANK_1, ("--no-mpi", "datasets", "list")),
    ],
)
def test_processes_on_their_own(command, monkeypatch, env, words):
    set_only(monkeypatch, {"ADMM_MPI": "1", **env})  # which --no-mpi changes
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "cora" in done.stdout


def test_a_process_of_a_launcher_on_its_own(admm):
    done = admm("datasets", "list", "--no-mpi", timeout=LIMIT, ADMM_MPI="1", **RANK_1)
    assert done.returncode == 0, done.stderr
    assert "cora" in done.stdout


def test_a_process_on_its_own_tells_its_error(command, monkeypatch, tmp_path):
    set_only(monkeypatch, {"ADMM_MPI": "1", **RANK_1})
    done = command("train", "--hidden", 0, "--no-mpi", "--out", tmp_path)
    assert done.returncode == 2
    assert "--hidden must be at least 1" in done.stderr


def test_no_mpi_is_written_in_full(command):
    done = command("--no-m", "datasets", "list")
    assert done.returncode == 2
    assert "--no-m" in done.stderr


MPICH, MPICH_PMIX = "MPICH Version:\t5.0.2\nMPICH configure:", "MPICH Version:\t5\n--with-pmix=/opt"
OPEN_MPI, OPEN_MPI_4 = "Open MPI v5.0.11, package: Open MPI", "Open MPI v4.1.4, package: Debian"
HYDRA = {"PMI_RANK": "0", "PMI_SIZE": "2", "HYDI_CONTROL_FD": "7", "MPI_LOCALRANKID": "0"}
PORT = {"PMI_ID": "0", "PMI_PORT": "host:1", "HYDI_CONTROL_FD": "7"}
PRTE = {"PMIX_RANK": "0", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}
STEP = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}
PMI2 = {**STEP, "PMI_RANK": "0", "PMI_SIZE": "2", "SLURM_MPI_TYPE": "pmi2"}
PMIX = {**STEP, "PMIX_RANK": "0", "SLURM_MPI_TYPE": "pmix"}


def set_only(monkeypatch, variables):
    for name in list(os.environ):
        if name.startswith(("PMI", "OMPI_", "HYDI_", "MPI_LOCAL", "SLURM_", "ADMM_MPI")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("launcher", "library", "message"),
    [
        (HYDRA, MPICH, None),
        (HYDRA, OPEN_MPI, "(Hydra, the mpirun of MPICH) speaks PMI, the MPI library (Open MPI v5"),
        (PORT, OPEN_MPI, "(Hydra, the mpirun of MPICH) speaks PMI, the MPI library (Open MPI v5"),
        (PRTE, OPEN_MPI, None),
        (PRTE, MPICH, "(the mpirun of Open MPI) speaks PMIx, the MPI library (MPICH Version: 5"),
        (PMI2, MPICH, None),
        (PMI2, OPEN_MPI, "(srun --mpi=pmi2) speaks PMI, the MPI library (Open MPI v5.0.11) PMIx"),
        (PMIX, OPEN_MPI, None),
        (PMIX, MPICH, "(srun --mpi=pmix) speaks PMIx, the MPI library (MPICH Version: 5.0.2) PMI"),
        (PMIX, MPICH_PMIX, None),
        (PMI2, OPEN_MPI_4, None),
        (PMIX, "Some MPI 1.0", None),
    ],
)
def test_launcher_and_library(monkeypatch, launcher, library, message):
    set_only(monkeypatch, launcher)
    assert launch.launched()
    if message is None:
        launch._check_language(library)
    else:
        with pytest.raises(InputError, match=re.escape(message)) as refused:
            launch._check_language(library)
        assert "srun --mpi=pmi2 -n N for MPICH" in str(refused.value)


@pytest.mark.parametrize("launcher", [HYDRA, PRTE, PMI2, PMIX])
def test_ranks_without_a_transport_are_no_runs(monkeypatch, launcher):
    """They would all train the same, and write to the same folder."""
    set_only(monkeypatch, launcher)
    solver = PDADMMG(1, 1, 0, "newton", IDENTITY, SquaredError())
    for call in (
        lambda: train(options(layers=2, hidden=4, epochs=1)),
        lambda: train_subnetworks(options("gsam"), data=(np.eye(3), np.ones(3))),
        lambda: solve(solver, [], [[0.0]], [[0.0]], steps=1),
    ):
        with pytest.raises(InputError, match="started 2 ranks, and without a transport each would"):
            call()


@pytest.mark.parametrize(
    "variables", [{}, {**HYDRA, "ADMM_MPI": "0"}, {**HYDRA, "PMI_SIZE": "1"}, PORT]
)
def test_one_process_may_train_by_itself(monkeypatch, variables):
    set_only(monkeypatch, variables)
    launch.check_alone()


def test_launcher_and_library_refuse_with_one_message_for_a_host(monkeypatch):
    set_only(monkeypatch, {**HYDRA, "PMI_RANK": "1", "MPI_LOCALRANKID": "1"})
    with pytest.raises(SystemExit) as ended:
        launch._check_language(OPEN_MPI)
    assert ended.value.code == 2


INNER = """
import subprocess, sys
from mpi4py import MPI
if MPI.COMM_WORLD.rank == 1:
    for words in (["datasets", "list"], ["datasets", "list", "--no-mpi"]):
        done = subprocess.run([sys.executable, "-m", "admm", *words], capture_output=True,
                              text=True, close_fds=sys.argv[1] == "closed", timeout=20)
        print(done.returncode, done.stderr, flush=True)
MPI.COMM_WORLD.Barrier()
"""


@pytest.mark.parametrize("descriptors", ["closed", pytest.param("open", marks=pytest.mark.slow)])
def test_inside_a_rank_of_another_program(mpi_python, descriptors):
    done = mpi_python(INNER, descriptors, ranks=2, timeout=60)
    assert done.returncode == 0, done.stderr
    refused, _, alone = done.stdout.splitlines()
    assert re.match(r"2 admm: error: started inside a rank of another MPI program \(\S+, ", refused)
    assert refused.endswith("set ADMM_MPI=0 or add --no-mpi")
    assert alone.strip() == "0"


SHARE = """
import json, os, pathlib, sys
from admm.comm import launch
rank = launch.world().rank
cores, gpus, system = json.loads(sys.argv[1])
if cores:
    os.sched_setaffinity(0, cores[rank])
os.environ["CUDA_VISIBLE_DEVICES"] = gpus[rank]
if not system:
    launch.Path = lambda *parts: pathlib.Path("/nowhere")
    os.environ.pop("CUDA_VISIBLE_DEVICES")
launch.take_share_of_host()
said = [sorted(os.sched_getaffinity(0)), os.environ.get("CUDA_VISIBLE_DEVICES")]
pathlib.Path(sys.argv[2], f"{rank}.json").write_text(json.dumps(said))
"""


def shares(mpi_python, out, cores, gpus, system=True):
    ranks = len(gpus)
    done = mpi_python(SHARE, json.dumps([cores, gpus, system]), out, ranks=ranks)
    assert done.returncode == 0, done.stderr
    said = [json.loads((out / f"{rank}.json").read_text()) for rank in range(ranks)]
    return zip(*said, strict=True)


def test_ranks_that_are_bound_alike_share(mpi_python, tmp_path):
    """One rank has a core of its own; two have the same two, and take one each."""
    allowed = sorted(os.sched_getaffinity(0))[:2]
    if len(allowed) < 2:
        pytest.skip("there is one core here")
    bound = [allowed[:1], allowed, allowed]
    cores, gpus = shares(mpi_python, tmp_path, bound, ["2,5", "7", "2,5"])
    assert cores == (allowed[:1], allowed[:1], allowed[1:])
    assert gpus == ("2", "7", "5")


def test_a_host_without_proc_and_devices(mpi_python, tmp_path):
    cores, gpus = shares(mpi_python, tmp_path, None, ["", ""], system=False)
    allowed = sorted(os.sched_getaffinity(0))
    half = max(1, len(allowed) // 2)
    assert cores == (allowed[:half], allowed[half : 2 * half] or allowed)
    assert gpus == (None, None)
