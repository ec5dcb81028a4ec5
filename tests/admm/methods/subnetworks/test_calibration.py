"""Cuts by measured time: of which networks, where, the same on all ranks, and kept by a run."""

import os
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from sequences import CASES, VALUES, X

from admm import LocalTransport, options, resumed, train_subnetworks
from admm.methods.subnetworks import calibration, share
from admm.methods.subnetworks.calibration import module_seconds
from admm.solvers import TSSM
from layers import from_modules, module_shapes, resnet, split_model

DATA = (X, VALUES)
SMALL = {"loss": "squared_error", "epochs": 2, "batch": 40, "lr": 1e-3}


@pytest.fixture(autouse=True)
def _few_runs(monkeypatch):
    monkeypatch.setattr(calibration, "_SECONDS", 0.0)


def modules():
    """Four modules of as many operations, as XLA counts: of a loop only the first round."""
    keys = jax.random.split(jax.random.key(0), 4)
    sizes = zip((5, 16, 16, 16), (16, 16, 16, 2), keys, strict=True)
    first, *dense = [eqx.nn.Linear(n, m, key=key) for n, m, key in sizes]

    class Slow(eqx.Module):
        layer: eqx.nn.Linear

        def __call__(self, x):
            loop = jax.lax.scan(lambda y, _: (jnp.tanh(y), None), self.layer(x), length=300)
            return loop[0]

    return [Slow(first), *dense]


def network_of(case):
    make, x, _, _ = CASES[case]
    kind = "int32" if x.dtype.kind == "i" else None
    return from_modules(split_model(make()), x.shape[1:], "float32", kind)


def seconds_of(network, batch=20):
    return module_seconds(network, module_shapes(network), batch, TSSM(), jax.devices()[0])


@pytest.mark.parametrize("case", CASES)
def test_modules_of_all_kinds_are_timed(case):
    network = network_of(case)
    seconds = seconds_of(network)
    assert len(seconds) == len(network.builders)
    assert min(seconds) > 0


def test_modules_that_are_equal_count_alike(x64):
    network = resnet((9, 9, 1), classes=3, blocks=3, filters=2, hidden=4, dtype="float64")
    seconds = seconds_of(network)
    assert seconds[1] == seconds[2] == seconds[3] not in (seconds[0], seconds[4])
    assert seconds_of(network) == seconds  # once in a process


def test_a_slow_module_is_cut_off(monkeypatch):
    times = [5.0, 1.0, 1.0, 1.0]
    monkeypatch.setattr(share, "module_seconds", lambda *_: times)
    given = options("gsam", **SMALL)
    result = train_subnetworks(given, data=DATA, network=modules())
    assert [cut["module"] for cut in result.summary["cuts"]] == [1]
    assert result.summary["module_seconds"] == times


def test_what_is_not_timed(monkeypatch):
    monkeypatch.setattr(share, "module_seconds", None)
    given = options("gsam", **SMALL)
    dense = eqx.nn.MLP(5, 2, 9, 2, key=jax.random.key(0))
    for cuts, network, module in ((None, dense, 1), ((3,), modules(), 3)):
        result = train_subnetworks(replace(given, cuts=cuts), data=DATA, network=network)
        assert result.summary["module_seconds"] is None
        assert [cut["module"] for cut in result.summary["cuts"]] == [module]
    of_images = options("gsam", network="cnn", filters=2, hidden=8)
    assert of_images.look(LocalTransport(2)).seconds is None  # for a dry run


def test_a_run_goes_on_with_its_cuts(tmp_path, monkeypatch):
    def timed(*seconds):
        monkeypatch.setattr(share, "module_seconds", lambda *given: list(seconds))

    timed(1.0, 1.0, 1.0, 5.0)
    given = options("gsadmm", **SMALL, checkpoint_every=1)
    whole = train_subnetworks(replace(given, epochs=3), data=DATA, network=modules())
    train_subnetworks(replace(given, out=tmp_path), data=DATA, network=modules())
    timed(5.0, 1.0, 1.0, 1.0)  # would cut it elsewhere
    again = train_subnetworks(resumed(tmp_path, epochs=3), data=DATA, network=modules())
    assert [cut["module"] for cut in again.summary["cuts"]] == [3]
    assert again.summary["module_seconds"] == [1.0, 1.0, 1.0, 5.0]
    assert [e["objective"] for e in again.history] == [e["objective"] for e in whole.history]


RANKS = """
from test_calibration import DATA, SMALL, modules
from admm import options, train_subnetworks
from admm.comm import MPITransport, launch
from admm.methods.subnetworks import share

transport = MPITransport(launch.world())
seconds = [1.0, 1.0, 1.0, 9.0] if transport.is_root else [9.0, 1.0, 1.0, 1.0]
share.module_seconds = lambda *given: seconds
result = train_subnetworks(options("gsam", **SMALL), transport, data=DATA, network=modules())
every = transport.gather([cut["module"] for cut in result.summary["cuts"]])
assert every == [[3], [3]], every
assert result.summary["workers"]["units_per_rank"] == ["modules 1–3", "modules 4–4"]
transport.close()
"""


def test_ranks_cut_where_the_root_says(mpi_python):
    tests = Path(__file__).parents[3]
    path = os.pathsep.join(map(str, (Path(__file__).parent, tests, tests.parent)))
    done = mpi_python(RANKS, ranks=2, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
