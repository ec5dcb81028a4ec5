"""Every benchmark in its smallest form, in real processes: it ends and writes what it promises."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import pytest

from benchmarks import convergence
from benchmarks.__main__ import NAMES, main
from benchmarks.hosts import UnavailableError, two_hosts
from benchmarks.launch import RunError
from benchmarks.shallow import GRID

TINY = ("--nodes", 40, "--seconds", 1e-3)


@pytest.fixture
def rows_of(benchmark, tmp_path):
    """Run a benchmark; returns its rows and results."""

    def run(name, *arguments, tiny=TINY):
        out, picture = tmp_path / "rows.json", tmp_path / "plot.png"
        done = benchmark(name, "--json", out, "--plot", picture, *tiny, *arguments)
        assert done.returncode == 0, done.stderr
        assert picture.stat().st_size > 0
        content = json.loads(out.read_text())
        assert len(done.stdout.splitlines()) > len(content["rows"])
        return content["rows"], content["results"]

    return run


@pytest.fixture
def hosts():
    """Skip where there can be no network namespaces."""
    try:
        with two_hosts(1000):
            pass
    except UnavailableError as why:
        pytest.skip(str(why))


@pytest.mark.slow
def test_checkpoint(rows_of):
    small = ("--classes", 4, "--hidden", 8, "--epochs", 40, "--ranks", 2)
    (row,), _ = rows_of("checkpoint", tiny=small)
    assert row["ranks"] == 2
    assert row["checkpoints"] >= 3
    # Five arrays of the hidden layers, four of the outer ones.
    assert row["bytes"] > 4 * 80 * 8 * 5 * 8
    assert row["epoch"] > 0


@pytest.mark.slow
def test_speedup(rows_of):
    rows, results = rows_of("speedup", "--layers", 3, "--widths", 8, "--optimizers", "gd")
    ours = [("pdadmm-g", 1, 1), ("pdadmm-g", 2, 2)]
    rivals = [("gd", 1, 1), ("gd", 1, 2), ("gd data-parallel", 2, 2), ("gd pipeline", 2, 2)]
    assert [(row["method"], row["ranks"], row["cores"]) for row in rows] == ours + rivals
    for row in rows:
        assert (row["layers"], row["width"], row["nodes"]) == (3, 8, 40)
        assert row["timed"] >= 5
        assert min(row["epoch_ms"], row["products_ms"], row["compile_s"], row["threads"]) > 0
    p_and_q, weights = 2 * 4 * 40 * 8, 1 + 2 * (8 * 8 + 8) + 8 * 10 + 10
    assert [row["bytes"] for row in rows] == [0, p_and_q, 0, 0, 2 * 4 * weights, p_and_q]
    assert set(results) == {"efficiency 3×8", "vs_best_backprop 3×8"}


def test_kernels(rows_of):
    rows, _ = rows_of("kernels", "--width", 8)
    (row,) = rows
    assert (row["nodes"], row["width"], row["threads"], row["state_arrays"]) == (40, 8, 1, 5)
    assert row["roofline_fraction"] == pytest.approx(row["products_ms"] / row["layer_ms"])
    assert row["gflops"] == pytest.approx(8e-6 * 40 * 8**2 / row["products_ms"])


@pytest.mark.slow
def test_convolutions(rows_of):
    rows, _ = rows_of("convolutions", "--batch", 2, tiny=("--seconds", 1e-3))
    assert [row["convolution"] for row in rows] == [
        *("cnn, first", "cnn, second", "resnet, stem", "resnet, block"),
    ]
    for row in rows:
        assert row["batch"] == 2
        assert min(row["vmap_ms"], row["batch_ms"]) > 0
        assert row["fraction"] == pytest.approx(row["products_ms"] / row["vmap_ms"])


@pytest.mark.slow
def test_communication(rows_of):
    options = ("--workers", 3, "--seeds", 0, 1, "--codecs", "float32", "delta2", "levels")
    training = ("--", "--layers", 3, "--hidden", 16, "--epochs", 40, "--eval-every", 40)
    rows, _ = rows_of("communication", *options, *training, tiny=())
    assert [row["codec"] for row in rows] == ["float32", "delta2", "levels"]
    assert [row["seeds"] for row in rows] == [2, 2, 2]
    float32, delta2, levels = rows
    assert float32["fraction_of_float32"] == 1
    assert 0.07 < delta2["fraction_of_float32"] < 0.1
    assert 0.5 < levels["fraction_of_float32"] < 0.6  # p in 5 bits, q as it is
    for row in rows:
        assert row["test_accuracy"] > 0.8
        assert row["residual"] > 0


def test_one_worker_communicates_nothing(benchmark):
    done = benchmark("communication", "--workers", 1)
    assert done.returncode == 2
    assert "--workers must be at least 2: a single worker sends nothing" in done.stderr


@pytest.mark.slow
def test_accuracy(benchmark, tmp_path):
    """A method of each kind."""
    out, picture = tmp_path / "rows.json", tmp_path / "plot.png"
    files = ("--json", out, "--plot", picture)
    methods = ("--methods", "pdadmm-g-q", "shallow")
    done = benchmark("accuracy", "--quick", *files, *methods, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "| inputs hops, 16 neurons | digits |" in done.stdout
    rows = json.loads(out.read_text())["rows"]
    assert [row["method"] for row in rows] == ["pdadmm-g-q", "shallow"]
    assert [(row["layers"], row["epochs"], row["seeds"]) for row in rows] == [
        (4, 10, 2),
        (2, 20, 2),
    ]
    assert [len(row["settings"]) for row in rows] == [1, len(GRID)]
    assert rows[1]["mean_test"] > 0.8
    assert picture.stat().st_size > 0


@pytest.mark.slow
def test_convergence(rows_of):
    what = ("--quick", "--ratios", 1, 5, "--codecs", "float32", "delta4")
    rows, _ = rows_of("convergence", *what, tiny=())
    assert [(row["ratio"], row["codec"]) for row in rows] == [
        *[(1, "float32"), (5, "float32"), (5, "delta4")]
    ]
    assert [row["bound"] for row in rows] == ["outside", "inside", "inside"]
    for row in rows:
        lagrangian = row["curves"]["lagrangian"]
        assert row["curves"]["iteration"][:: len(lagrangian) - 1] == [1, 20]
        assert lagrangian[0] > lagrangian[-1] == pytest.approx(row["lagrangian"], rel=1e-4)
        assert row["curves"]["change"] == sorted(row["curves"]["change"], reverse=True)


@pytest.mark.slow
def test_time_to_accuracy(rows_of):
    what = ("--quick", "--methods", "pdadmm-g", "gd")
    rows, results = rows_of("time-to-accuracy", *what, tiny=())
    assert [(row["method"], row["reached"]) for row in rows] == [("pdadmm-g", 1), ("gd", 1)]
    assert all(row["iterations"] >= 1 for row in rows)
    ratio = rows[1]["seconds"] / rows[0]["seconds"]
    assert results == {"speedup: digits, 2 layers": pytest.approx(ratio)}


@pytest.mark.slow
def test_tssm_accuracy(rows_of):
    what = ("--methods", "adam", "frozen", "gsam", "--codecs", "delta4", "--subnetworks", 2)
    size = ("--layers", 3, "--hidden", 16, "--epochs", 4)
    rows, results = rows_of("tssm", "--quick", "--part", "accuracy", *what, *size, tiny=())
    assert [(r["method"], r["subnetworks"], r["codec"], r["control"]) for r in rows] == [
        ("adam", 1, "float32", False),
        ("frozen", 2, "float32", True),
        ("gsam", 2, "delta4", False),
    ]
    adam, frozen, gsam = rows
    for row in rows:
        assert (row["dataset"], row["network"], row["epochs"]) == ("digits", "mlp", 4)
        assert (row["seeds"], row["diverged"], row["test_std"]) == (1, 0, 0)
        assert 0 < row["test_accuracy"] < 1
        assert row["worst_fall"] >= 0
    assert min(adam["test_accuracy"], gsam["test_accuracy"]) > 0.7
    assert adam["q_f"] is None
    assert adam["bytes"] == 0
    assert gsam["q_f"] > 0
    assert 0 < gsam["bytes"] < frozen["bytes"] / 5
    assert results["test accuracy − frozen: mlp, gsam, 2, delta4"] == pytest.approx(
        gsam["test_accuracy"] - frozen["test_accuracy"]
    )


@pytest.mark.slow
def test_tssm_time(rows_of):
    what = ("--quick", "--part", "time", "--methods", "gsam", "adam", "--codecs", "delta4")
    size = ("--layers", 3, "--hidden", 16, "--batch", 30, "--batches", 4, "--seconds", 1e-3)
    rows, results = rows_of("tssm", *what, *size, tiny=())
    assert [(r["method"], r["codec"], r["ranks"], r["cores"]) for r in rows] == [
        ("gsam", None, 1, 1),
        ("gsam", "delta4", 2, 2),
        ("adam", None, 1, 1),
        ("adam", None, 1, 2),
        ("adam data-parallel", None, 2, 2),
    ]
    for row in rows:
        assert (row["network"], row["batch"], row["batches"]) == ("mlp", 30, 4)
        assert row["timed"] >= 5
        assert min(row["epoch_ms"], row["compile_s"]) > 0
    weights = 196 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert [row["bytes"] for row in rows if row["codec"] is None] == [0, 0, 0, 2 * 4 * 4 * weights]
    # Four batches up and down, in half a byte a number and a scale.
    assert 4 * 2 * 30 * 16 / 2 < rows[1]["bytes"] < 4 * 2 * 30 * 16
    assert results["efficiency: gsam, delta4: mlp"] == pytest.approx(
        rows[0]["epoch_ms"] / rows[1]["epoch_ms"] / 2
    )


def test_a_report_needs_its_folder(benchmark, tmp_path):
    done = benchmark("kernels", "--json", tmp_path / "missing" / "rows.json")
    assert done.returncode == 2
    assert "no folder for" in done.stderr


@pytest.mark.slow
def test_scaling(rows_of):
    rows, results = rows_of(
        "scaling", "--rounds", 2, "--layers", 4, "--width", 8, "--codecs", "delta4"
    )
    checked = [row for row in rows if row["measured_ms"] is not None]
    assert [row["ranks"] for row in checked] == [1, 1, 2, 2, 2]
    predicted = {(row["network"], row["method"], row["ranks"]) for row in rows[len(checked) :]}
    for method in ("pdadmm-g", "adam data-parallel", "adam pipeline"):
        assert {("256×8", method, 2**k) for k in range(2, 9)} <= predicted
        assert {("16×4000", method, ranks) for ranks in (8, 16)} <= predicted
    assert all(row["predicted_ms"] > 0 for row in rows)
    assert abs(results["worst_error"]) == max(abs(row["error"]) for row in checked)


@pytest.mark.slow
def test_network(rows_of, hosts):
    rows, results = rows_of(
        "network", "--links", 1000, "--width", 8, "--layers", 2, "--codecs", "float32", "delta2"
    )
    assert [(row["method"], row["codec"]) for row in rows] == [
        ("pdadmm-g", "float32"),
        ("pdadmm-g", "delta2"),
        ("adam data-parallel", None),
        ("adam pipeline", None),
    ]
    assert rows[0]["bytes"] == 2 * 4 * 40 * 8
    assert rows[1]["bytes"] == 2 * (2 * 8 + 40 * 8 / 4)
    # The link lets no more through; how much less is the machine's affair.
    assert 0 < rows[0]["measured_mbit"] < 1100
    assert len(results) == 2


@pytest.mark.slow
def test_federated_rounds_over_a_link(rows_of, hosts):
    what = ("--quick", "--part", "link", "--links", 10, "--methods", "fed-admm")
    (row,), _ = rows_of("federated", *what, "--local-steps", 2, "--", "--hidden", 64, tiny=())
    assert (row["method"], row["codec"], row["link_mbit"]) == ("fed-admm", "float32", 10)
    assert row["floor_ms"] == pytest.approx(8 * row["kb"] / 10)
    assert row["round_ms"] > row["floor_ms"] > 100  # small messages wait for the link too
    assert row["slower"] == pytest.approx(row["round_ms"] / row["free_ms"])


def namespaces():
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return done.stdout


def test_namespaces_go_after_a_failure(hosts):
    seen = []

    def fail():
        with two_hosts(1000):
            seen.append(namespaces())
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    for name in (f"admm{os.getpid()}a", f"admm{os.getpid()}b"):
        assert name in seen[0]
        assert name not in namespaces()


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_namespaces_go_after_an_interrupt(hosts, interruptible, way):
    command = [*interruptible, sys.executable, "-m", "benchmarks", "network", "--quick"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 60
    while f"admm{process.pid}b" not in namespaces():
        assert time.monotonic() < end
        time.sleep(0.05)
    if way == signal.SIGINT:
        os.killpg(process.pid, way)  # as a terminal does
    else:
        process.send_signal(way)
    assert process.wait(timeout=60) != 0
    assert f"admm{process.pid}" not in namespaces()


@pytest.mark.parametrize(
    ("module", "name", "value", "message"),
    [(os, "geteuid", lambda: 1000, "root"), (shutil, "which", lambda tool: None, "'ip'")],
)
def test_the_network_says_why_it_cannot_run(monkeypatch, capsys, module, name, value, message):
    monkeypatch.setattr(module, name, value)
    if name == "which":
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main(["network"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmarks: error: ")
    assert message in line


def test_an_unknown_benchmark(benchmark):
    done = benchmark("nonsense")
    assert done.returncode == 2
    names = (
        "accuracy,checkpoint,communication,convergence,convolutions,depth,federated,kernels,"
        "network,partitions,scaling,speedup,time-to-accuracy,tssm,draw,again"
    )
    assert done.stdout.startswith(f"usage: python -m benchmarks {{{names}}}")


class StartedError(Exception):
    """A benchmark begins its work."""


@pytest.mark.parametrize("size", [[], ["--quick"]], ids=["full", "quick"])
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_takes_its_own_defaults(monkeypatch, name, size):
    def start(*_, **__):
        raise StartedError

    monkeypatch.setattr(subprocess, "run", start)
    monkeypatch.setattr(convergence, "follow", start)  # in this process
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # as would be the number of devices
    with pytest.raises(StartedError):
        main([name, *size])


MNIST = "unknown data set 'mnist'"


MISTAKES = {
    "accuracy --quick --methods gd --datasets corra": "unknown data set 'corra'",
    "communication --quick --datasets mnist": MNIST,
    "tssm --quick --dataset cora": "unknown image data set 'cora'",
    "communication --quick --workers 11": "11 workers for 10 layers",
    "communication --quick -- --nonsense": "--nonsense",
}
MORE_MISTAKES = {
    "accuracy --quick --methods shallow --datasets mnist": MNIST,
    "convergence --quick --datasets mnist": MNIST,
    "time-to-accuracy --quick --datasets mnist --target .5": MNIST,
    "accuracy --quick --methods gd --datasets cora --data-dir nowhere": "--data-dir",
    "tssm --dataset mnist -- --data-dir nowhere": "--data-dir",
    "checkpoint --quick --ranks 11": "11 workers for 10 layers",
    "tssm --quick --methods gsam --subnetworks 9": "subnetworks",
}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *MISTAKES.items(),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE_MISTAKES.items()),
    ],
)
def test_a_mistake_is_one_message(monkeypatch, capsys, words, message):
    """And nothing of a process that was started."""
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # JAX has started
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("benchmarks: error: ")
    assert "Traceback" not in said
    assert message in said


@pytest.mark.parametrize(
    ("code", "said", "message", "exit_code"),
    [
        (2, "a warning\nadmm: error: no\n", "no\nended with code 2: run it", 2),
        (1, "Traceback …\n", "Traceback …\nended with code 1: run it", 1),
        (-15, "", "ended with code -15: run it", 1),
    ],
)
def test_the_end_of_a_process_that_was_started(code, said, message, exit_code):
    command = ["run", "it"]
    error = RunError(command, subprocess.CompletedProcess(command, code, "", said))
    assert str(error) == message
    assert error.exit_code == exit_code


def test_more_threads_than_cores(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["kernels", "--threads", "10000"])
    assert "--threads must be at most" in capsys.readouterr().err


def test_nobody_reads_the_table():
    end, start = os.pipe()
    os.close(end)
    command = [sys.executable, "-m", "benchmarks", "kernels", *map(str, TINY), "--width", "8"]
    try:
        done = subprocess.run(
            command, stdout=start, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    finally:
        os.close(start)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("benchmarks: error: standard output is closed or full")
