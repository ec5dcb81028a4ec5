"""Differential privacy of federated runs: what the summary states, and what is refused."""

import json
import sys

import jax
import numpy as np
import pytest

from admm import options, resumed, train
from admm.comm import LocalTransport
from admm.errors import DivergedError, InputError
from admm.solvers.privacy import epsilon


def made(**changes):
    given = {
        "solver": "fed-admm",
        "dataset": "sensors:clients=6,hours=120",
        "network": "mlp",
        "hidden": 4,
        "batch": 8,
        "local_steps": 2,
        "epochs": 4,
        "baselines": False,
    }
    return options(**{**given, **changes})


def test_the_summary_states_what_the_answers_give_away(tmp_path):
    given = {"clip_update": 0.5, "noise_multiplier": 2.0, "participation": 0.7, "delta": 1e-4}
    result = train(made(solver="fedavg", **given, out=tmp_path, epochs=6))
    share = made(**given).look(LocalTransport())
    counts = np.bincount([k for n in range(1, 7) for k in share.availability.answering(n)])
    assert counts.max() < 7
    expected = {
        "epsilon": pytest.approx(epsilon(2.0, int(counts.max()), 1e-4)),
        "delta": 1e-4,
        "noise_multiplier": 2.0,
        "clip_update": 0.5,
        "answers": int(counts.max()),
    }
    assert result.summary["privacy"] == expected
    assert json.loads((tmp_path / "summary.json").read_text())["privacy"] == expected


def test_both_variables_of_scaffold_count():
    given = {"clip_update": 0.5, "noise_multiplier": 2.0, "solver": "scaffold"}
    found = train(made(**given)).summary["privacy"]
    assert found["epsilon"] == pytest.approx(epsilon(2.0, 8, 1e-5))


def test_answers_before_a_restart_count(tmp_path):
    given = {"clip_update": 0.5, "noise_multiplier": 1.0}
    train(made(**given, out=tmp_path, epochs=3))
    assert train(resumed(tmp_path, epochs=5)).summary["privacy"]["answers"] == 5


def test_answers_of_rounds_that_were_given_up_count(tmp_path):
    given = {"clip_update": 0.5, "noise_multiplier": 1.0, "out": tmp_path, "epochs": 6}
    exploding = made(**given, checkpoint_every=2)
    begin, seen = type(exploding).begin, []

    def begin_and_explode(self, share, transport, stage, kept):
        training = begin(self, share, transport, stage, kept)
        measure = training.measure

        def measured():
            seen.append(training._last)
            exploded = {"train_loss": 1e30} if seen == [1, 2, 3] else {}
            return {**measure(), **exploded}

        training.measure = measured
        return training

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(exploding), "begin", begin_and_explode)
        summary = train(exploding).summary
    assert len(summary["retreats"]) == 1
    assert summary["privacy"]["answers"] == 7  # the third round twice


def test_noise_does_not_follow_from_the_seed():
    given = {"clip_update": 0.5, "noise_multiplier": 1.0, "epochs": 1}
    one, other = train(made(**given)), train(made(**given))
    gaps = jax.tree.map(lambda a, b: (a != b).mean(), one.network[0], other.network[0])
    assert min(map(float, jax.tree.leaves(gaps))) > 0.9


def test_without_noise_nothing_is_promised():
    assert "privacy" not in train(made(clip_update=0.5, epochs=1)).summary


def test_an_answer_that_is_not_finite_ends_the_run():

    for given in ({"secure_aggregation": True}, {"clip_update": 1.0, "noise_multiplier": 1.0}):
        with pytest.raises(DivergedError):
            train(made(lr=1e38, optimizer="gd", clip=0.0, **given))


# Options.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"secure_aggregation": True, "codec": "delta8"},
            "secure_aggregation= needs codes that add up, got codec=delta8; take one of common16",
        ),
        (
            {"clip_update": 1.0, "codec": "float32"},
            "clip_update= needs codes that add up, got codec=float32; take one of common16",
        ),
        (
            {"noise_multiplier": 1.0},
            "noise_multiplier=1.0 hides changes up to a length: say which, such as clip_update=1",
        ),
        ({"noise_multiplier": 1e-3, "clip_update": 1.0}, "must be 0, or in 0.01…100, got 0.001"),
        ({"clip_update": 0.0}, "clip_update= must be positive and finite, got 0.0"),
        ({"delta": 1.0}, "delta= must be in \\(0, 1\\), got 1.0"),
        (
            {"secure_aggregation": True, "client_weights": "rows"},
            "client_weights=rows is not for codec=common8, whose codes add up with equal weights",
        ),
        (
            {"secure_aggregation": True, "per_client": True},
            "per_client= tells of single clients, which secure_aggregation= is there to prevent",
        ),
        ({"codec_down": "common8"}, "codec_down= must be one of float64, float32"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        made(**given)


def test_two_clients_are_too_few():
    expected = "secure_aggregation= needs at least 3 clients, and sensors:.* has 2"
    with pytest.raises(InputError, match=expected):
        train(made(dataset="sensors:clients=2,hours=120", secure_aggregation=True))


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(InputError, match="secure aggregation needs cryptography: pip install"):
        train(made(secure_aggregation=True))
