"""What every method keeps: one row a method, one test a promise.

A new method is a new row of `ROWS`.
"""

import contextlib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from admm import estimate, options, resumed, solver_places, train
from admm.comm import LocalTransport
from admm.errors import DivergedError
from admm.run.checkpoint import newest_checkpoint


@dataclass(frozen=True)
class Row:
    """A method on a small problem.

    Args:
        given: Options; the solver among them.
        sent: Bytes that two workers send each other in an epoch, by variable.
        diverging: Options with which it diverges, if any do before they are refused.
        rtol: How far another number of workers may take it, relatively.
        start: Bytes that are sent beside those of every epoch.
        same_bits: Whether any number of workers takes it to the same network, bit for bit.
        scheduled: Whether rates follow from the epochs of the run: it then goes on as it would have
            only if it was to have as many.
    """

    given: Mapping[str, Any]
    sent: Mapping[str, int]
    diverging: Mapping[str, Any]
    rtol: float = 1e-4
    start: Mapping[str, int] = field(default_factory=dict)
    same_bits: bool = False
    scheduled: bool = False


LAYERS = {"layers": 4, "hidden": 8, "hops": 1}
PARTS = {"layers": 4, "hidden": 8, "subnetworks": 3, "optimizer": "gd", "lr": 0.05}
PARTS |= {"batch": 133}  # a ninth of the images
ROWS_OF_DIGITS, IMAGES = 200, 1197  # training rows of the graph and of the images
ACTIVATIONS = ROWS_OF_DIGITS * 8 * 4

GRAPH = {"layers": 3, "hidden": 8, "parts": 4, "partition": "bfs"}
HALOS = (128, 79, 135, 39, 282, 189, 146, 124)  # rows between parts of different workers
BOUNDARY = sum(HALOS) * 8 * 4
CODED = sum(4 * rows + 8 * -(-rows * 8 // 256) for rows in HALOS)  # 4 bits, 8 bytes a block

CLIENTS = {"dataset": "sensors:clients=5,hours=120", "network": "mlp", "hidden": 4}
CLIENTS |= {"private": True, "batch": 8, "local_steps": 2, "baselines": False}
SHARED = 3 * 4 * (12 * 4 * 4 + 4 + 4 * 4 + 4)  # of the three clients of the second worker

ROWS = {
    "pdadmm-g": Row(
        {**LAYERS, "solver": "pdadmm-g", "grow": (4,)},
        {"p": ACTIVATIONS, "q": ACTIVATIONS},
        {},
        start={"q": ACTIVATIONS},
        same_bits=True,
    ),
    **{
        solver: Row(
            {**LAYERS, "solver": solver},
            {"activation": ACTIVATIONS, "gradient": ACTIVATIONS},
            {"lr": 1e30},
        )
        for solver in ("gd", "adadelta", "adagrad", "adam")
    },
    **{
        solver: Row(
            {**PARTS, "solver": solver},
            {"f": IMAGES * 8 * 4, down: IMAGES * 8 * 4},
            {"lr": 1e20},
        )
        for solver, down in (("gsadmm", "q"), ("gsam", "p"))
    },
    "sadmm": Row(
        {"layers": 4, "hidden": 8, "solver": "sadmm", "batch": (10,)},
        {"q": 1200 * 8 * 4, "g": 1200 * 8 * 4},  # the last micro-batch is filled
        {"rate": 1e30},
        scheduled=True,
    ),
    "sadmm-cnn": Row(
        {"network": "cnn", "filters": 3, "hidden": 8, "solver": "sadmm", "batch": (10,)},
        {"q": 1200 * 4 * 4 * 3 * 4, "g": 1200 * 4 * 4 * 3 * 4},  # cut between the convolutions
        {"rate": 1e30},
        scheduled=True,
    ),
    "partitions": Row(  # refresh: of the two hidden layers, one is sent, in epochs 1, 3 and 5
        {**GRAPH, "solver": "partitions", "interval": 2},
        {"halo": 0},
        {"lr": 1e30},
        start={"halo": 3 * BOUNDARY},
        same_bits=True,
    ),
    "partitions-exact": Row(
        {**GRAPH, "solver": "partitions", "halo": "exact"},
        {"halo": 2 * BOUNDARY, "halo_gradient": 2 * BOUNDARY},
        {"lr": 1e30},
        same_bits=True,
    ),
    "partitions-admm": Row(  # exact in epochs 1 and 2, synchronised in 3 and 5
        {**GRAPH, "solver": "partitions", "halo": "admm", "exact_epochs": 2, "interval": 2},
        {"halo": 0, "halo_gradient": 0},
        {"lr": 1e30},
        start={"halo": 8 * BOUNDARY, "halo_gradient": 8 * BOUNDARY},
        same_bits=True,
    ),
    "sat": Row(  # sent in epochs 1, 3 and 5
        {**GRAPH, "solver": "sat", "interval": 2},
        {"halo": 0},
        {"lr": 1e30},
        start={"halo": 3 * 2 * BOUNDARY},
        same_bits=True,
    ),
    "digest": Row(  # sent in epochs 1, 2 and 4
        {**GRAPH, "solver": "digest", "order": "end", "interval": 2, "codec": "delta4"},
        {"halo": 0},
        {"lr": 1e30},
        start={"halo": 3 * 2 * CODED},
        same_bits=True,
    ),
    **{
        solver: Row(
            {**CLIENTS, "solver": solver},
            {"down": SHARED, "up": SHARED},
            {"lr": 1e30},
            same_bits=True,
        )
        for solver in ("fed-admm", "fedavg", "fedavgm", "fedprox")
    },
    "scaffold": Row(
        {**CLIENTS, "solver": "scaffold"},
        dict.fromkeys(("down", "up", "down_control", "up_control"), SHARED),
        {"lr": 1e30},
        same_bits=True,
    ),
    "fed-admm-secure": Row(  # of the three clients: 11 bits an answer, 508 bytes for its range
        {**CLIENTS, "solver": "fed-admm", "secure_aggregation": True, "codec_down": "float32"},
        {
            "down": SHARED,
            "up": 3 * -(-SHARED // 12 * 11 // 8),
            "up_range": 3 * 508,
            "down_range": 3,
        },
        {"lr": 1e30},
        same_bits=True,
    ),
    "fedsgd": Row(
        {**CLIENTS, "solver": "fedsgd", "local_steps": 1},
        {"down": SHARED, "up": SHARED},
        {"lr": 1e30},
        same_bits=True,
    ),
}
EPOCHS = 5

# Rows of a class that has others; one of them is enough for a quick look.
_LIKE_ANOTHER = (
    "gd",
    "adadelta",
    "adagrad",
    "sadmm-cnn",
    "partitions-exact",
    "partitions-admm",
    "sat",
)
_LIKE_ANOTHER += ("fedavgm", "fedprox", "scaffold", "fedsgd", "fed-admm-secure")


# Of those that diverge, rows whose options become safer as another's do.
_SAFER_LIKE_ANOTHER = (*_LIKE_ANOTHER, "adam", "gsadmm", "gsam", "digest", "fedavg")


def _parameters(names, slow=_LIKE_ANOTHER):
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


every_method = pytest.mark.parametrize("name", _parameters(ROWS))


def test_every_solver_has_a_row():
    assert {row.given["solver"] for row in ROWS.values()} == set(solver_places())


def run(name, **changes):
    return train(options(**{**ROWS[name].given, "epochs": EPOCHS, "workers": 2, **changes}))


@functools.cache
def two_workers(name):
    """The run that several tests look at."""
    return run(name)


def without_times(history):
    apart = ("seconds", "iterate_seconds", "bytes_sent")
    return [{n: v for n, v in line.items() if n not in apart} for line in history]


def same_network(a, b):
    jax.tree.map(
        np.testing.assert_array_equal,
        eqx.filter(a, eqx.is_inexact_array),
        eqx.filter(b, eqx.is_inexact_array),
    )


@every_method
def test_a_resumed_run_is_bit_for_bit_the_run_that_never_stopped(name, tmp_path):
    whole = two_workers(name)
    if ROWS[name].scheduled:
        given = {**ROWS[name].given, "epochs": EPOCHS, "workers": 2, "checkpoint_every": 0}
        train(options(**given, out=tmp_path), callback=lambda evaluation: evaluation["epoch"] == 3)
    else:
        run(name, epochs=3, checkpoint_every=0, out=tmp_path)  # its end is a checkpoint
    again = train(resumed(tmp_path, epochs=EPOCHS))
    assert without_times(again.history) == without_times(whole.history)
    same_network(again.network, whole.network)


@every_method
def test_any_number_of_workers_trains_alike(name):
    alone, rtol = run(name, workers=1), ROWS[name].rtol
    assert alone.summary["bytes"]["sent"] == 0
    for workers in (2, 3):
        together = two_workers(name) if workers == 2 else run(name, workers=workers)
        if ROWS[name].same_bits:
            same_network(together.network, alone.network)
        for one, other in zip(
            without_times(alone.history), without_times(together.history), strict=True
        ):
            assert one == pytest.approx(other, rel=rtol)


@every_method
def test_the_bytes_of_every_variable_are_counted(name):
    row = ROWS[name]
    result = two_workers(name)
    expected = {v: EPOCHS * n + row.start.get(v, 0) for v, n in row.sent.items()}
    assert result.summary["bytes"]["by_variable"] == expected
    assert result.summary["bytes"]["sent"] == sum(expected.values())
    assert result.history[-1]["bytes_sent"] == sum(expected.values())
    assert result.summary["bytes"]["evaluation"] > 0


@every_method
def test_what_a_run_sends_and_saves_is_known_before_it(name, tmp_path):
    given = options(**{**ROWS[name].given, "epochs": 3, "eval_every": 2, "workers": 2})
    found = estimate(given)
    summary = train(replace(given, out=tmp_path)).summary
    assert found.bytes_by_variable == summary["bytes"]["by_variable"]
    assert found.evaluation_bytes == summary["bytes"]["evaluation"]
    (folder,) = (tmp_path / "checkpoints").iterdir()
    arrays = [dict(np.load(path)) for path in folder.glob("*.npz")]
    nbytes = sum(array.nbytes for each in arrays for array in each.values())
    assert sum(each.checkpoint_bytes for each in found.stages[-1].workers) == nbytes
    model = [dict(np.load(path)) for path in folder.glob("layer_*.npz")]
    parameters = sum(array.size for each in model for array in each.values())
    assert found.stages[-1].parameters == parameters


@pytest.mark.parametrize(
    "name", _parameters([n for n, row in ROWS.items() if row.diverging], _SAFER_LIKE_ANOTHER)
)
def test_a_run_that_diverges_goes_back_with_safer_options(name, tmp_path):
    """Until it does not, or gives up after three tries."""
    changes = ROWS[name].diverging
    with contextlib.suppress(DivergedError):
        run(name, **changes, out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert 1 <= len(summary["retreats"]) <= 3
    assert all("training diverged in epoch" in each["error"] for each in summary["retreats"])
    assert summary["status"] in ("done", "diverged")
    for option, value in changes.items():
        assert summary["options"][option] < value


def state_after_an_epoch(given, loaded):
    """What training with options holds, whose data were loaded with others."""
    transport = LocalTransport(1)
    training = given.begin(loaded.load(transport, None), transport, 0, None)
    training.epoch(1, True)
    state = training.state()
    return training, [np.asarray(array) for unit in state.values() for array in unit.values()]


@every_method
def test_a_retreat_trains_with_the_safer_options(name):
    """Those that the data were loaded with do not count any more."""
    given = options(**{**ROWS[name].given, "epochs": EPOCHS})
    training, before = state_after_an_epoch(given, given)
    safer, _ = given.safer(training)
    _, now = state_after_an_epoch(safer, given)
    _, anew = state_after_an_epoch(safer, safer)
    for one, other in zip(now, anew, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(now, before, strict=True))


@every_method
def test_a_value_that_explodes_sends_a_run_back_to_its_checkpoint(name, tmp_path, monkeypatch):
    given = options(**{**ROWS[name].given, "epochs": EPOCHS, "workers": 2, "out": tmp_path})
    given = replace(given, checkpoint_every=2)
    begin, explosions = type(given).begin, []

    def begin_and_explode(self, share, transport, stage, kept):
        training = begin(self, share, transport, stage, kept)
        epoch, measure = training.epoch, training.measure
        now = [0]

        def noted(number, measured):
            now[0] = number
            epoch(number, measured)

        def exploding():
            values = dict(measure())
            if now[0] == 3 and not explosions:
                explosions.append(values[self.bounded])
                values[self.bounded] = 1e30
            return values

        training.epoch, training.measure = noted, exploding
        return training

    monkeypatch.setattr(type(given), "begin", begin_and_explode)
    result = train(given)
    (retreat,) = result.summary["retreats"]
    assert "training diverged in epoch 3" in retreat["error"]
    assert [line["epoch"] for line in result.history] == [1, 2, 3, 4, 5]
    assert result.history[2][given.bounded] != 1e30
    for option in ROWS[name].diverging:
        assert result.summary["options"][option] < given.as_json()[option]
    assert result.summary["options"] != given.as_json()


@every_method
def test_a_callback_stops_the_run(name, tmp_path):
    seen = []

    def callback(evaluation):
        seen.append(evaluation["epoch"])
        return evaluation["epoch"] == 2

    given = {**ROWS[name].given, "epochs": EPOCHS, "workers": 2, "out": tmp_path}
    result = train(options(**given), callback=callback)
    assert seen == [line["epoch"] for line in result.history] == [1, 2]
    assert (result.summary["stopped"], result.summary["status"]) == (True, "done")
    assert result.summary["stages"][-1]["epochs"] == 2


@every_method
def test_the_checkpoints_of_the_run_before_are_gone(name, tmp_path):
    first = run(name, checkpoint_every=2, out=tmp_path)
    assert newest_checkpoint(tmp_path).manifest["epoch"] == EPOCHS
    second = run(name, seed=1, epochs=3, checkpoint_every=2, out=tmp_path)
    newest = newest_checkpoint(tmp_path).manifest
    assert (newest["epoch"], newest["options"]["seed"]) == (3, 1)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2  # after two epochs, and the end
    assert second.history[0] != first.history[0]


STOPS = """
import json, sys
from admm import options, train
from admm.comm import MPITransport, launch

transport = MPITransport(launch.world())
stop = None if transport.is_root else (lambda evaluation: evaluation["epoch"] == 2)
result = train(options(**json.loads(sys.argv[1])), transport, callback=stop)
assert [line["epoch"] for line in result.history] == [1, 2], result.history
assert result.summary["stopped"] is True
transport.close()
print("stopped")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pdadmm-g", "adam", "gsadmm"])
def test_a_callback_of_one_rank_stops_all(name, mpi_python, tmp_path):
    given = {**ROWS[name].given, "epochs": 50, "out": str(tmp_path)}
    done = mpi_python(STOPS, json.dumps(given), ranks=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stopped") == 2


def test_options_of_every_method_are_json_and_back():
    for name, row in ROWS.items():
        given = options(**row.given)
        again = type(given).from_json(json.loads(json.dumps(given.as_json())))
        assert again.as_json() == given.as_json(), name
        assert replace(again, seed=1) != again
