"""Predicted rows in training: whoever owns the parts, and after a restart."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from admm import estimate, options, resumed, train
from admm.errors import InputError
from tests.graphs import bits, given, start

PREDICTORS = {
    "ar": {"predictor": "ar"},
    "residual": {"predictor": "lstm-gcn", "order": "end"},
    "absolute": {"predictor": "lstm-gcn", "form": "absolute", "codec": "delta4"},
}
every_predictor = pytest.mark.parametrize("name", PREDICTORS)
RUN = {"halo": "stale", "interval": 2, "epochs": 5, "workers": 2, "hidden": 8, "parts": 3}
RUN |= {"partition": "bfs"}


def predicted(name, **changes):
    return given("fresh", **{"interval": 2, "lr": 0.05, **PREDICTORS[name], **changes})


def trained(options, workers=1, epochs=5):
    training = start(options, workers=workers)
    lines = []
    for epoch in range(1, epochs + 1):
        training.epoch(epoch, True)
        lines.append(training.measure())
    return training, lines


@every_predictor
def test_rows_do_not_depend_on_who_owns_the_parts(name):
    found = [trained(predicted(name, dropout=0.5), workers) for workers in (1, 2, 3)]
    (alone, lines), *others = found
    for together, same in others:
        assert bits(together) == bits(alone)
        for one, other in zip(lines, same, strict=True):
            assert dict(one) == pytest.approx(dict(other), rel=1e-6)


@every_predictor
def test_predictions_move_the_iterates(name):
    """They are told beside the staleness of the rows that they are made from."""
    made = predicted(name, order="fresh")
    training, lines = trained(made, epochs=6)
    plain, stale = trained(given("fresh", interval=2, lr=0.05, codec=made.codec), epochs=6)
    for number in (1, 2):
        assert lines[0][f"staleness_{number}"] == stale[0][f"staleness_{number}"]
        assert lines[0][f"prediction_{number}"] == 1  # the rows of now need no prediction
        assert lines[-1][f"prediction_{number}"] not in (0, 1)
        assert f"prediction_{number}" not in stale[0]
    network = [np.asarray(each.network()[2].W) for each in (training, plain)]
    assert not np.array_equal(*network)
    assert np.isfinite(network).all()


@every_predictor
def test_a_saved_state_goes_on_bit_for_bit(name, x64):
    made = predicted(name, dtype="float64", dropout=0.5)
    whole, _ = trained(made, epochs=7)
    for stop in (2, 3):  # in the middle of a round, and at its end
        first, _ = trained(made, workers=3, epochs=stop)
        states = {n: jax.tree.map(np.array, each) for n, each in first.state().items()}
        again = start(made, workers=2)
        again.restore(states.__getitem__, None)
        for epoch in range(stop + 1, 8):
            again.epoch(epoch, False)
        assert bits(again) == bits(whole)


@pytest.mark.parametrize(
    "name", ["ar", "residual", pytest.param("absolute", marks=pytest.mark.slow)]
)
def test_a_run_is_known_before_it_and_goes_on(name, tmp_path):
    made = options("partitions", **{**RUN, **PREDICTORS[name], "checkpoint_every": 0})
    whole = train(made)
    train(replace(made, epochs=3, out=tmp_path))
    again = train(resumed(tmp_path, epochs=5))
    jax.tree.map(np.testing.assert_array_equal, again.network, whole.network)
    found = estimate(made)
    assert found.bytes_by_variable == whole.summary["bytes"]["by_variable"]
    newest = max((tmp_path / "checkpoints").iterdir())
    arrays = [array for path in newest.glob("*.npz") for array in np.load(path).values()]
    saved = sum(array.nbytes for array in arrays)
    assert sum(each.checkpoint_bytes for each in found.stages[-1].workers) == saved


def test_one_part_has_nothing_to_predict():
    training, (line, *_) = trained(predicted("residual", parts=1))
    assert (line["staleness_1"], line["prediction_1"]) == (0, 0)
    plain, _ = trained(given("drop", lr=0.05, parts=1))
    jax.tree.map(np.testing.assert_array_equal, training.network(), plain.network())


def test_sat_is_a_preset():
    made = options("sat")
    assert (made.halo, made.predictor, made.form) == ("stale", "lstm-gcn", "absolute")
    assert options("partitions", halo="stale").predictor == "none"
    assert options("partitions", halo="stale", predictor="lstm-gcn").form == "residual"
    exact = options("sat", interval=5, predictor_lr=0.1).exact()
    assert (exact.halo, exact.predictor, exact.form) == ("exact", "none", None)


@pytest.mark.parametrize(
    ("solver", "changes", "message"),
    [
        ("sat", {"predictor": "ar"}, "predictor=ar is not sat, which is predictor=lstm-gcn"),
        ("sat", {"form": "residual"}, "form=residual is not sat, which is form=absolute"),
        ("digest", {"predictor": "ar"}, "is not digest, which is predictor=none; take solver="),
        ("partitions", {"predictor": "ar"}, "is not for halo=refresh; it is for halo=stale"),
        (
            "partitions",
            {"halo": "stale", "predictor": "ar", "form": "absolute"},
            "form= is not for predictor=ar; it is for predictor=lstm-gcn",
        ),
        ("digest", {"predictor_lr": 0.1}, "predictor_lr= is not for predictor=none"),
        ("sat", {"predictor_lr": 0}, "predictor_lr= must be positive and finite, got 0"),
        ("sat", {"interval": 1}, "has nothing to predict: with order=fresh and interval=1"),
    ],
)
def test_combinations_without_meaning_are_refused(solver, changes, message):
    with pytest.raises(InputError, match=message):
        options(solver, **changes)
