"""Runs of stochastic ADMM: every kind of data, predictions, rules and mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from admm import evaluate, options, predict, train
from admm.comm import LocalTransport
from admm.datasets import checked_samples, load, load_images
from admm.errors import InputError
from admm.methods.stochastic.share import load_share
from layers import forward

SMALL = {"layers": 3, "hidden": 16, "epochs": 3}


def friedman(rows=400, scale=1.0, shift=0.0):
    x, y = make_friedman1(rows, 10, noise=1.0, random_state=0)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return checked_samples(x, scale * y + shift, validation=0.2, test=0.2)


def outputs(network, x):
    return np.asarray(forward([network[n] for n in sorted(network)], jnp.asarray(x), jax.nn.relu))


@pytest.mark.parametrize("kind", ["graph", "images", "numbers", "labels"])
def test_a_saved_network_scores_and_predicts_as_in_training(kind, tmp_path):
    given = {**SMALL, "solver": "sadmm", "out": tmp_path, "workers": 2}
    data = {
        "graph": lambda: load("digits"),
        "images": lambda: load_images("digits"),
        "numbers": friedman,
        "labels": lambda: checked_samples(
            np.random.default_rng(0).normal(size=(200, 4)),
            (np.random.default_rng(0).normal(size=(200, 4)) > 0)[:, :2],
            validation=0.2,
            test=0.2,
        ),
    }[kind]()
    loss = "squared_error" if kind == "numbers" else "cross_entropy"
    result = train(options(loss=loss, **given), data=data)
    best = result.summary["best"]
    found = evaluate(tmp_path, data=data)
    score = "test_r2" if kind == "numbers" else "test_accuracy"
    assert found["test"] == pytest.approx(best[score], abs=1e-5)
    predicted = predict(tmp_path, data=data)
    if kind == "numbers":
        np.testing.assert_allclose(
            predicted, outputs(result.network, data.inputs.astype("float32"))[:, 0], rtol=1e-4
        )
    assert len(predicted) == len(getattr(data, "labels", getattr(data, "targets", ())))
    assert best[score] > {"graph": 0.6, "images": 0.8, "numbers": 0.5, "labels": 0.9}[kind]


def test_numbers_are_learned_whatever_their_scale():
    given = options("sadmm", loss="squared_error", **SMALL)
    plain = train(given, data=friedman()).summary["best"]["val_r2"]
    scaled = train(given, data=friedman(scale=1e4, shift=-3e5)).summary["best"]["val_r2"]
    assert scaled == pytest.approx(plain, abs=1e-3)


def test_training_rows_are_the_first():
    given = options("sadmm", rows=50, **SMALL)
    share = load_share(given, LocalTransport(1), load_images("digits"))
    assert share.facts.task.sizes == (50, 300, 300)
    with pytest.raises(InputError, match="rows=5000 is more than the 1,197 training"):
        load_share(options("sadmm", rows=5000, **SMALL), LocalTransport(1), load_images("digits"))


@pytest.mark.parametrize(
    ("rows", "layers", "sizes"),
    # An epoch of 200 rows is four passes; of ten layers a W-step has 18 micro-batches.
    [(200, 10, (5, 5)), (3000, 10, (10, 10)), (3000, 32, (5, 5)), (55_000, 10, (10, 100))],
)
def test_the_size_of_micro_batches_follows_from_rows_and_depth(rows, layers, sizes):
    many = checked_samples(
        np.random.default_rng(0).normal(size=(57_000, 2)),
        np.arange(57_000) % 2,
        validation=0.01,
        test=0.01,
    )
    given = options("sadmm", layers=layers, rows=rows)
    data = many if rows > 1000 else load("digits")
    share = load_share(given, LocalTransport(1), data, shapes_only=True)
    first, last = share.epoch(1), share.epoch(given.epochs)
    assert (first.size, last.size) == sizes
    assert first.batches * first.size >= max(rows, 700)
    assert min(map(len, first.groups)) >= 2 * (layers - 1)


def test_a_given_size_holds():
    given = options("sadmm", batch=(7, 30), **SMALL)
    share = load_share(given, LocalTransport(1), load("digits"), shapes_only=True)
    assert [share.epoch(n).size for n in (1, 2, 3)] == [7, 7, 30]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": (0,)}, "batch= must be whole numbers, at least 1 each"),
        ({"batch": ()}, "batch= must be whole numbers, at least 1 each"),
        ({"rate": 0}, "rate= must be positive and finite, got 0"),
        ({"decay": -1}, "decay= must be finite and ≥ 0, got -1"),
        ({"dropout": 1}, r"dropout= must be in \[0, 1\), got 1"),
        ({"subnetworks": 4}, "got subnetworks=4 for 3 layers; every subnetwork needs at least one"),
        ({"codec_down": "float64"}, "codec_down=float64 needs dtype=float64"),
        ({"damping": 0}, "damping= must be positive"),
        ({"codec": "delta4"}, "codec= must be one of float64, float32, bfloat16"),
        ({"codec_down": "levels"}, "codec_down= must be one of float64, float32"),
    ],
)
def test_options_that_do_not_fit_are_told(changes, message):
    with pytest.raises(InputError, match=message):
        options("sadmm", **{**SMALL, **changes})


def test_more_workers_than_subnetworks_are_told():
    with pytest.raises(InputError, match="got 3 workers for 2 subnetworks"):
        train(options("sadmm", workers=3, subnetworks=2, **SMALL))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 2000}, "batch=2000 is larger than the data: 1197 training rows"),
        ({"hops": 2}, "hops=2 is for graphs; digits has rows without edges"),
        ({"normalize": "none"}, "normalize=none is for graphs"),
    ],
)
def test_options_that_images_do_not_have_are_told(changes, message):
    with pytest.raises(InputError, match=message):
        train(options("sadmm", **{**SMALL, **changes}))


@pytest.mark.parametrize("rows", [1, 12, 40])
def test_few_rows_are_learned(rows):
    """Of two inputs out of three, without noise; the decay is that of the epoch."""
    x = np.random.default_rng(0).normal(size=(rows + 60, 3))
    y = 2 * x[:, 0] + x[:, 1]
    data = checked_samples(
        x[:rows], y[:rows], validation=(x[rows:-30], y[rows:-30]), test=(x[-30:], y[-30:])
    )
    result = train(options("sadmm", loss="squared_error", layers=3, hidden=16), data=data)
    assert np.isfinite([line["objective"] for line in result.history]).all()
    if rows > 1:
        assert result.history[-1]["test_r2"] > {12: 0.5, 40: 0.9}[rows]


def test_numbers_need_samples():
    for data in (load("digits"), load_images("digits")):
        with pytest.raises(InputError, match="is for samples with real numbers as targets"):
            train(options("sadmm", loss="squared_error", **SMALL), data=data)


def test_the_way_down_may_have_another_codec():
    given = options("sadmm", codec="uniform8", codec_down="uniform4", workers=2, **SMALL)
    summary = train(given).summary
    q, g = (summary["bytes"]["by_variable"][name] for name in ("q", "g"))
    assert g < 0.6 * q < q
    assert summary["options"]["codec_down"] == "uniform4"


def test_dropout_is_for_few_rows_and_of_their_own_columns(data_dir):
    """Of 140 rows of 5,732 columns, not of the 140 columns of their basis."""
    given = {**SMALL, "epochs": 1, "hops": 1}
    few = options("sadmm", dataset="cora", data_dir=data_dir, **given)
    share = load_share(few, LocalTransport(1), None)
    assert share.dropped.shape == (140, 1433)
    assert share.rows.shape[1] == share.basis.shape[1] == 140
    assert train(few).summary["dropout"] == 0.5
    assert train(options("sadmm", **SMALL)).summary["dropout"] == 0.0
