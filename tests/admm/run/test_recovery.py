"""Checkpoints, resuming, signals, divergence."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from admm import LocalTransport, evaluate, options, predict, resumed, train
from admm.datasets import load
from admm.errors import (
    AdmmError,
    DivergedError,
    InputError,
    OutputError,
    StoppedError,
    shell_spelling,
)
from admm.methods.layerwise import data as layerwise_data
from admm.methods.layerwise.worker import LayerWorker
from admm.run import checkpoint, recovery, saved
from admm.run.checkpoint import newest_checkpoint
from admm.run.history import History, is_finite
from admm.run.resume import continuation
from layers import from_modules
from quant import Levels

SMALL = {"layers": 4, "hidden": 8, "hops": 1, "checkpoint_every": 2}
KINDS = {
    "pdadmm-g": options(**SMALL, grow=(4,)),
    "delta2": options(**SMALL, grow=(4,), codec="delta2"),
    "adam": options("adam", **SMALL),
    "gsadmm": options(
        "gsadmm",
        **{k: v for k, v in SMALL.items() if k != "hops"},
        subnetworks=3,
        batch=133,
        codec="delta4",
    ),
}


def run(given, **changes):
    return train(replace(given, **changes))


def same_history(a, b, rtol=0.0):
    """But for times, and for the bytes that a resumed run sends once more."""
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert list(one) == list(other)
        names = [name for name in one if name not in ("seconds", "iterate_seconds", "bytes_sent")]
        values = ([each[name] for name in names] for each in (one, other))
        np.testing.assert_allclose(*values, rtol=rtol)


@pytest.mark.parametrize("kind", ["pdadmm-g", "delta2", "adam", "gsadmm"])
def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, kind):
    """Bit for bit: every evaluation and the best network."""
    whole = run(KINDS[kind], epochs=7, workers=2)
    run(KINDS[kind], epochs=4, workers=2, out=tmp_path)
    again = run(resumed(tmp_path, epochs=7))
    same_history(whole.history, again.history)
    jax.tree.map(np.testing.assert_array_equal, whole.network, again.network)
    assert again.summary["status"] == "done"
    assert json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])["epoch"] == 7


@pytest.mark.parametrize(
    "kind",
    ["pdadmm-g", *(pytest.param(name, marks=pytest.mark.slow) for name in ("adam", "gsadmm"))],
)
def test_on_other_workers_it_is_the_same_to_rounding(tmp_path, kind):
    given = KINDS[kind] if kind == "adam" else replace(KINDS[kind], codec=None)
    whole = run(given, epochs=7, workers=1)
    run(given, epochs=4, workers=3, out=tmp_path)
    same_history(whole.history, run(resumed(tmp_path, epochs=7, workers=2)).history, rtol=1e-4)


def test_a_run_resumes_in_the_middle_of_growing(tmp_path, monkeypatch):
    """The best network so far may be one of an earlier stage."""
    given = replace(KINDS["pdadmm-g"], grow=(2, 4), epochs=5, workers=2)
    whole = run(given)
    stop_after(monkeypatch, epochs=8)
    with pytest.raises(StoppedError) as stopped:
        run(given, out=tmp_path)
    assert f"admm.train(admm.resumed({str(tmp_path)!r}))" in "".join(stopped.value.__notes__)
    monkeypatch.undo()
    again = run(resumed(tmp_path))
    same_history(whole.history, again.history)
    jax.tree.map(np.testing.assert_array_equal, whole.network, again.network)
    assert [stage["depth"] for stage in again.summary["stages"]] == [2, 4]


def stop_after(monkeypatch, epochs, number=signal.SIGTERM):
    """Send this process a signal in the middle of an epoch."""
    descend, left = LayerWorker.descend, [2 * epochs]  # two workers

    def descend_and_signal(self, measure):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
        descend(self, measure)

    monkeypatch.setattr(LayerWorker, "descend", descend_and_signal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_a_checkpoint_and_a_summary(tmp_path, monkeypatch, number):
    stop_after(monkeypatch, epochs=3, number=number)
    before = signal.signal(number, signal.SIG_DFL)  # nohup has SIGHUP ignored, and that stays
    try:
        with pytest.raises(StoppedError, match=f"stopped by {number.name}"):
            run(KINDS["pdadmm-g"], epochs=50, workers=2, out=tmp_path, checkpoint_every=0)
        assert signal.getsignal(number) != signal.SIG_DFL  # it may come once more
    finally:
        signal.signal(number, before)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    newest = checkpoint.newest_checkpoint(tmp_path)
    assert 3 <= newest.manifest["epoch"] <= 5  # it takes an epoch for all to know
    found = evaluate(tmp_path, LocalTransport(1))
    assert found["test"] == pytest.approx(summary["best"]["test_accuracy"])


def test_without_a_folder_there_are_no_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stop_after(monkeypatch, epochs=3)
    with pytest.raises(StoppedError) as stopped:
        run(KINDS["pdadmm-g"], epochs=50, workers=2)
    assert "there is no checkpoint yet" in stopped.value.__notes__
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def four_epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(KINDS["pdadmm-g"], epochs=4, out=folder)
    return folder


@pytest.fixture
def stopped_run(four_epochs, tmp_path):
    """A run of four epochs with two checkpoints, for a test alone."""
    return shutil.copytree(four_epochs, tmp_path / "run")


def test_checkpoints_are_few_and_recent(stopped_run):
    names = sorted(path.name for path in (stopped_run / "checkpoints").iterdir())
    assert len(names) == 2
    assert names == ["0000-000002", "0000-000004"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden": 9},
            "hidden=9 does not go on with .*, which has 8; what may change is ep",
        ),
        ({"solver": "adam"}, "solver=adam does not go on with .*, which has pdadmm-g"),
        ({"epochs": 1}, "epochs=1 is less than the . that"),
        ({"lr": 0.1}, "lr= is not for solver=pdadmm-g, which takes checkpoint_every=, checksum="),
        ({"leyers": 4}, "there is no option leyers=; did you mean layers=?"),
        ({"out": "elsewhere"}, "resume=.* goes on in that folder; leave out out="),
    ],
)
def test_what_does_not_go_on(stopped_run, changes, message):
    with pytest.raises(InputError, match=message):
        run(resumed(stopped_run, **changes))


@pytest.mark.parametrize("levels", ["-1:20", Levels(-1, 20)], ids=str)
def test_levels_go_on_however_they_were_written(tmp_path, levels):
    run(KINDS["pdadmm-g"], levels=levels, epochs=2, out=tmp_path)
    assert len(run(resumed(tmp_path, epochs=3)).history) == 3


def test_options_of_one_s_own_are_checked_too(stopped_run):
    given = replace(KINDS["pdadmm-g"], seed=1, epochs=4, out=stopped_run, resume=stopped_run)
    with pytest.raises(InputError, match="seed=1 does not go on"):
        run(given)


def test_another_solver_of_the_same_family_does_not_go_on(tmp_path):
    run(KINDS["adam"], epochs=2, out=tmp_path)
    with pytest.raises(InputError, match="solver=gd does not go on with .*, which has adam"):
        run(resumed(tmp_path, solver="gd"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", b"{", "is damaged"),
        ("manifest.json", b"[]", "is damaged"),
        ("manifest.json", b'{"version": 99}', "has format version 99; this release reads 1"),
        ("unit_002.npz", b"x", "does not match its checksum"),
        ("unit_002.npz", None, "cannot read .*unit_002.npz"),
        ("layer_001.npz", b"x", "does not match its checksum"),
    ],
)
def test_damaged_checkpoints(stopped_run, name, content, message):
    path = checkpoint.newest_checkpoint(stopped_run).folder / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        run(resumed(stopped_run))


def test_a_checkpoint_without_manifest_does_not_exist(stopped_run):
    before, newest = sorted((stopped_run / "checkpoints").iterdir())
    (newest / "manifest.json").unlink()
    assert checkpoint.newest_checkpoint(stopped_run).folder == before
    (before / "manifest.json").unlink()
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        resumed(stopped_run)


def test_a_new_run_clears_the_folder(stopped_run):
    run(KINDS["pdadmm-g"], epochs=1, out=stopped_run, checkpoint_every=0)
    assert [each.name for each in (stopped_run / "checkpoints").iterdir()] == ["0000-000001"]
    assert len((stopped_run / "history.jsonl").read_text().splitlines()) == 1


def test_a_mistake_costs_no_earlier_run(stopped_run):
    """Nor anything in the folder that is not ours."""
    own = stopped_run / "models" / "precious"
    own.mkdir(parents=True)
    before = sorted(stopped_run.rglob("*"))
    with pytest.raises(InputError):
        run(KINDS["pdadmm-g"], dataset="misspelt", out=stopped_run)
    assert sorted(stopped_run.rglob("*")) == before
    run(KINDS["pdadmm-g"], epochs=1, out=stopped_run)
    assert own.is_dir()


def test_what_a_killed_writer_leaves_is_removed(stopped_run):
    junk = stopped_run / "checkpoints" / "0000-000001"
    junk.mkdir()
    (junk / "unit_001.npz.tmp-1").write_bytes(b"half")
    run(resumed(stopped_run, epochs=6))
    assert not junk.exists()


def test_a_finished_run_resumes_to_the_same_summary(tmp_path):
    """With nothing left to train, what the last epoch came to is still known."""
    done = run(KINDS["gsadmm"], epochs=2, out=tmp_path).summary
    again = run(resumed(tmp_path)).summary
    assert again["cuts"] == done["cuts"]
    assert again["final"] == done["final"]


def test_workers_become_ranks(admm, tmp_path):
    run(KINDS["pdadmm-g"], epochs=2, workers=2, out=tmp_path)
    done = admm("train", "--resume", tmp_path, "--epochs", 3, ranks=2)
    assert done.returncode == 0, done.stderr


def test_a_damaged_history(tmp_path):
    history = History("val_accuracy", epochs=1)
    history.open(tmp_path)
    (tmp_path / "history.jsonl").write_text("{}\n")
    for read in (history.read, history.rewind):
        with pytest.raises(InputError, match="is damaged .a line without epoch and stage and val_"):
            read(3)
        with pytest.raises(InputError, match="history.jsonl is damaged .3 bytes are left of 10"):
            read(10)
    for damage in ("[1]\n", "3\n", "{\n", "null\n"):
        (tmp_path / "history.jsonl").write_text(damage)
        with pytest.raises(InputError, match="history.jsonl is damaged"):
            history.rewind(len(damage))
    history.close()


def test_no_folder_to_write_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write results to"):
        run(KINDS["pdadmm-g"], epochs=1, out=tmp_path / "file")


def test_a_write_that_fails_says_so(tmp_path, monkeypatch):
    def full(path, arrays):
        raise OutputError(f"cannot write {path} (No space left on device)")

    monkeypatch.setattr(saved, "write_arrays", full)
    with pytest.raises(OutputError, match="No space left") as failed:
        run(KINDS["pdadmm-g"], epochs=9, out=tmp_path)
    assert "there is no checkpoint yet" in failed.value.__notes__
    assert not (tmp_path / "checkpoints").exists()  # the room is free for another try


def test_a_full_disk_keeps_the_checkpoints_before(tmp_path, monkeypatch):
    """One that could not be completed is gone, and the run goes on from the last one."""
    write = checkpoint.write_atomically
    left = [3]

    def full(path, content):
        left[0] -= path.name == "manifest.json"
        if not left[0]:
            raise OutputError(f"cannot write {path} (No space left on device)")
        write(path, content)

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(OutputError, match="No space left"):
        run(KINDS["pdadmm-g"], epochs=9, out=tmp_path, workers=2)
    monkeypatch.undo()
    kept = sorted(each.name for each in (tmp_path / "checkpoints").iterdir())
    assert kept == ["0000-000002", "0000-000004"]
    whole = run(KINDS["pdadmm-g"], epochs=9, workers=2)
    same_history(whole.history, run(resumed(tmp_path)).history)


@pytest.mark.parametrize("data", [None, load("digits")], ids=["name", "data"])
def test_want_of_memory_says_how_to_go_on(tmp_path, data):
    def fill(evaluation):
        if evaluation["epoch"] == 3:
            raise MemoryError

    with pytest.raises(AdmmError, match="^out of memory in training") as full:
        train(replace(KINDS["pdadmm-g"], epochs=4, out=tmp_path), data=data, callback=fill)
    given, same = ("", "") if data is None else (", data=…", " with the same data")
    how = f"admm.train(admm.resumed({str(tmp_path)!r}){given}){same}"
    assert full.value.__notes__[-1] == f"the newest checkpoint is that of epoch 2: go on with {how}"


@pytest.mark.parametrize(
    ("given", "further", "expected"),
    [
        (options(), False, "python -m admm train --resume 'a run'"),
        (options(), True, "python -m admm train --resume 'a run' --epochs N"),
        (
            options(dataset="memory:mine"),
            True,
            "in Python, admm.train(admm.resumed('a run', epochs=N), data=…) with the same data",
        ),
        (
            options("gsam", loss=abs),
            False,
            "in Python, admm.train(admm.resumed('a run', loss=…)) with the same objects",
        ),
    ],
    ids=["a command", "more epochs", "data in memory", "an object"],
)
def test_how_to_go_on_in_a_shell(given, further, expected):
    with shell_spelling():
        assert continuation(Path("a run"), given, further) == expected


def test_the_end_of_a_run_is_a_checkpoint(tmp_path):
    """However rare they are: a finished run goes further, as if it had been asked to at once."""
    handler = signal.getsignal(signal.SIGTERM)
    run(KINDS["pdadmm-g"], epochs=3, checkpoint_every=0, out=tmp_path)
    assert signal.getsignal(signal.SIGTERM) == handler
    again = run(resumed(tmp_path, epochs=6))
    same_history(run(KINDS["pdadmm-g"], epochs=6).history, again.history)
    assert [stage["epochs"] for stage in again.summary["stages"]] == [6]
    again = run(resumed(tmp_path))
    assert [stage["epochs"] for stage in again.summary["stages"]] == [6]
    stopped = run(KINDS["pdadmm-g"], epochs=6, checkpoint_every=50, out=tmp_path)
    assert stopped.summary["status"] == "done"
    assert checkpoint.newest_checkpoint(tmp_path).manifest["epoch"] == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_so(tmp_path, monkeypatch, number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        stop_after(monkeypatch, epochs=2, number=number)
        assert len(run(KINDS["pdadmm-g"], epochs=5, workers=2).history) == 5
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_later_signal_acts_as_without(tmp_path, monkeypatch):
    """The first was a request; who waits for two seconds and asks again means it."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    now = [0.0]
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    try:
        stop_after(monkeypatch, epochs=2)
        with pytest.raises(StoppedError):
            run(KINDS["pdadmm-g"], epochs=50, workers=2)
        os.kill(os.getpid(), signal.SIGTERM)
        assert not seen  # the same request
        now[0] = 5.0
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(seen) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


# Divergence.


def test_a_run_that_diverges_goes_back_with_a_smaller_step(tmp_path):
    result = run(KINDS["adam"], solver="gd", lr=1e3, epochs=6, out=tmp_path)
    retreats = result.summary["retreats"]
    assert 1 <= len(retreats) <= 3
    assert retreats[0]["then"] == "lr=100"
    assert all(map(is_finite, result.history))
    assert result.summary["options"]["lr"] == pytest.approx(1e3 / 10 ** len(retreats))


def test_it_gives_up_after_three_tries(tmp_path):
    with pytest.raises(DivergedError, match="training diverged"):
        run(KINDS["adam"], solver="gd", lr=1e30, epochs=6, out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert len(summary["retreats"]) == 3


def poison(monkeypatch, epoch):
    """Make a weight NaN after so many epochs of one worker, once."""
    ascend, left = LayerWorker.ascend, [epoch]

    def poisoned(self):
        ascend(self)
        left[0] -= 1
        if left[0] == 0:
            first, *rest = self.block.layers
            first = first._replace(W=first.W.at[0, 0].set(np.nan))
            self.block = self.block._replace(layers=(first, *rest))

    monkeypatch.setattr(LayerWorker, "ascend", poisoned)


@pytest.mark.parametrize("eval_every", [1, 100])
def test_not_a_number_never_reaches_a_checkpoint(tmp_path, monkeypatch, eval_every):
    """It goes back to a state that is finite, with penalties within the bound."""
    poison(monkeypatch, epoch=5)
    result = run(
        KINDS["pdadmm-g"], epochs=12, out=tmp_path, eval_every=eval_every, checkpoint_every=2
    )
    (retreat,) = result.summary["retreats"]
    assert retreat["then"].startswith("rho=")
    assert result.summary["options"]["rho"] >= 5 * result.summary["options"]["nu"]
    assert is_finite(result.history[-1])
    for path in (tmp_path / "checkpoints").glob("*/unit_*.npz"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays)


def test_a_retreat_leaves_no_message_behind(tmp_path, monkeypatch):
    """Noticed where nothing was evaluated, with q on its way: the next one must not take it."""
    poison(monkeypatch, epoch=6)
    transport = LocalTransport(2)
    given = replace(KINDS["pdadmm-g"], epochs=40, eval_every=20, out=tmp_path)
    result = train(given, transport)
    assert result.summary["retreats"]
    assert not transport._messages
    assert result.history[-1]["lagrangian"] < 10 * result.history[0]["lagrangian"]


def test_without_a_folder_divergence_ends_the_run(monkeypatch):
    poison(monkeypatch, epoch=5)
    with pytest.raises(DivergedError, match="diverged in epoch [56]: .*; try other rho= and nu="):
        run(KINDS["pdadmm-g"], epochs=12)


# Predictions.


@pytest.mark.parametrize("kind", ["pdadmm-g", "gsadmm"])
def test_predictions(tmp_path, kind):
    """Their accuracy on the test nodes is the one that the run reports."""
    result = run(KINDS[kind], epochs=3, out=tmp_path)
    found = predict(tmp_path, LocalTransport(2))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    from admm import datasets

    load = datasets.load_images if kind == "gsadmm" else datasets.load
    data = load("digits")
    right = found.argmax(axis=1) == data.labels
    assert right[data.split.test].mean() == pytest.approx(result.summary["best"]["test_accuracy"])


def test_a_network_is_for_runs_that_took_one(tmp_path):
    run(KINDS["pdadmm-g"], epochs=1, out=tmp_path)
    network = from_modules([lambda x: x.reshape(-1), lambda x: x[:10]], (8, 8, 1))
    with pytest.raises(InputError, match="was trained by pdadmm-g, which takes no network"):
        predict(tmp_path, network=network)


def test_predictions_on_disk(command, tmp_path):
    run(KINDS["pdadmm-g"], epochs=1, out=tmp_path)
    table, arrays = tmp_path / "p.csv", tmp_path / "p.npz"
    for out in (table, arrays):
        done = command("predict", tmp_path, "--out", out)
        assert done.returncode == 0, done.stderr
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    with np.load(arrays) as found:
        np.testing.assert_allclose(rows[:, 2:], found["probabilities"], rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(rows[:, 1], found["classes"])
    done = command("predict", tmp_path, "--out", "p.txt")
    assert done.returncode == 2
    assert "--out must end in .csv or .npz, got p.txt" in done.stderr
    assert Path("p.txt").exists() is False


def test_what_is_not_ours_among_the_checkpoints_stays(tmp_path):
    """Nor is a copy of a checkpoint one; after 999,999 epochs the order is that of numbers."""
    small = {"layers": 2, "hidden": 4, "hops": 1, "grow": "none", "keep": 1}
    train(options(**small, epochs=2, out=tmp_path))
    place = tmp_path / "checkpoints"
    (place / "mine").mkdir()
    (place / "mine" / "notes").touch()
    (place / ".nfs001").touch()
    shutil.copytree(place / "0000-000002", place / "0000-000002.copy")
    assert newest_checkpoint(tmp_path).folder.name == "0000-000002"
    train(resumed(tmp_path, epochs=3))
    names = [".nfs001", "0000-000002.copy", "0000-000003", "mine"]
    assert sorted(each.name for each in place.iterdir()) == names
    assert (place / "mine" / "notes").exists()
    for name in ("0000-999999", "0000-1000000"):
        shutil.copytree(place / "0000-000003", place / name)
    assert newest_checkpoint(tmp_path).folder.name == "0000-1000000"


def test_resumed_goes_on_in_its_folder(stopped_run):
    for changes in ({"out": "elsewhere"}, {"resume": "elsewhere"}):
        with pytest.raises(InputError, match=f"leave out {next(iter(changes))}="):
            resumed(stopped_run, **changes)
    with pytest.raises(InputError, match="a run is given by the path of its folder, got None"):
        resumed(stopped_run, out=None)


def test_a_run_that_goes_on_while_it_is_evaluated(tmp_path, monkeypatch):
    """Its files may go while data are loaded."""
    given = options(layers=2, hidden=4, hops=1, grow="none", epochs=1, out=tmp_path)
    expected = train(given).summary["best"]["test_accuracy"]
    load = layerwise_data.datasets.load

    def late(*arguments, **others):
        shutil.rmtree(tmp_path / "models")
        shutil.rmtree(tmp_path / "checkpoints")
        return load(*arguments, **others)

    monkeypatch.setattr(layerwise_data.datasets, "load", late)
    assert evaluate(tmp_path)["test"] == expected


def test_another_working_directory_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    given = options(layers=2, hidden=4, hops=1, grow="none", epochs=2, out="run")
    train(given, callback=lambda each: os.chdir("/"))
    assert (tmp_path / "run" / "summary.json").exists()
