"""How far a run is: while it goes, after every kind of end, and where there is none."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from admm import options, read_history, resumed, run_status, train
from admm.errors import InputError
from admm.run.folder import Lock

SMALL = {"layers": 3, "hidden": 4, "hops": 1, "grow": (2, 3), "epochs": 6, "checkpoint_every": 4}
LIMIT = 20  # seconds


class FaultError(Exception):
    """Ends a run without a summary, as a fault does."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that is done, and one that failed in epoch 3 of its second stage."""
    folder = tmp_path_factory.mktemp("runs")

    def fail(evaluation):
        if (evaluation["stage"], evaluation["epoch"]) == (1, 3):
            raise FaultError

    result = train(options(**SMALL, out=folder / "done"))
    with pytest.raises(FaultError):
        train(options(**SMALL, out=folder / "failed"), callback=fail)
    return folder, result


@pytest.fixture
def failed(runs, tmp_path):
    """A run of its own to change."""
    return shutil.copytree(runs[0] / "failed", tmp_path / "failed")


def test_a_run_that_is_done(runs):
    folder, result = runs
    status = run_status(folder / "done")
    assert (status.state, status.writer, status.left) == ("done", None, None)
    assert (status.stages, status.epochs) == (["2 layers", "3 layers"], 6)
    assert status.latest == result.history[-1]
    assert status.best == result.summary["best"]
    assert (status.select, status.checkpoint.epochs_lost) == ("val_accuracy", 0)
    assert status.resume == f"admm.train(admm.resumed({str(folder / 'done')!r}, epochs=N))"


def test_a_run_that_failed(failed):
    """A checkpoint every four epochs, of six and three: one is lost."""
    status = run_status(failed)
    assert (status.state, status.writer) == ("failed", None)
    assert (status.latest["stage"], status.latest["epoch"]) == (1, 3)
    saved = status.checkpoint
    assert (saved.stage, saved.epoch, saved.epochs_lost) == (1, 2, 1)
    assert saved.seconds_lost > 0
    first, *_, latest = [each for each in read_history(failed) if each["stage"] == 1]
    assert status.left == pytest.approx(3 * (latest["seconds"] - first["seconds"]) / 2)
    assert status.resume == f"admm.train(admm.resumed({str(failed)!r}))"
    assert len(train(resumed(failed)).history) == 12
    assert run_status(failed).state == "done"


def test_a_run_that_goes_on(failed):
    lock = Lock(failed)
    lock.acquire()
    try:
        status = run_status(failed)
        assert (status.state, status.resume) == ("running", None)
        assert status.writer.alive
    finally:
        lock.release()


def test_a_writer_that_was_killed(failed):
    dead = {"token": "x", "host": "there", "machine": "there 1", "pid": 7, "started": "1"}
    (failed / "lock").write_text(json.dumps(dead))
    assert run_status(failed).state == "running"  # on another host, and just touched
    os.utime(failed / "lock", (0, 0))
    status = run_status(failed)
    assert (status.state, status.writer) == ("failed", ("there", 7, False))
    assert status.resume is not None
    assert sorted(each.name for each in failed.glob("lock*")) == ["lock"]  # nothing is touched


def test_a_start_without_evaluation_or_checkpoint(failed):
    (failed / "history.jsonl").write_text("")
    shutil.rmtree(failed / "checkpoints")
    status = run_status(failed)
    assert (status.latest, status.best, status.left, status.checkpoint) == (None,) * 4
    assert status.resume is None


def test_a_line_that_is_being_written(failed):
    with (failed / "history.jsonl").open("a") as file:
        file.write('{"stage": 1, "epo')
    assert run_status(failed).latest["epoch"] == 3


@pytest.mark.parametrize(
    "line",
    ["{", "7", "[1, 2]", '{"epoch": 1}', '{"stage": 0, "epoch": "1"}', '{"stage": 0, "epoch": []}'],
)
def test_a_damaged_line(failed, line):
    path = failed / "history.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:], ""]))
    for look in (run_status, read_history):
        with pytest.raises(InputError, match=rf"{path} is damaged .line 2: "):
            look(failed)


def test_values_that_are_not_finite(failed):
    path = failed / "history.jsonl"
    values = json.loads(path.read_text().splitlines()[-1])
    with path.open("a") as file:
        file.write(json.dumps({**values, "epoch": 4, "val_accuracy": None}) + "\n")
    status = run_status(failed)
    assert status.latest["epoch"] == 4
    assert status.latest["val_accuracy"] != status.latest["val_accuracy"]
    assert (status.best["stage"], status.best["epoch"]) != (1, 4)


@pytest.mark.parametrize(
    ("name", "content"),
    [("options.json", "{"), ("options.json", '{"version": 1}'), ("summary.json", "[]")],
)
def test_damaged_files(failed, name, content):
    (failed / name).write_text(content)
    with pytest.raises(InputError, match=f"{name} is damaged"):
        run_status(failed)


def test_what_is_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            InputError, match=r"is no run \(no options.json\); pass the out= of one"
        ):
            run_status(path)
    with pytest.raises(InputError, match="a run is given by the path of its folder, got ''"):
        run_status("")
    with pytest.raises(InputError, match=r"cannot read .*history.jsonl \(No such file"):
        read_history(tmp_path)
    lock = Lock(tmp_path)
    lock.acquire()
    with pytest.raises(InputError, match="is about to be a run: its data are being loaded"):
        run_status(tmp_path)
    lock.release()


def test_the_text(runs, admm):
    folder, _ = runs
    done = admm("status", folder / "failed", timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    first, stage, latest, best, checkpoint, resume = done.stdout.splitlines()
    assert first == f"{folder / 'failed'}: failed"
    assert stage.startswith("stage 2 of 2 (3 layers), epoch 3 of 6; 75%, about ")
    assert "ago: train_loss " in latest
    assert "val_accuracy " in best
    assert checkpoint.startswith(
        "checkpoint: stage 2, epoch 2; going on from there loses 1 epoch ("
    )
    assert resume == f"go on: python -m admm train --resume {folder / 'failed'}"
    done = admm("status", folder / "done", timeout=LIMIT)
    assert "6 of 6; 100%\n" in done.stdout
    assert done.stdout.endswith(f"--resume {folder / 'done'} --epochs N\n")
    assert "loses nothing" in done.stdout


def test_a_run_that_no_command_goes_on_with(failed, admm):
    plan = json.loads((failed / "options.json").read_text())
    given = options("gsam", dataset="memory:mine", loss=abs).as_json()
    (failed / "options.json").write_text(json.dumps({**plan, "options": given}))
    how = (
        f"admm.train(admm.resumed({str(failed)!r}, loss=…), data=…) with the same data and objects"
    )
    assert run_status(failed).resume == how
    done = admm("status", failed, timeout=LIMIT)
    assert done.stdout.endswith(f"\ngo on: in Python, {how}\n")


def test_a_run_of_a_method_that_is_not_installed(failed):
    plan = json.loads((failed / "options.json").read_text())
    plan["options"]["solver"] = "missing"
    (failed / "options.json").write_text(json.dumps(plan))
    assert run_status(failed).checkpoint is not None
    assert run_status(failed).resume is None


def test_json(runs, admm):
    folder, result = runs
    done = admm("status", folder / "done", "--json", timeout=LIMIT)
    found = json.loads(done.stdout)
    assert found["latest"] == result.history[-1]
    assert (found["state"], found["checkpoint"]["epochs_lost"]) == ("done", 0)


def test_a_mistake(admm, tmp_path):
    done = admm("status", tmp_path, timeout=LIMIT)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"admm: error: {tmp_path} is no run (no options.json); pass the --o"
    )


def test_jax_is_not_started(runs):
    code = (
        "import sys; from admm.cli import main; assert main(sys.argv[1:]) == 0\n"
        "assert not {'jax', 'mpi4py', 'scipy', 'equinox'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "status", str(runs[0] / "done")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
