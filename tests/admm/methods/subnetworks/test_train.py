"""train_subnetworks: data, network, loss and optimiser of one's own, alone and on ranks."""

import json
import os
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sequences import CASES, ROWS, TOKENS, VALUES, X
from sklearn.metrics import r2_score, roc_auc_score

from admm import (
    LocalTransport,
    checked_samples,
    evaluate,
    options,
    patience,
    predict,
    resumed,
    train,
    train_subnetworks,
)
from admm.errors import DivergedError, InputError
from layers import from_modules, split_model

CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
GIVEN = {"epochs": 3, "batch": 40, "lr": 1e-2}


def mlp(outputs, inputs=5):
    return eqx.nn.MLP(inputs, outputs, 16, 3, key=jax.random.key(0))


def huber(outputs, targets):
    return optax.huber_loss(outputs, targets).sum(axis=1)


def same_lines(some, others, apart=("seconds", "iterate_seconds", "bytes_sent")):
    for one, other in zip(some, others, strict=True):
        assert {n: v for n, v in one.items() if n not in apart} == {
            n: v for n, v in other.items() if n not in apart
        }


def same_arrays(some, others):
    jax.tree.map(
        np.testing.assert_array_equal,
        eqx.filter(some, eqx.is_inexact_array),
        eqx.filter(others, eqx.is_inexact_array),
    )


# Tasks.


def test_regression(tmp_path):
    """R² in the history picks the best network, and is that of scikit-learn."""
    given = options("gsam", **GIVEN, loss="squared_error", out=tmp_path)
    samples = checked_samples(X, VALUES, validation=0.25, test=0.25)
    result = train_subnetworks(given, data=(X, VALUES), validation=0.25, test=0.25, network=mlp(2))
    best = result.summary["best"]
    assert best == max(result.history, key=lambda line: line["val_r2"])
    assert not any("accuracy" in name for name in best)
    found = predict(tmp_path, data=samples, network=mlp(2))
    scores = evaluate(tmp_path, LocalTransport(2), data=samples, network=mlp(2))
    outputs = jax.vmap(result.module())(jnp.asarray(X))
    np.testing.assert_allclose(found, outputs, rtol=1e-4, atol=1e-5)
    for part, rows in zip(("train", "val", "test"), samples.split, strict=True):
        expected = r2_score(VALUES[rows], found[rows])
        assert scores[part] == pytest.approx(expected, abs=1e-4)
        assert best[f"{part}_r2"] == pytest.approx(expected, abs=1e-4)
        loss = 0.5 * ((found[rows] - VALUES[rows]) ** 2).sum(axis=1).mean()
        assert best[f"{part}_loss"] == pytest.approx(loss, rel=1e-4)
        assert scores[f"{part}_loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    ("model", "shape"),
    [(mlp(1), ()), ("mlp", (3, 2))],
    ids=["one", "named"],
)
def test_targets_of_any_shape(model, shape, tmp_path):
    y = np.random.default_rng(0).normal(size=(ROWS, *shape))
    samples = checked_samples(X, y)
    small = {"layers": 3, "hidden": 8} if model == "mlp" else {}
    given = options("gsadmm", **GIVEN, **small, loss="squared_error", network=model, out=tmp_path)
    result = train(given, data=samples)
    losses = [line["train_loss"] for line in result.history]
    assert losses[-1] < losses[0]
    again = {} if model == "mlp" else {"network": model}
    found = predict(tmp_path, data=samples, **again)
    assert found.shape == (ROWS, *shape)
    rows = samples.split.val
    flat = (y[rows].reshape(len(rows), -1), found[rows].reshape(len(rows), -1))
    assert result.summary["best"]["val_r2"] == pytest.approx(r2_score(*flat), abs=1e-4)


@pytest.mark.parametrize(
    "names",
    [pytest.param(None, marks=pytest.mark.slow), ["a", "b", "c"]],
    ids=["numbers", "text"],
)
def test_classes(names, tmp_path):
    y = CLASSES if names is None else np.array(names)[CLASSES]
    given = options("gsam", **GIVEN, out=tmp_path)
    result = train_subnetworks(given, data=(X, y), network=mlp(3))
    best, dataset = result.summary["best"], result.summary["dataset"]
    assert best["val_accuracy"] > 0.5
    assert not {"test_accuracy", "val_loss"} & set(best)  # there is no test
    assert dataset.get("class_names") == names
    assert (dataset["classes"], dataset["train"], dataset["test"]) == (3, ROWS - 24, 0)
    found = predict(tmp_path, data=checked_samples(X, y), network=mlp(3))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_the_loss_picks_where_asked_to():
    given = options("gsam", **GIVEN, pick="loss")
    result = train_subnetworks(given, data=(X, np.array(["a", "b", "c"])[CLASSES]), network=mlp(3))
    best = result.summary["best"]
    assert best == min(result.history, key=lambda line: line["val_loss"])
    assert {"train_loss", "val_accuracy", "val_loss"} <= set(best)


def test_several_labels(tmp_path):
    """Each on its own: sigmoids, and a label that a part has one kind of is left out of the AUC."""
    y = np.stack([X[:, 0] > 0, X[:, 1] > 1, np.zeros(ROWS)], axis=1)
    samples = checked_samples(X, y, validation=0.5)
    given = options("gsadmm", **GIVEN, network=mlp(3), out=tmp_path)
    result = train(given, data=samples)
    found = predict(tmp_path, data=samples, network=mlp(3))
    rows, best = samples.split.val, result.summary["best"]
    assert best["val_accuracy"] == pytest.approx(((found > 0.5) == y)[rows].mean())
    areas = [roc_auc_score(y[rows, n], found[rows, n]) for n in (0, 1)]
    assert best["val_roc_auc"] == pytest.approx(np.mean(areas))
    logits = jax.vmap(result.module())(jnp.asarray(X))
    np.testing.assert_allclose(found, jax.nn.sigmoid(logits), rtol=1e-4)


def test_a_loss_of_ones_own_picks_the_lowest(tmp_path):
    given = options("gsadmm", **GIVEN, out=tmp_path)
    result = train_subnetworks(given, data=(X, VALUES), network=mlp(2), loss=huber)
    best = result.summary["best"]
    assert best == min(result.history, key=lambda line: line["val_loss"])
    assert result.summary["options"]["loss"] == "own"
    samples = checked_samples(X, VALUES)
    found = predict(tmp_path, data=samples, network=mlp(2))
    rows = samples.split.val
    loss = float(huber(jnp.asarray(found[rows]), jnp.asarray(VALUES[rows])).mean())
    assert best["val_loss"] == pytest.approx(loss, rel=1e-4)
    scores = evaluate(tmp_path, data=samples, network=mlp(2), loss=huber)
    assert scores == pytest.approx({"train_loss": best["train_loss"], "val_loss": loss}, rel=1e-4)
    with pytest.raises(InputError, match="there was a loss of one's own; pass it along, as loss"):
        evaluate(tmp_path, data=samples, network=mlp(2))


def test_a_loss_of_ones_own_on_images():
    """Their labels are classes, whatever the loss."""

    def smoothed(logits, labels):
        wanted = optax.smooth_labels(jax.nn.one_hot(labels, 10), 0.1)
        return optax.softmax_cross_entropy(logits, wanted)

    given = {"layers": 2, "hidden": 16, "epochs": 2, "batch": 171, "lr": 1e-2}
    result = train(options("gsam", **given, loss=smoothed))
    best = result.summary["best"]
    assert best == min(result.history, key=lambda line: line["val_loss"])
    assert best["test_accuracy"] > 0.3


def test_patience_of_a_loss():
    stop = patience(2, "val_loss")
    values = enumerate((3.0, 2.0, 1.0, 1.5, 1.0))
    found = [stop({"stage": 0, "epoch": n, "val_loss": x}) for n, x in values]
    assert found == [False, False, False, False, True]


# Optimisers.


def decayed(params):
    return jax.tree.map(lambda leaf: "decayed" if leaf.ndim > 1 else "rest", params)


OPTIMIZERS = {
    "schedule": lambda: optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-2, 15))
    ),
    "parts": lambda: optax.multi_transform(
        {"decayed": optax.adamw(1e-2, weight_decay=0.1), "rest": optax.sgd(1e-2, momentum=0.9)},
        decayed,
    ),
    "own parameters": lambda: optax.contrib.schedule_free_sgd(1e-2),
}


@pytest.mark.parametrize(
    "name", ["schedule", *(pytest.param(n, marks=pytest.mark.slow) for n in [*OPTIMIZERS][1:])]
)
def test_any_optimiser_goes_on_bit_for_bit(name, tmp_path):
    objects = {"network": mlp(2), "optimizer": OPTIMIZERS[name](), "loss": huber}
    given = {"epochs": 4, "batch": 40, "workers": 2}
    whole = train_subnetworks(options("gsam", **given), data=(X, VALUES), **objects)
    first = options("gsam", **{**given, "epochs": 2}, out=tmp_path)
    train_subnetworks(first, data=(X, VALUES), **objects)
    again = train_subnetworks(resumed(tmp_path, epochs=4), data=(X, VALUES), **objects)
    same_lines(again.history, whole.history)
    same_arrays(again.network, whole.network)
    assert again.history[-1]["train_loss"] < again.history[0]["train_loss"]
    del objects["optimizer"]
    with pytest.raises(InputError, match="an optimiser of one's own; pass it along, as optimizer"):
        train_subnetworks(resumed(tmp_path, epochs=5), data=(X, VALUES), **objects)


def test_the_optimiser_is_that_of_optax():
    """One subnetwork, whole batches: weight decay and schedule as by hand."""
    optimizer = optax.adamw(optax.linear_schedule(1e-2, 1e-3, 3), weight_decay=0.1)
    given = options("gsam", subnetworks=1, epochs=3, batch=216)
    result = train_subnetworks(
        given, data=(X, VALUES), network=mlp(2), optimizer=optimizer, loss=huber
    )
    samples = checked_samples(X, VALUES)
    x, y = (jnp.asarray(each[samples.split.train]) for each in (X, VALUES))
    model = mlp(2)
    memory, losses = optimizer.init(eqx.filter(model, eqx.is_inexact_array)), []
    for _ in range(3):
        _, gradients = eqx.filter_value_and_grad(lambda model: huber(jax.vmap(model)(x), y).mean())(
            model
        )
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = optimizer.update(
                gradients, memory, eqx.filter(model, eqx.is_inexact_array)
            )
        model = eqx.apply_updates(model, updates)
        losses.append(float(huber(jax.vmap(model)(x), y).mean()))
    assert [line["train_loss"] for line in result.history] == pytest.approx(losses, rel=1e-4)


def test_divergence_with_an_optimiser_of_ones_own_has_no_remedy(tmp_path):
    given = options("gsam", epochs=3, batch=40, out=tmp_path, loss="squared_error")
    with pytest.raises(DivergedError, match="try a smaller learning rate"):
        train_subnetworks(given, data=(X, VALUES), network=mlp(2), optimizer=optax.sgd(1e10))
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "diverged"


# Networks of all kinds, on workers and ranks.


def run_case(name, workers, **given):
    make, x, y, loss = CASES[name]
    settings = {"epochs": 3, "batch": 40, "lr": 1e-2, "loss": loss, "cuts": (1,), **given}
    given = options("gsadmm", workers=workers, **settings)
    return train_subnetworks(given, data=(x, y), network=make())


@pytest.fixture(scope="module")
def alone():
    """Every network's result with one worker, made when asked for."""
    return cache(lambda name: run_case(name, 1))


def close(some, others, rtol=1e-4):
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"seconds", "iterate_seconds", "bytes_sent"}:
            assert one[name] == pytest.approx(other[name], rel=rtol), name


def cases(fast):
    return [pytest.param(name, marks=[] if name == fast else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", cases("dropout"))
def test_networks_learn_alike_on_any_number_of_workers(alone, name):
    history = alone(name).history
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    together = run_case(name, 2)
    assert together.summary["bytes"]["sent"] > 0
    close(together.history, history)
    for one, other in zip(arrays_of(together), arrays_of(alone(name)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def arrays_of(result):
    return jax.tree.leaves(eqx.filter(result.module(), eqx.is_inexact_array))


RANKS = """
import json, sys
import equinox as eqx, jax
from admm import options, train_subnetworks
from admm.comm import MPITransport, launch
from sequences import CASES

transport = MPITransport(launch.world())
make, x, y, loss = CASES[sys.argv[1]]
given = options("gsadmm", epochs=3, batch=40, lr=1e-2, loss=loss, cuts=(1,))
data = (x, y) if transport.is_root else None
result = train_subnetworks(given, transport, data=data, network=make())
assert len(result.network) < result.summary["final"]["modules"]
arrays = jax.tree.leaves(eqx.filter(result.module(), eqx.is_inexact_array))
sums = [float(abs(array).sum()) for array in arrays]
assert transport.gather(sums) == [sums, sums]
if transport.is_root:
    print(json.dumps([result.history, sums]))
transport.close()
"""


@pytest.mark.parametrize("name", cases("transformer"))
def test_networks_learn_alike_on_ranks(alone, mpi_python, name):
    tests = Path(__file__).parents[3]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    done = mpi_python(RANKS, name, ranks=2, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    history, sums = json.loads(done.stdout)
    close(history, alone(name).history)
    assert sums == pytest.approx(
        [float(abs(each).sum()) for each in arrays_of(alone(name))], rel=1e-3
    )


def test_a_run_with_dropout_goes_on_bit_for_bit(alone, tmp_path):
    make, x, y, _ = CASES["dropout"]
    run_case("dropout", 1, epochs=2, out=tmp_path)
    again = train_subnetworks(resumed(tmp_path, epochs=3), data=(x, y), network=make())
    same_lines(again.history, alone("dropout").history)
    same_arrays(again.network, alone("dropout").network)


def test_an_evaluation_drops_nothing(alone, tmp_path):
    """A seed changes what is dropped in training; the network trained says the same each time."""
    other = run_case("dropout", 1, seed=1, out=tmp_path)
    first = alone("dropout")
    assert other.history[0]["objective"] != pytest.approx(first.history[0]["objective"], rel=1e-3)
    make, x, y, _ = CASES["dropout"]
    found = predict(tmp_path, data=checked_samples(x, y), network=make())
    model = eqx.nn.inference_mode(other.module())
    np.testing.assert_allclose(found, jax.vmap(model)(jnp.asarray(x)), rtol=1e-4, atol=1e-5)
    rows = checked_samples(x, y).split.val
    assert other.summary["best"]["val_r2"] == pytest.approx(
        r2_score(y[rows], found[rows]), abs=1e-4
    )


def test_every_module_has_a_key_of_every_sample_and_epoch():
    """The same in both evaluations of a sample, and whatever batch it is in."""
    seen = {}

    class Noting(eqx.Module):
        def __call__(self, x, *, key=None):
            if key is not None:
                jax.debug.callback(note, x, jax.random.key_data(key))
            return x

    def note(x, key):
        seen.setdefault(key.tobytes(), []).append(float(x[0]))

    x = np.arange(20.0, dtype="float32")[:, None]
    given = {"epochs": 2, "validation": 0.1, "loss": "squared_error", "cuts": (1,)}
    found = []
    for batch in (4, 6):
        seen.clear()
        network = [Noting(), Noting(), lambda x: x * 1.0]
        settings = {n: v for n, v in given.items() if n != "validation"}
        train_subnetworks(options("gsam", **settings, batch=batch), data=(x, x), network=network)
        jax.effects_barrier()
        found.append({key: set(values) for key, values in seen.items()})
        assert all(len(values) == 1 for values in found[-1].values())
        assert len(seen) == 2 * 2 * 18  # modules, epochs, training samples
    assert found[0] == found[1]


def test_the_module_is_tuned_further(alone):
    """With optax, in ten lines."""
    _, x, y, _ = CASES["transformer"]
    model, optimizer = alone("transformer").module(), optax.adam(3e-3)
    memory = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    x, y = jnp.asarray(x), jnp.asarray(y, "int32")

    @eqx.filter_value_and_grad
    def loss(model, keys):
        logits = jax.vmap(lambda x, key: model(x, key=key))(x, keys)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    losses = []
    for epoch in range(5):
        value, gradients = loss(model, jax.random.split(jax.random.key(epoch), len(x)))
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = optimizer.update(gradients, memory)
        model = eqx.apply_updates(model, updates)
        losses.append(float(value))
    assert losses[-1] < losses[0] < float(np.log(2))


def test_a_result_is_pickled_with_its_module():
    given = options("gsam", **GIVEN, loss="squared_error", layers=3, hidden=8, workers=2)
    result = train_subnetworks(given, data=(X, VALUES))
    again = pickle.loads(pickle.dumps(result))
    assert again.history == result.history
    outputs = jax.vmap(again.module())(jnp.asarray(X))
    np.testing.assert_array_equal(outputs, jax.vmap(result.module())(jnp.asarray(X)))
    best = result.summary["best"]["train_loss"]
    rows = checked_samples(X, VALUES).split.train
    assert 0.5 * ((outputs - VALUES) ** 2)[rows].sum(axis=1).mean() == pytest.approx(best, rel=1e-4)


def test_the_parameters_given_are_those_that_train_first():
    model = mlp(2)
    given = options("gsam", epochs=1, batch=40, loss="squared_error")
    result = train_subnetworks(given, data=(X, VALUES), network=model, optimizer=optax.sgd(0.0))
    outputs = jax.vmap(result.module())(jnp.asarray(X))
    np.testing.assert_array_equal(outputs, jax.vmap(model)(jnp.asarray(X)))
    assert len(split_model(model)) == result.summary["final"]["modules"] == 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types(dtype, x64):
    given = options("gsadmm", **GIVEN, workers=2, dtype=dtype, loss="squared_error")
    result = train_subnetworks(given, data=(X.astype("float64"), VALUES), network=mlp(2))
    arrays = jax.tree.leaves(eqx.filter(result.module(), eqx.is_inexact_array))
    assert {array.dtype.name for array in arrays} == {dtype}


# What is wrong.


def nan(array):
    return np.where(np.arange(len(array))[:, None] == 3, np.nan, array)


def stateful():
    return [eqx.nn.Linear(5, 2, key=jax.random.key(0)), eqx.nn.BatchNorm(2, "batch", mode="batch")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": (nan(X), VALUES)}, "X of data has NaN or infinity in 1 of 240 rows, row 3 the f"),
        ({"data": (X, nan(VALUES))}, "y of data has NaN or infinity in 1 of 240 rows, row 3 the f"),
        ({"data": (X[:9], VALUES)}, "X of data has 9 rows, y has 240; expected as many"),
        ({"data": (X[:0], VALUES[:0])}, "X of data is empty, of shape (0, 5); expected a row for"),
        ({"data": (list("ab"), [0, 1])}, "X of data must be numbers, got <U1"),
        ({"data": X}, "data= must be a pair (X, y), got ndarray"),
        ({"data": [X, VALUES, VALUES]}, "data= must be a pair (X, y), got list of 3"),
        ({"validation": [X]}, "validation= must be a pair (X, y), got 1 things"),
        ({"validation": np.float32(2)}, "in (0, 1) or a pair (X, y), got np.float32(2.0)"),
        ({"validation": 0.001}, "validation=0.001 of 240 samples is none; give more"),
        ({"validation": 2}, "validation= must be a fraction of the samples in (0, 1) or a pair"),
        ({"validation": (X[:0], VALUES[:0])}, "X of validation is empty, of shape (0, 5)"),
        ({"validation": 0.5, "test": 0.499}, "leave none of 240 samples to train on"),
        (
            {"test": (X[:, :4], VALUES)},
            "test= has samples and targets of shapes ((4,), (2,)); those of data have ((5,), (2,))",
        ),
        (
            {"data": (X.astype(float) * 1e60, VALUES)},
            "samples: some inputs overflow float32; scale them",
        ),
        ({"network": mlp(3)}, "the last module returns (3,); expected (2,), as the targets"),
        ({"network": mlp(2, 4)}, "module 0 (_Hidden) does not take a sample of shape (5,): "),
        ({"network": jnp.ravel}, "a model that can be cut, got "),
        (
            {"network": mlp(2).layers[0]},
            "a Linear cannot be cut: pass its modules, each a function",
        ),
        (
            {"network": stateful()},
            "module 1 (BatchNorm) keeps a state from batch to batch, and mod",
        ),
        (
            {
                "data": (TOKENS[:, :5], VALUES),
                "network": from_modules([lambda x: x[:2]] * 2, (5,), "float32", "int32"),
            },
            "module 0 (<lambda>) returns int32 for a sample of int32; expected float32",
        ),
        (
            {"network": from_modules([lambda x: x[:2]] * 2, (5,), "float32", "int32")},
            "takes samples of shape (5,) in int32; memory:samples has (5,) in float32",
        ),
        ({"loss": "hinge"}, "loss= must be one of cross_entropy, squared_error, got 'hinge'"),
        ({"loss": 3}, "loss= must be one of cross_entropy, squared_error or a function of outputs"),
        (
            {"loss": lambda outputs, targets: outputs - targets},
            "of outputs (216, 2) and targets (216, 2) returns ",
        ),
        (
            {"loss": lambda outputs, targets: (outputs - targets).sum()},
            "; expected floats of shape (216,), one for each sample",
        ),
        ({"loss": lambda outputs: outputs}, "of outputs (216, 2) and targets (216, 2) fails: "),
        (
            {"loss": huber, "network": None},
            "network=mlp has outputs for the targets, and a loss of",
        ),
        ({"loss": "cross_entropy"}, "targets of loss=cross_entropy are classes, of shape (240,), "),
        (
            {"loss": "cross_entropy", "data": (X, X[:, 0])},
            "targets are real numbers, and loss=cross_entropy is for classes; loss=squared_error ",
        ),
        ({"data": (X, list("ab") * 120)}, "targets are text or other objects, of shape (240,); "),
        ({"optimizer": "adamw"}, "optimizer= must be one of gd, adadelta, adagrad, adam, got 'ada"),
        ({"optimizer": optax.adam}, "or an optax.GradientTransformation, such as optax.adam(1e-3)"),
        ({"optimizer": optax.lbfgs()}, "optimizer= does not take the parameters of modules 1–"),
        ({"optimizer": optax.adam(1e-2), "lr": 1e-2}, "lr= is not for an optimiser of one's own"),
        # The default of an optimiser by name, but given.
        ({"optimizer": optax.adam(1e-2), "lr": 1e-3}, "lr= is not for an optimiser of one's own"),
    ],
)
def test_what_cannot_be_trained(changes, message):
    given = {"data": (X, VALUES), "network": mlp(2), "loss": "squared_error", **changes}
    lr = {"lr": given.pop("lr")} if "lr" in given else {}
    with pytest.raises(InputError) as error:
        train_subnetworks(options("gsam", batch=40, epochs=1, **lr), **given)
    assert message in str(error.value)


def test_a_learning_rate_that_is_not_given_follows_from_the_name():
    given = options("gsam")
    for optimizer, rate in (("gd", 0.1), ("adam", 1e-3), (optax.sgd(0.2), None)):
        now = replace(given, optimizer=optimizer)
        assert (now.learning_rate, now.as_json()["lr"]) == (rate, rate)
    assert replace(given, lr=0.5).learning_rate == 0.5


def test_lists_and_numbers_of_numpy_are_plain():
    given = options("gsam", epochs=1, batch=40, loss="squared_error")
    for fraction in (np.float32(0.25), np.float64(0.25)):
        one = checked_samples(X, VALUES, validation=fraction, test=fraction)
        assert [len(part) for part in one.split] == [120, 60, 60]
    pairs = {"data": (X, VALUES), "validation": (X[:20], VALUES[:20]), "test": (X[:9], VALUES[:9])}
    as_lists = {part: list(pair) for part, pair in pairs.items()}
    of_pairs, of_lists = (
        train_subnetworks(given, network=mlp(2), **each) for each in (pairs, as_lists)
    )
    same_lines(of_lists.history, of_pairs.history)
    assert of_lists.summary["dataset"]["train"] == ROWS


def test_other_options_and_data():
    with pytest.raises(InputError, match="expected options of gsadmm or gsam, got PDADMMGOptions"):
        train_subnetworks(options(), data=(X, VALUES))
    with pytest.raises(InputError, match="squared_error is for samples with real numbers as targ"):
        train(options("gsam", loss="squared_error"))
    with pytest.raises(
        InputError, match=r"Samples of .*, got a list; checked_samples\(X, y\) makes"
    ):
        train(options("gsam"), data=[X, VALUES])
    result = train(options(layers=2, hidden=8, epochs=1))
    with pytest.raises(
        InputError, match="this method makes no module; the layers are in `network`"
    ):
        result.module()


WRONG = """
import sys
import numpy as np
from admm import options, train_subnetworks
from admm.comm import MPITransport, launch
from admm.errors import InputError

transport = MPITransport(launch.world())
x = np.full((50, 3), np.nan) if transport.is_root else None
try:
    train_subnetworks(options("gsam"), transport, data=(x, x))
except InputError as error:
    print(error)
transport.close()
"""


def test_wrong_data_of_the_root_end_all_ranks(mpi_python):
    done = mpi_python(WRONG, ranks=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("X of data has NaN or infinity in 50 of 50 rows") == 2


def test_other_data_do_not_go_on(tmp_path):
    given = options("gsam", epochs=1, batch=40, out=tmp_path, loss="squared_error")
    train_subnetworks(given, data=(X, VALUES), network=mlp(2))
    for changes in ({"data": (X + 1, VALUES)}, {"data": (X, VALUES + 1)}, {"validation": 0.2}):
        with pytest.raises(InputError, match="the data are not those that .* was trained on"):
            train_subnetworks(
                resumed(tmp_path, epochs=2), **{"data": (X, VALUES), "network": mlp(2), **changes}
            )
