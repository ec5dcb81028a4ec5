"""Callbacks: what they see, how they end a run, in one process and over ranks."""

import json
from contextlib import nullcontext
from dataclasses import replace
from tempfile import TemporaryDirectory

import jax
import numpy as np
import pytest

from admm import below, evaluate, options, patience, resumed, train
from admm.comm import MPITransport
from admm.errors import AdmmError, InputError

GIVEN = options(layers=4, hidden=12, epochs=12, grow=(4,))


def values(history):
    """Without times."""
    return [{name: each[name] for name in each if not name.endswith("seconds")} for each in history]


@pytest.fixture(scope="module")
def whole():
    """A run that nothing stops."""
    return train(GIVEN)


def failing(comm):
    transport = MPITransport(comm, timeout=30)

    def fail(evaluation):
        return {}["loss"]

    given, callback = options(layers=2, hidden=8, epochs=2), None if transport.is_root else fail
    with pytest.raises(AdmmError) as error:
        train(given, transport, callback=callback)
    assert str(error.value) == "rank 1 failed: KeyError: 'loss'"


def test_a_callback_that_fails_on_one_rank_ends_all(returned):
    returned(failing, 2)


def test_a_callback_sees_every_evaluation(whole):
    seen = []
    result = train(replace(GIVEN, eval_every=5), callback=seen.append)
    assert seen == result.history
    assert [each["epoch"] for each in seen] == [5, 10, 12]
    assert result.summary["stopped"] is False
    assert values(seen) == [values(whole.history)[epoch - 1] for epoch in (5, 10, 12)]


def test_below_ends_a_run(whole, tmp_path):
    """In the first epoch whose value is low enough, with a complete result."""
    losses = [each["train_loss"] for each in whole.history]
    assert losses[5] < losses[0]
    epoch = next(n for n, loss in enumerate(losses, 1) if loss <= losses[5])
    result = train(replace(GIVEN, out=tmp_path), callback=below("train_loss", losses[5]))
    assert values(result.history) == values(whole.history)[:epoch]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert (summary["status"], summary["stopped"]) == ("done", True)
    assert summary["final"]["epoch"] == summary["stages"][0]["epochs"] == epoch
    assert summary["best"] == max(result.history, key=lambda each: each["val_accuracy"])
    assert evaluate(tmp_path)["test"] == pytest.approx(summary["best"]["test_accuracy"])


def test_patience_ends_a_run(whole):
    """Of a value that does not rise for two evaluations: the first time after the third."""
    residuals = [each["dual_residual"] for each in whole.history]
    highest = [n for n in range(10) if max(residuals[: n + 1]) >= max(residuals[n : n + 3])]
    result = train(GIVEN, callback=patience(2, "dual_residual"))
    assert len(result.history) == highest[0] + 3 < 12
    assert values(result.history) == values(whole.history)[: highest[0] + 3]
    assert result.summary["stopped"] is True


def test_what_patience_waits_for():
    stop = patience(2, "test_accuracy")
    lines = [(0, 0.5), (0, 0.6), (0, 0.6), (1, 0.1), (1, 0.2), (1, 0.1), (1, 0.2), (1, 0.9)]
    answers = [
        stop({"stage": stage, "epoch": epoch, "test_accuracy": value})
        for epoch, (stage, value) in enumerate(lines)
    ]
    # A new stage starts anew; to be as good again is not better.
    assert answers == [False, False, False, False, False, False, True, False]


def test_patience_starts_anew_where_a_run_goes_back():
    stop = patience(2, "test_accuracy")
    lines = [(0, 5, 0.9), (1, 1, 0.9), (0, 2, 0.1), (0, 3, 0.2), (0, 4, 0.3)]
    answers = [stop({"stage": s, "epoch": e, "test_accuracy": v}) for s, e, v in lines]
    assert not any(answers)


def test_a_stop_ends_all_stages():
    result = train(replace(GIVEN, grow=(2, 4)), callback=lambda each: each["epoch"] == 3)
    assert [stage["depth"] for stage in result.summary["stages"]] == [2]
    assert len(result.history) == 3
    assert sorted(result.network) == [1, 2]


def test_a_run_that_was_stopped_can_go_on(whole, tmp_path):
    given = replace(GIVEN, checkpoint_every=1, out=tmp_path)
    stopped = train(given, callback=lambda each: each["epoch"] == 5)
    assert len(stopped.history) == 5
    again = train(resumed(tmp_path))
    assert values(again.history) == values(whole.history)
    assert (again.summary["stopped"], len(again.summary["stages"])) == (False, 1)
    jax.tree.map(np.testing.assert_array_equal, again.network, whole.network)


@pytest.mark.parametrize("answer", [True, 1, np.True_, "yes"])
def test_any_true_value_stops(answer):
    assert len(train(GIVEN, callback=lambda each: answer).history) == 1


@pytest.mark.parametrize("answer", [None, False, 0, np.False_, ""])
def test_no_other_value_stops(answer):
    assert len(train(replace(GIVEN, epochs=2), callback=lambda each: answer).history) == 2


def test_values_that_no_method_has():
    with pytest.raises(InputError, match="evaluations= must be at least 1, got 0"):
        patience(0)
    known = "expected one of stage, epoch, layers, train_loss, train_accuracy, val_accuracy"
    for callback in (patience(2, "accuracy"), below("accuracy", 0)):
        with pytest.raises(InputError, match=f"there is no 'accuracy' in an evaluation; {known}"):
            train(replace(GIVEN, epochs=2), callback=callback)


def test_a_callback_that_raises(tmp_path):
    """It ends the run as any fault does, and says where."""

    def fail(evaluation):
        if evaluation["epoch"] == 3:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as error:
        train(replace(GIVEN, checkpoint_every=2, out=tmp_path), callback=fail)
    where, advice = error.value.__notes__
    assert where == "after epoch 2"
    assert f"go on with admm.train(admm.resumed({str(tmp_path)!r}))" in advice


def stopping(comm, others_listen):
    """What a rank says of a run that rank 1 stops, and the root of what it has left."""
    seen = []

    def listen(evaluation):
        seen.append(evaluation["epoch"])
        return comm.rank == 1 and evaluation["epoch"] == 3

    with TemporaryDirectory() if comm.rank == 0 else nullcontext() as out:
        given = options(layers=4, hidden=12, epochs=12, checkpoint_every=1, out=comm.bcast(out))
        callback = listen if others_listen or comm.rank == 1 else None
        result = train(given, MPITransport(comm), callback=callback)
        comm.Barrier()
        left = None
        if comm.rank == 0:
            lines = (given.out / "history.jsonl").read_text().splitlines()
            left = json.loads((given.out / "summary.json").read_text()), len(lines)
    said = {
        "epochs": [each["epoch"] for each in result.history],
        "seen": seen,
        "stopped": result.summary["stopped"],
        "status": result.summary["status"],
        "stages": len(result.summary["stages"]),
    }
    return said, left


def only_rank_1_says_so(comm):
    return stopping(comm, others_listen=True)


def only_rank_1_has_one(comm):
    return stopping(comm, others_listen=False)


@pytest.mark.parametrize("who", [only_rank_1_says_so, only_rank_1_has_one])
def test_one_rank_stops_all(returned, who):
    """In the same epoch, of the first of two stages."""
    (first, left), (second, _) = returned(who, 2)
    expected = {"epochs": [1, 2, 3], "stopped": True, "status": "done", "stages": 1}
    assert second == {**expected, "seen": [1, 2, 3]}
    assert first == {**expected, "seen": [] if who is only_rank_1_has_one else [1, 2, 3]}
    summary, lines = left
    assert (summary["stopped"], summary["status"], summary["final"]["epoch"]) == (True, "done", 3)
    assert lines == 3


PROGRAMS = ((failing, 2), (only_rank_1_says_so, 2), (only_rank_1_has_one, 2))
