"""What `admm train` shows: a table, JSON or nothing, and a bar on a terminal alone."""

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios

import pytest

GIVEN = ("--layers", 2, "--hidden", 4, "--hops", 1, "--epochs", 5, "--eval-every", 2)
LIMIT = 60


@pytest.mark.parametrize("ranks", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_json(admm, tmp_path, ranks):
    done = admm(
        "train", *GIVEN, "--progress", "json", "--out", tmp_path, ranks=ranks, timeout=LIMIT
    )
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines, best = map(json.loads, done.stdout.splitlines())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert head == {
        "kind": "run",
        "stages": ["2 layers"],
        "ranks": ranks or 1,
        "options": summary["options"],
    }
    history = list(map(json.loads, (tmp_path / "history.jsonl").read_text().splitlines()))
    assert lines == [{"kind": "evaluation", **each} for each in history]
    assert [each["epoch"] for each in lines] == [2, 4, 5]
    assert best == {"kind": "best", **summary["best"]}


def test_none(admm, tmp_path):
    done = admm("train", *GIVEN, "--progress", "none", "--out", tmp_path, timeout=LIMIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "summary.json").exists()


def test_other_kinds(admm, tmp_path):
    done = admm("train", "--progress", "bar", "--out", tmp_path / "x", timeout=LIMIT)
    assert done.returncode == 2
    assert "argument --progress: invalid choice: 'bar' (choose from" in done.stderr
    assert not list(tmp_path.iterdir())


def on_terminal(*words):
    """What a command prints on a terminal of 120 columns, and its code."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [sys.executable, "-m", "admm", *map(str, words)]
    with subprocess.Popen(command, stdout=its, stderr=its) as process:
        os.close(its)
        text = b""
        with contextlib.suppress(OSError):  # it has ended
            while more := os.read(ours, 4096):
                text += more
        code = process.wait(LIMIT)
    os.close(ours)
    return code, text.decode()


def test_a_bar_on_a_terminal(tmp_path):
    """Above it the table, whole."""
    pytest.importorskip("tqdm")
    code, text = on_terminal("train", *GIVEN, "--out", tmp_path)
    assert code == 0, text
    assert "5/5 [" in text
    assert "val_accuracy=" in text
    parts = [part.split() for line in text.splitlines() for part in line.split("\r")]
    for words in (["row", "epoch"], ["1/3", "2"], ["3/3", "5"], ["best:", "2"]):
        assert any(part[:2] == words for part in parts), words


def test_no_bar_without_its_library(tmp_path):
    """Nothing is said of it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nimport importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = lambda name, *more: "
        "None if name == 'tqdm' else find(name, *more)\n"
    )
    env = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{tmp_path}:{env}"
    try:
        code, text = on_terminal("train", *GIVEN, "--out", tmp_path / "run")
    finally:
        os.environ["PYTHONPATH"] = env
    assert code == 0, text
    assert "5/5 [" not in text
    assert "tqdm" not in text
    assert text.count("\r") == text.count("\r\n")
