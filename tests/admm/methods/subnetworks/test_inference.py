"""Predictions for the rows of a graph, which are never all dense."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from admm import LocalTransport, checked_graph, options, predict, train
from admm.errors import InputError
from layers import Subnetwork

ROWS = 6000
SMALL = {"layers": 2, "hidden": 8, "epochs": 1, "subnetworks": 2}


@pytest.fixture(scope="module")
def identity():
    return checked_graph("identity", None, sp.eye_array(ROWS, format="csr"), np.arange(ROWS) % 3)


@pytest.fixture(scope="module")
def run(identity, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return train(options("gsam", **SMALL, batch=20, out=out), data=identity), out


@pytest.mark.parametrize("workers", [1, 2])
def test_predictions_are_those_of_all_rows_at_once(run, identity, workers):
    result, out = run
    network = jax.device_put(Subnetwork((result.network[1], result.network[2])), jax.devices()[0])
    expected = jax.nn.softmax(network(jnp.eye(ROWS)), axis=1)
    found = predict(out, LocalTransport(workers), data=identity)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_rows_are_dense_in_blocks_only(run, identity):
    _, out = run
    predict(out, data=identity)  # compiles
    tracemalloc.start()
    predict(out, data=identity)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ROWS * ROWS * 4 / 2


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_features_out_of_the_range_of_their_type(scale):
    features = np.random.default_rng(0).random((200, 4)) * scale
    data = checked_graph("toy", None, features, np.arange(200) % 3)
    message = "^toy: the features of the training rows are all zero, or some overflow, in dtype="
    with pytest.raises(InputError, match=message):
        train(options("gsam", **SMALL, batch=20), data=data)
