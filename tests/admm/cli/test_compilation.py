"""The cache of compiled functions, and how JAX starts."""

import os
import subprocess
import sys

import jax
import pytest

from admm.cli.compilation import kept_compilations

TRAIN = ("train", "--layers", 2, "--hidden", 4, "--hops", 1, "--grow", "none", "--epochs", 2)
OWN = {"JAX_COMPILATION_CACHE_DIR": ""}  # the tests' is not in the way


def entries(home):
    return {path: path.stat().st_mtime_ns for path in home.glob("layerwise-admm/compiled/*/*")}


def test_what_is_compiled_is_kept(admm, tmp_path):
    """Complete entries of two ranks, which a second run finds, and nothing else."""
    home, kept = tmp_path / "cache", []
    for name in ("a", "b"):
        done = admm(
            *TRAIN, "--out", tmp_path / name, ranks=2, XDG_CACHE_HOME=str(home), **OWN, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        kept.append(entries(home))
    assert kept[0]
    assert kept[0] == kept[1]
    assert {path.suffix for path in kept[0]} == {""}
    assert all(path.name.endswith("-cache") for path in kept[0])


def test_an_entry_that_another_run_removes(tmp_path, monkeypatch):
    """It stays where it is in use: JAX would write it anew in its place, seen half by all."""
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", None)
    entry = tmp_path / "f-cache"
    entry.write_bytes(b"code")
    with kept_compilations(tmp_path):
        entry.unlink()
        (own,) = tmp_path.glob("process-*")
        assert (own / "f-cache").read_bytes() == b"code"
        (own / "g-cache").write_bytes(b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"f-cache", "g-cache"}


@pytest.mark.parametrize("why", ["--no-cache", "chosen by the user", "not to be written"])
def test_without_the_cache(command, tmp_path, monkeypatch, why):
    home, words = tmp_path / "cache", []
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    chosen = str(tmp_path / "other") if why == "chosen by the user" else None
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", chosen)
    if why == "--no-cache":
        words = [why]
    elif why == "not to be written":
        home.write_text("a file")
    done = command(*TRAIN, *words, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert home.is_file() if why == "not to be written" else not home.exists()


@pytest.mark.slow
def test_a_damaged_cache(admm, tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), **OWN}
    admm(*TRAIN, "--out", tmp_path / "first", **env)
    found = entries(tmp_path / "cache")
    assert found
    for path in found:
        path.write_bytes(b"half")
    done = admm(*TRAIN, "--out", tmp_path / "out", **env)
    assert done.returncode == 0, done.stderr


def test_a_device_that_is_not_there(admm, tmp_path):
    done = admm(*TRAIN, "--out", tmp_path / "out", JAX_PLATFORMS="cuda")
    assert done.returncode == 2
    assert "admm: error: JAX cannot start (" in done.stderr
    assert "; it was told " in done.stderr
    assert "JAX_PLATFORMS=cuda" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_variable_that_jax_cannot_read(admm, tmp_path):
    done = admm(*TRAIN, "--out", tmp_path / "out", JAX_ENABLE_X64="perhaps")
    assert done.returncode == 2
    assert "JAX_ENABLE_X64=perhaps" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [TRAIN, ("datasets", "list"), ("train", "--dataset", "cora")], ids=["", "list", "cora"]
)
def test_nobody_without_a_home(tmp_path, words):
    """No HOME, and no entry for the user: a container with a number for a user."""
    code = (
        "import os, pwd, sys\n"
        "def unknown(number): raise KeyError(number)\n"
        "pwd.getpwuid = unknown\n"
        "for name in ('HOME', 'ADMM_DATA', 'XDG_CACHE_HOME'): os.environ.pop(name, None)\n"
        "from admm.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    more = ("--out", tmp_path / "out") if words is TRAIN else ()
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, (*words, *more))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **OWN},
    )
    assert "Traceback" not in done.stderr
    if words is TRAIN:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2
        assert "this user has no home folder" in done.stderr
        assert "--data-dir or ADMM_DATA" in done.stderr
