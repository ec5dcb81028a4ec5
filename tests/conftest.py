"""Settings shared by all tests, and the launcher of real MPI runs."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

# The many short runs of the tests compile the same functions: once is enough, in all processes.
_CACHE = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parent.parent / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
os.environ.update(_CACHE)
# XLA's compiler takes most of the tests' time; their arrays are too small for it to pay. Tests of
# bits, marked `optimised`, run the code that users run; with XLA_FLAGS set, if empty, all do.
_QUICK = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
    )
)
os.environ.setdefault("XLA_FLAGS", _QUICK)

import hypothesis  # noqa: E402
import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")

# JAX compiles at the first example of a shape, so no deadline; the same examples every time.
hypothesis.settings.register_profile("admm", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("admm")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a test marked `optimised` in a process of its own: XLA reads its flags once."""
    if os.environ["XLA_FLAGS"] != _QUICK or not pyfuncitem.get_closest_marker("optimised"):
        return None
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider"]
    root = pyfuncitem.config.rootpath
    done = _run([*command, str(root / pyfuncitem.nodeid)], 250, XLA_FLAGS="")
    assert done.returncode == 0, done.stdout
    return True


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled():
    """Let go of compiled functions before they are too many: each maps pieces of memory.

    Linux lets a process map 65,530 pieces. A module of tests needs 17,000 at most, and 2 GB.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 10_000:
        jax.clear_caches()


@pytest.fixture
def x64():
    """Run a test in 64-bit mode."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def unchecked():
    """Without the tests' type checks, as everybody else runs it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that need it skip without it, except in CI."""
    folder = os.environ.get("ADMM_DATA")
    if folder is None:
        if os.environ.get("CI"):
            pytest.fail("ADMM_DATA must name the folder of data sets in CI")
        pytest.skip("ADMM_DATA does not name a folder of data sets")
    return Path(folder)


def _run(command: list[str], timeout: float, **env: str) -> subprocess.CompletedProcess[str]:
    launcher = ("PMI_", "PMIX_", "OMPI_COMM_WORLD_", "HYDI_", "MPI_LOCAL", "SLURM_", "ADMM_MPI")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(launcher)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**clean, **env}, check=False
    )


@pytest.fixture(scope="session")
def admm():
    """Run `python -m admm ARGS`, with `ranks` under mpirun; returns the finished process."""

    def run(*args: object, ranks: int | None = None, timeout: float = 120, **env: str):
        command = [sys.executable, "-m", "admm", *map(str, args)]
        if ranks is not None:
            command = [_mpirun(), "-n", str(ranks), *command]
        return _run(command, timeout, **env)

    return run


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `admm ARGS` in this process, whose JAX has started; returns what `admm` returns."""
    from admm.cli.main import main  # not earlier: pytest has its types checked

    def run(*args: object):
        monkeypatch.setattr("admm.cli.start.start_jax", lambda dtype, devices: None)
        capsys.readouterr()
        try:
            code = main([*map(str, args)])
        except SystemExit as ended:
            code = ended.code
        return subprocess.CompletedProcess(args, code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def benchmark():
    """Run `python -m benchmarks ARGS`; returns the finished process."""

    def run(*args: object, timeout: float = 120):
        return _run([sys.executable, "-m", "benchmarks", *map(str, args)], timeout)

    return run


@pytest.fixture(scope="session")
def mpi_python():
    """Run a Python program on some ranks; returns the finished process."""

    def run(code: str, *args: object, ranks: int, timeout: float = 120, **env: str):
        # `-m mpi4py` ends all ranks when one raises.
        python = [sys.executable, "-m", "mpi4py", "-c", code, *map(str, args)]
        return _run([_mpirun(), "-n", str(ranks), *python], timeout, **env)

    return run


@pytest.fixture(scope="module")
def returned(request, mpi_python):
    """What a program returns on each of its ranks, once all of them have ended well.

    A program is a function of the test module, see `tests.ranks`. One start of MPI runs all of the
    module's `PROGRAMS`, pairs of a function and a number of ranks.
    """
    code = "import sys; from tests.ranks import main; main(*sys.argv[1:])"
    module = request.module.__name__

    @cache
    def start(programs):
        words = [f"{program.__name__}:{ranks}" for program, ranks in programs]
        done = mpi_python(code, module, *words, ranks=max(ranks for _, ranks in programs))
        return dict(map(json.loads, done.stdout.splitlines())), done.stderr

    def values(program, ranks):
        programs = request.module.PROGRAMS
        asked = (program, ranks)
        found, errors = start(tuple(programs) if asked in programs else (asked,))
        word = f"{program.__name__}:{ranks}"
        assert word in found, errors
        return found[word]

    return values


@pytest.fixture(scope="session")
def mpmd():
    """Run a rank for each command line of `admm`, after the folder where it runs."""

    def run(*ranks: tuple[object, ...], timeout: float = 60):
        words: list[str] = []
        for folder, *arguments in ranks:
            admm = [sys.executable, "-m", "admm", *map(str, arguments)]
            words += [":"] if words else []
            words += ["-wdir", str(folder), "-n", "1", *admm]
        root = str(Path(__file__).parent.parent)
        return _run([_mpirun(), *words], timeout, PYTHONPATH=root)

    return run


@pytest.fixture(scope="session")
def interruptible() -> tuple[str, ...]:
    """Words in front of a command that is going to be interrupted.

    A shell makes what runs in its background ignore interrupts, these tests and all that they
    start included.
    """
    reset = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    code = f"import os, signal, sys; {reset}; os.execv(sys.argv[1], sys.argv[1:])"
    return (sys.executable, "-c", code)


def _mpirun() -> str:
    path = Path(sys.executable).with_name("mpirun")
    if not path.exists():
        pytest.fail(f"no {path}; install an MPI: pip install -e '.[mpi]'")
    return str(path)
