"""What a saved network says of labelled nodes and of all, without the inputs of all at once."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import layers.hops
from admm import LocalTransport, checked_graph, evaluate, options, predict, train
from admm.datasets import load
from admm.errors import AdmmError, InputError
from admm.memory import Available
from admm.methods.layerwise.data import full_inputs
from layers import RELU, forward, hop_inputs

PARTS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(layers.hops, "_BLOCK_BYTES", 4 * 1797 * 10)  # ten columns of the digits


def expected_probabilities(given, data, network):
    """By the whole X."""
    inputs = hop_inputs(
        data.features,
        data.adjacency,
        np.arange(data.nodes),
        hops=given.hops,
        normalize=given.normalize,
        dtype=np.dtype(given.dtype).type,
    )
    network = [network[number] for number in sorted(network)]
    return jax.nn.softmax(forward(jax.device_put(network), jnp.asarray(inputs), RELU), axis=1)


@pytest.mark.parametrize(
    ("depth", "normalize"), [(1, "hops"), (2, "hops"), (3, "features"), (3, "none")]
)
def test_predictions_are_those_of_the_whole_inputs(depth, normalize, tmp_path):
    """With any number of workers: with as many as layers, the first has layer 1 alone."""
    data = load("digits")
    given = options("adam", layers=depth, hidden=12, epochs=8, normalize=normalize, out=tmp_path)
    expected = expected_probabilities(given, data, train(given).network)
    labels = np.asarray(expected).argmax(axis=1) == data.labels
    for workers in range(1, depth + 1):
        found = predict(tmp_path, LocalTransport(workers))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        scores = evaluate(tmp_path, LocalTransport(workers))
        for name, part in zip(PARTS, data.split, strict=True):
            assert scores[name] == pytest.approx(labels[part].mean(), abs=0.002)


def test_float64(tmp_path, x64):
    given = options(layers=2, hidden=12, epochs=3, dtype="float64", out=tmp_path)
    expected = expected_probabilities(given, load("digits"), train(given).network)
    np.testing.assert_allclose(predict(tmp_path), expected, rtol=1e-9, atol=1e-12)


def test_predictions_of_two_ranks(tmp_path, admm):
    given = options("adam", layers=2, hidden=12, epochs=5, out=tmp_path)
    expected = expected_probabilities(given, load("digits"), train(given).network)
    for ranks in (1, 2):
        out = tmp_path / f"{ranks}.npz"
        done = admm("predict", tmp_path, "--out", out, ranks=ranks)
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(np.load(out)["probabilities"], expected, rtol=1e-4, atol=1e-6)


def trial_graph(scale=1.0):
    """A graph of 200 nodes whose features know the class."""
    random = np.random.default_rng(0)
    nodes = 200
    labels = np.arange(nodes) % 4
    edges = sp.random(nodes, nodes, density=0.02, format="csr", random_state=0)
    edges.data[:] = 1
    features = random.normal(size=(nodes, 16)) + 4 * np.eye(16)[labels]
    return checked_graph("trial", edges, sp.csr_array(features * scale), labels)


@pytest.mark.parametrize("scale", [1e-25, 2.5e19, 1e-200, 1e200])
@pytest.mark.parametrize("normalize", ["hops", "features"])
def test_the_scale_of_the_features_does_not_matter(scale, normalize):
    data, scaled = trial_graph(), trial_graph(scale)
    np.testing.assert_array_equal(data.split.train, scaled.split.train)
    given = options(layers=2, hidden=16, normalize=normalize)
    one, other = (full_inputs(given, each)[1].rows for each in (data, scaled))
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("scale", "normalize"), [(1e-200, "hops"), (2.5e19, "features")])
def test_scaled_features_train_as_well(scale, normalize, tmp_path):
    data, scaled = trial_graph(), trial_graph(scale)
    given = options(layers=2, hidden=16, epochs=20, normalize=normalize)
    results = [train(replace(given, out=tmp_path), data=each) for each in (data, scaled)]
    best, same = (each.summary["best"]["test_accuracy"] for each in results)
    assert same == pytest.approx(best, abs=0.02)
    assert same > 0.9
    assert evaluate(tmp_path, data=scaled)["test"] == pytest.approx(same, abs=0.02)


def test_a_file_of_tiny_features_trains_as_well(tmp_path):
    """`tiny.npz` of a user: features of 1e-25, which float32 cannot square."""
    data = trial_graph()
    accuracies = []
    for name, scale in (("plain", 1.0), ("tiny", 1e-25)):
        features = data.features * scale
        np.savez(
            tmp_path / f"{name}.npz",
            labels=data.labels,
            **{f"adj_{k}": getattr(data.adjacency, k) for k in ("data", "indices", "indptr")},
            **{f"attr_{k}": getattr(features, k) for k in ("data", "indices", "indptr")},
            adj_shape=data.adjacency.shape,
            attr_shape=features.shape,
        )
        given = options(dataset=str(tmp_path / f"{name}.npz"), layers=2, hidden=16, epochs=20)
        accuracies.append(train(given).summary["best"]["test_accuracy"])
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.02)
    assert accuracies[1] > 0.9


@pytest.mark.parametrize("scale", [1e39, 1e200])
def test_features_that_overflow_unscaled_are_refused(scale):
    given = options(layers=2, hidden=8, normalize="none")
    message = (
        "^trial: the features overflow dtype=float32 with normalize=none; scale them down, or "
        "train with normalize=hops$"
    )
    with pytest.raises(InputError, match=message):
        full_inputs(given, trial_graph(scale))


def test_features_that_overflow_in_other_nodes_are_refused(tmp_path):
    """Nodes without a label are no part of training, and predicted all the same."""
    data = trial_graph()
    features, labels = data.features.toarray(), data.labels.copy()
    labels[7] = -1
    features[7] = 1e39
    data = checked_graph("trial", None, features, labels)
    train(options("adam", layers=2, hidden=8, epochs=2, normalize="none", out=tmp_path), data=data)
    assert evaluate(tmp_path, data=data)["train"] > 0
    with pytest.raises(InputError, match="the features overflow dtype=float32 with normalize=none"):
        predict(tmp_path, data=data)


def test_products_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    train(options("adam", layers=2, hidden=8, epochs=1, out=tmp_path))
    monkeypatch.setattr("admm.memory.available_memory", lambda: Available(2**18, "a test"))
    message = "^products of layer 1 on 1,797 nodes × 256 columns need 0.000268 GiB, but "
    with pytest.raises(AdmmError, match=message):
        predict(tmp_path)


def test_values_that_no_type_holds_are_an_error_of_the_data():
    features = np.ones((200, 3))
    features[0], features[1] = 1e-320, 1e308
    data = checked_graph("trial", None, features, np.arange(200) % 4)
    with pytest.raises(InputError, match="^trial: features and edge weights make values from 2"):
        full_inputs(options(layers=2), data)
