"""The folder of a run: one writer, seen by all, nothing left of a run that never began."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from admm import options, resumed, train
from admm.errors import InputError, OutputError
from admm.run import folder
from admm.run.folder import Lock

SMALL = {"layers": 2, "hidden": 4, "hops": 1, "grow": "none", "epochs": 2}


def write_lock(run, **changes):
    about = {"token": "other", "host": "elsewhere", "machine": "elsewhere 1", "pid": 1}
    (run / "lock").write_text(json.dumps({**about, "started": "1", **changes}))


def ours(**changes):
    """What a lock of a process of this machine says."""
    started = folder._start_of(os.getpid())
    return {"machine": folder._machine(), "pid": os.getpid(), "started": started, **changes}


def test_one_writer(tmp_path):
    first, second = Lock(tmp_path), Lock(tmp_path)
    first.acquire()
    with pytest.raises(InputError, match=f"is in use: process {os.getpid()} on .* writes there;"):
        second.acquire()
    with pytest.raises(InputError, match="choose another out="):
        train(options(**SMALL, out=tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]
    first.release()
    second.acquire()
    second.release()
    assert not list(tmp_path.iterdir())


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("holder", "age"),
    [
        (ours(pid=ended_process()), 0),
        (ours(started="1"), 0),  # the number was given again
        ({}, 100),
        (None, 100),
    ],
    ids=["ended", "number of another", "other host", "nothing in it"],
)
def test_a_writer_that_is_no_more(tmp_path, holder, age):
    if holder is None:
        (tmp_path / "lock").write_text("{")
    else:
        write_lock(tmp_path, **holder)
    then = time.time() - age
    os.utime(tmp_path / "lock", (then, then))
    train(options(**SMALL, out=tmp_path))
    assert (tmp_path / "summary.json").exists()
    assert not list(tmp_path.glob("lock*"))


@pytest.mark.parametrize("content", ["{", None], ids=["nothing in it", "other host"])
def test_a_writer_that_may_be_there(tmp_path, content):
    write_lock(tmp_path)
    if content is not None:
        (tmp_path / "lock").write_text(content)
    before = (tmp_path / "lock").read_text()
    with pytest.raises(InputError, match="is in use: .* it is free 60 s after its end"):
        train(options(**SMALL, out=tmp_path))
    assert (tmp_path / "lock").read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]


def test_a_process_that_nobody_has_waited_for(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert folder._start_of(process.pid) is None
    process.wait()


def test_a_writer_says_that_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_TOUCH_EVERY", 0.01)
    lock = Lock(tmp_path)
    lock.acquire()
    os.utime(tmp_path / "lock", (0, 0))
    end = time.monotonic() + 20
    while (tmp_path / "lock").stat().st_mtime == 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    lock.release()


def test_of_two_that_find_a_stale_lock_one_gets_it(tmp_path):
    """The other finds the new lock in its place."""
    write_lock(tmp_path, **ours(pid=ended_process()))
    first, second = Lock(tmp_path), Lock(tmp_path)
    rename = Path.rename

    def slow(self, target):
        """Just before the second takes the stale lock away, the first has made its own."""
        Path.rename = rename
        first.acquire()
        return rename(self, target)

    Path.rename = slow
    try:
        with pytest.raises(InputError, match="is in use"):
            second.acquire()
    finally:
        Path.rename = rename
    assert json.loads((tmp_path / "lock").read_text())["token"] == first._token
    first.release()


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.json, "dump", full)
    with pytest.raises(InputError, match="cannot write results to .*/a/b .No space left on device"):
        train(options(**SMALL, out=tmp_path / "a" / "b"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [{"dataset": "misspelt"}, {"dataset": "nowhere.npz"}, {"workers": 3}, {"trace": "no/t.json"}],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_is_left_of_a_run_that_never_began(tmp_path, changes):
    with pytest.raises((InputError, OutputError)):
        train(options(**{**SMALL, **changes}, out=tmp_path / "runs" / "a"))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    train(options(**SMALL, out=run))
    return run


@pytest.fixture
def finished(two_epochs, tmp_path):
    """A finished run, for a test alone."""
    return shutil.copytree(two_epochs, tmp_path / "run")


def contents(run):
    return {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 5}, "hidden=5 does not go on"),
        ({"epochs": 1}, "epochs=1 is less than the 2"),
        ({"dataset": "nowhere.npz"}, "no such file"),
        ({"data_dir": "nowhere", "dataset": "cora"}, "does not exist"),
        ({"workers": 3}, "got 3 workers for 2 layers"),
        ({"trace": "no/t.json"}, "cannot write"),
        ({"split": 1}, "split=1 does not go on"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_refused_resume_touches_nothing(finished, changes, message):
    before = contents(finished)
    with pytest.raises((InputError, OutputError), match=message):
        train(resumed(finished, **changes))
    assert contents(finished) == before


@pytest.mark.parametrize("name", ["history.jsonl", "unit_001.npz", "manifest.json"])
def test_a_run_without_a_file_is_refused(finished, name):
    for path in finished.rglob(name):
        path.unlink()
    before = contents(finished)
    with pytest.raises(InputError, match="cannot open|cannot read|holds no complete checkpoint"):
        train(resumed(finished, epochs=3))
    assert contents(finished) == before
