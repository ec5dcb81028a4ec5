"""Predictions for the rows of a graph, which are never all dense."""

import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from sequences import TOKENS, VALUES, X, transformer

from admm import (
    LocalTransport,
    checked_graph,
    load_module,
    options,
    predict,
    train,
    train_subnetworks,
)
from admm.errors import InputError
from layers import Subnetwork, cnn, mlp

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


# Networks from disk, for new rows.


def make(outputs=2):
    return eqx.nn.MLP(5, outputs, 8, 2, key=jax.random.key(0))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    out = tmp_path_factory.mktemp("own")
    given = options("gsam", epochs=2, batch=40, loss="squared_error", workers=2, out=out)
    return train_subnetworks(given, data=(X, VALUES), network=make()), out


def test_ones_own_network_from_disk_predicts_new_rows(own):
    result, out = own
    new = jnp.asarray(X[::-1] + 1)
    found = jax.vmap(load_module(out, make()))(new)
    np.testing.assert_array_equal(found, jax.vmap(result.module())(new), strict=True)
    with pytest.raises(InputError, match="a network of one's own; pass it along, as network"):
        load_module(out)
    with pytest.raises(InputError, match=r"module 3 of .* has parameters .*; the network's has"):
        load_module(out, make(3))
    with pytest.raises(InputError, match="holds 3 modules; the network has 1"):
        load_module(out, [make()])


@pytest.mark.slow
def test_a_transformer_from_disk(tmp_path):
    given = options("gsadmm", epochs=1, batch=40, out=tmp_path)
    y = (TOKENS > 3).sum(axis=1) > 2
    result = train_subnetworks(given, data=(TOKENS, y), network=transformer())
    models = (
        eqx.nn.inference_mode(each)
        for each in (load_module(tmp_path, transformer()), result.module())
    )
    found, expected = (jax.vmap(model)(jnp.asarray(TOKENS[::2], "int32")) for model in models)
    np.testing.assert_array_equal(found, expected)


def test_networks_by_name_from_disk(run, identity, tmp_path):
    result, out = run
    rows = jnp.eye(ROWS)[:9]
    found = jax.vmap(load_module(out))(rows)
    np.testing.assert_array_equal(found, jax.vmap(result.module())(rows))
    again = load_module(out, mlp((ROWS,), 8, 3, 2))
    np.testing.assert_array_equal(jax.vmap(again)(rows), found)


@pytest.mark.slow
def test_an_image_network_from_disk_needs_its_shape(tmp_path):
    small = {"filters": 2, "hidden": 8, "epochs": 1}
    result = train(options("gsam", **small, network="cnn", out=tmp_path))
    with pytest.raises(
        InputError, match=r"no shape of an image; pass network=layers.cnn\(shape, 10"
    ):
        load_module(tmp_path)
    module = load_module(tmp_path, cnn((8, 8, 1), 10, filters=2, hidden=8))
    x = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    np.testing.assert_array_equal(jax.vmap(module)(x), jax.vmap(result.module())(x))


def test_runs_without_modules(own, tmp_path, admm):
    train(options(layers=2, hidden=8, epochs=1, out=tmp_path / "other"))
    with pytest.raises(InputError, match="was trained by pdadmm-g, which makes no module"):
        load_module(tmp_path / "other")
    done = admm("predict", own[1], "--out", tmp_path / "rows.csv")
    assert done.returncode == 2
    assert "'samples' are data in memory" in done.stderr
    assert "docs/own-network.md" in done.stderr
