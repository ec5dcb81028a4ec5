"""Central training: a row for each method, and errors by hand."""

import jax
import numpy as np
import pytest

from admm.datasets.clients import read_federation
from admm.datasets.windows import Windows
from admm.errors import InputError
from benchmarks import federated_central
from benchmarks.report import Report, make_parser


@pytest.fixture(autouse=True)
def _promotion():
    """Schedules of optax mix types."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def run(dataset, **settings):
    given = make_parser("federated", None).parse_args([])
    for name, value in {"dataset": dataset, "data_dir": None, "seeds": 1, **settings}.items():
        setattr(given, name, value)
    report = Report("federated", given)
    federated_central.run(given, report)
    return report.rows


@pytest.mark.slow
def test_every_method_has_a_row(capsys):
    rows = run("sensors:clients=2,hours=3000", hidden=4, epochs=2)
    assert [row["method"] for row in rows] == [
        "last value",
        "ridge",
        *federated_central.NETWORKS,
    ]
    assert all(0 < row["test"] <= row["worst"] < 2 for row in rows)
    assert "neither" in capsys.readouterr().out


def test_a_network_learns():
    federation = read_federation("sensors:clients=2,hours=2000")
    clients = [federation.client(0), federation.client(1)]
    rounds = {"hidden": 4, "seed": 0}
    few, many = (
        federated_central.train(federation, clients, "lstm +", epochs=epochs, **rounds)
        for epochs in (1, 12)
    )
    assert many.val < 0.95 * few.val
    assert many.test.shape == (2,)


def test_clients_have_as_many_windows_as_the_least():
    sizes = (3, 5)
    parts = [Windows(np.ones((n, 2, 1)), np.ones((n, 1)), np.ones((n, 1), bool)) for n in sizes]
    assert [array.shape[:2] for array in federated_central._stacked(parts)[:3]] == [(2, 3)] * 3


def test_errors_are_means_over_columns():
    targets = np.array([[[1.0, 2.0]], [[0.0, 5.0]]])
    present = np.array([[[True, True]], [[True, False]]])
    windows = Windows(np.zeros((2, 1, 1, 1)), targets, present)
    assert federated_central._errors(np.zeros((2, 1, 2)), windows).tolist() == [1.5, 0]


def test_classes_are_refused(data_dir):
    with pytest.raises(InputError, match="the central part forecasts numbers; har has others"):
        run("har", data_dir=data_dir, hidden=4, epochs=1)
