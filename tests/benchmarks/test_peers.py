"""PyTorch beside our rows: what is tried, what is told where it is missing, and its steps."""

import argparse
import json
import shutil
from dataclasses import asdict
from importlib.util import find_spec

import pytest

from benchmarks import peers, speedup, tssm_time
from benchmarks.cases import Case
from benchmarks.peers import Family, find_families, is_peer, time_family
from benchmarks.report import Report

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def families(tmp_path, *arguments, **more):
    report = Report("speedup", argparse.Namespace(json=tmp_path / "rows.json", plot=None))
    return find_families(report, *arguments, **more)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: name)
    monkeypatch.setattr(peers, "version", lambda name: "9.9")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")


def test_what_is_tried(tmp_path, installed):
    both = ["eager", "compiled"]
    assert families(tmp_path, ["adam", "gd"], pipeline=True) == [
        Family("torch adam", both, 1, 1),
        Family("torch adam", both, 1, 2),
        Family("torch adam DDP", both, 2, 1),
        Family("torch adam 1F1B", ["2", "4", "8"], 2, 1),
        Family("torch gd", both, 1, 1),
        Family("torch gd", both, 1, 2),
        Family("torch gd DDP", both, 2, 1),
        Family("torch gd 1F1B", ["2", "4", "8"], 2, 1),
    ]
    of_images = families(tmp_path, ["adam"], images=True)
    orders = ["eager", "eager channels-last", "compiled", "compiled channels-last"]
    assert [(each.method, each.settings) for each in of_images] == [
        ("torch adam", orders),
        ("torch adam", orders),
        ("torch adam DDP", orders),
    ]


def test_a_peer_that_is_not_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert families(tmp_path, ["adam"], pipeline=True) == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "PyTorch is not installed, and has no rows: pip install -e '.[peers]'"


def test_no_compiler(tmp_path, installed, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "nonsense++")
    monkeypatch.setattr(shutil, "which", {"g++": "/bin/g++"}.get)
    assert {each.settings[0] for each in families(tmp_path, ["adam"])} == {"eager"}
    assert all(len(each.settings) == 1 for each in families(tmp_path, ["adam"]))
    assert "torch.compile needs a C++ compiler" in capsys.readouterr().out


def time(case, ranks, cores):
    """A row whose time says what was timed."""
    epoch_ms = {"eager": 3.0, "compiled": 2.0, "2": 5.0, "4": 1.0, "8": 6.0}
    times = {"epoch_ms": epoch_ms.get(case.method.split()[-1], 4.0), "wait_ms": 0.0}
    more = {"products_ms": 1.0, "compile_s": 3.0, "timed": 5, "bytes": 0}
    return {**asdict(case), "ranks": ranks, "cores": ranks * cores, **times, **more}


def test_the_fastest_setting_is_the_row(installed, monkeypatch):
    monkeypatch.setattr(peers, "time_epoch", time)
    family = Family("torch adam 1F1B", ["2", "4", "8"], 2, 1)
    row = time_family(Case("pdadmm-g", 40, 8, 3), family)
    assert (row["method"], row["setting"], row["epoch_ms"]) == ("torch adam 1F1B", "4", 1.0)
    assert (row["ranks"], row["cores"], row["torch"]) == (2, 2, "9.9")
    assert row["wait_ms"] is row["bytes"] is row["codec"] is None
    assert [(each["setting"], each["epoch_ms"]) for each in row["tried"]] == [
        *[("2", 5.0), ("4", 1.0), ("8", 6.0)]
    ]
    assert is_peer(row)
    assert not is_peer(time(Case("adam", 40, 8, 3), 1, 1))


def test_rows_of_the_speedup(installed, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(peers, "time_epoch", time)
    monkeypatch.setattr(speedup, "time_epoch", time)
    out, picture = tmp_path / "rows.json", tmp_path / "plot.png"
    given = ("--quick", "--optimizers", "adam", "--json", str(out), "--plot", str(picture))
    speedup.main([*given, "--peers"])
    content = json.loads(out.read_text())
    assert [row["setting"] for row in content["rows"]] == [
        *[None] * 6,
        *["compiled", "compiled", "compiled", "4"],
    ]
    assert content["results"]["vs_best_backprop 8×256"] == 1.0
    assert content["results"]["vs_best_torch 8×256"] == 0.25
    assert picture.stat().st_size > 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[-1] == "setting"
    assert [row.split()[-1] for row in rows[:7]] == [*["–"] * 6, "compiled"]


def test_ratios_of_times():
    def row(method, ranks, cores, epoch_ms, **more):
        where = {"ranks": ranks, "cores": cores, "codec": "float32"}
        return {**where, "method": method, "epoch_ms": epoch_ms, **more}

    ours = [row("gsam", 1, 1, 12.0), row("gsam", 2, 2, 8.0)]
    torch = [row("torch adam", 1, cores, 10.0 / cores, torch="9.9") for cores in (1, 2)]
    found = tssm_time.compare_times([*ours, *torch])
    assert found["vs_best_torch: gsam, float32"] == 5.0 / 8.0
    assert not any("backprop" in name or "adam" in name for name in found)


# Real processes. Ours tell the loss before a step; so does PyTorch.

STEPS = """
import sys
import jax
import numpy as np
from admm.comm.launch import world
from admm.solvers import LEARNING_RATES, Backprop
from benchmarks import methods, torch_peer
from benchmarks.cases import Case

comm, shape = world(), methods.network_shape(8, 3)
for method in sys.argv[1:]:
    case = Case(f"torch {method}", 40, 8, 3)
    name = method.split()[0]
    layers = [methods.draw_layer(shape, number) for number in (1, 2, 3)]
    solver, expected = Backprop(name, LEARNING_RATES[name]), []
    state = solver.init(layers, *methods.draw_data(case))
    for _ in range(4):
        state, loss = solver.step(state)
        expected.append(float(loss))
    part = torch_peer.prepare(case, comm)
    own = [part.epoch() for _ in range(4)]
    own = [None if loss is None else float(loss) for loss in own]
    told = [each for each in comm.allgather(own) if each[0] is not None]
    assert len(told) == (1 if "1F1B" in method else comm.size)
    np.testing.assert_allclose(np.mean(told, axis=0), expected, rtol=1e-6)
    assert expected[0] > (1 + 2e-5) * expected[-1]  # Adadelta begins with small steps
"""


@needs_torch
@pytest.mark.parametrize(
    "methods",
    [
        [f"{name} eager" for name in ("gd", "adadelta", "adagrad", "adam")],
        ["adam DDP eager"],
        ["adam 1F1B 4"],
        pytest.param(["adam compiled"], marks=pytest.mark.slow),
        pytest.param(["adam DDP compiled"], marks=pytest.mark.slow),
    ],
)
def test_torch_takes_the_steps_of_ours(mpi_python, methods):
    ranks = 2 if {"DDP", "1F1B"} & set(methods[0].split()) else 1
    done = mpi_python(STEPS, *methods, ranks=ranks)
    assert done.returncode == 0, done.stderr


IMAGES = """
import equinox as eqx
import jax.numpy as jnp
from admm import LocalTransport
from admm.comm.launch import world
from admm.solvers.losses import cross_entropy
from benchmarks import subnetworks, torch_peer
from benchmarks.cases import NetworkCase
from layers import build

comm, size = world(), dict(layers=3, hidden=8, blocks=2, filters=4, batch=10, batches=1)
for network in ("mlp", "cnn", "resnet"):
    case = NetworkCase("adam", network, **size)
    images, labels, (batch,) = subnetworks.draw_data(case)
    made = subnetworks.draw_network(case)
    static = eqx.partition(build(made, range(len(made.builders)), seed=0), eqx.is_inexact_array)[1]
    trainer, expected = subnetworks.make_adam(case, LocalTransport()), []
    for _ in range(3):
        logits = eqx.combine(trainer.state[0], static)(images[batch])
        expected.append(float(jnp.mean(cross_entropy(logits, labels[batch]))))
        trainer.epoch()
    assert expected[0] > 1.01 * expected[-1]
    for order in ("", " channels-last"):
        method = f"torch adam eager{order}"
        part = torch_peer.prepare(NetworkCase(method, network, **size), comm)
        told = [float(part.epoch()) for _ in range(3)]
        assert all(abs(a - b) < 1e-4 * b for a, b in zip(told, expected)), (network, told, expected)
"""


@needs_torch
def test_torch_has_the_networks_of_ours(mpi_python):
    done = mpi_python(IMAGES, ranks=1)
    assert done.returncode == 0, done.stderr


@needs_torch
@pytest.mark.slow
def test_a_quick_run(benchmark, tmp_path):
    out = tmp_path / "rows.json"
    small = ("--layers", 3, "--widths", 8, "--nodes", 40, "--seconds", 1e-3)
    given = ("speedup", "--json", out, *small, "--optimizers", "adam", "--peers")
    done = benchmark(*given, timeout=280)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    rows = [row for row in content["rows"] if "torch" in row]
    assert [(row["method"], row["ranks"], row["cores"]) for row in rows] == [
        *[("torch adam", 1, 1), ("torch adam", 1, 2)],
        *[("torch adam DDP", 2, 2), ("torch adam 1F1B", 2, 2)],
    ]
    for row in rows:
        assert row["epoch_ms"] == min(each["epoch_ms"] for each in row["tried"]) > 0
    assert content["results"]["vs_best_torch 3×8"] > 0
