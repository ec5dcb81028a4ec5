"""`admm train --dry-run`: what a run would take, and nothing of it is left behind."""

import json

import pytest

from admm import estimate, options
from admm.cli import main

TOY = ("--layers", 3, "--hidden", 8, "--grow", "none", "--hops", 1, "--epochs", 4)


@pytest.fixture(autouse=True)
def _started(monkeypatch):
    """JAX runs already, with devices of its own."""
    monkeypatch.setattr("admm.cli.start.start_jax", lambda dtype, devices: None)


def dry(*words):
    return main(["train", "--dry-run", *map(str, (*TOY, *words))])


def test_a_dry_run_leaves_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert dry("--workers", 2, "--codec", "float32", "--out", tmp_path / "run") == 0
    told = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    # 200 rows of 8 float32 numbers: at the start, and in every epoch.
    assert "q to 1: 1 × 6,400 bytes at the start of the stage" in told
    assert "bytes between workers: q 32,000, p 25,600; " in told
    assert "nothing was trained, and nothing was written" in told


def test_two_ranks_say_it_once_as_json(admm):
    done = admm("train", "--dry-run", "--progress", "json", *TOY, ranks=2)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["kind"] == "costs"
    assert found["bytes_by_variable"] == {"q": 32000, "p": 25600}
    assert [each["units"] for each in found["stages"][0]["workers"]] == ["layers 1–1", "layers 2–3"]
    assert len(found["peak_bytes"]) == 2


def test_what_does_not_fit_is_refused_with_what_would(capsys, tmp_path, monkeypatch):
    proc = tmp_path / "proc"
    proc.mkdir()
    monkeypatch.setattr("admm.memory._PROC", proc)
    fits = estimate(options(layers=3, hidden=128, grow="none", hops=1)).peak_bytes[0]
    for nbytes, hint in ((fits, "; --hidden 128 fits\n"), (1000, "share the work out\n")):
        (proc / "meminfo").write_text(f"MemAvailable: {nbytes // 1024 + 1} kB\n")
        assert dry("--hidden", 512) == 1
        error = capsys.readouterr().err
        assert "the arrays of 1 of 1 workers" in error
        assert "are available (MemAvailable of /proc/meminfo)" in error
        assert "a smaller --hops or --hidden takes less, and more ranks on more machines" in error
        assert error.endswith(hint)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", 4), "got 4 workers for 3 layers"),
        (("--dataset", "nothing.npz"), "nothing.npz"),
    ],
)
def test_what_a_run_would_refuse_is_refused(capsys, words, message):
    assert dry(*words) == 2
    assert message in capsys.readouterr().err
