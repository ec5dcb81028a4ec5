"""The ranks of a command are one job: the same command, options and folder."""

import subprocess
import sys

import pytest

from admm import LocalTransport, options
from admm.errors import InputError, shell_spelling
from admm.run.agreement import check_one_job

LIMIT = 60
ADMM = (sys.executable, "-m", "admm")
TRAIN = [
    "train",
    "--layers",
    "2",
    "--hidden",
    "4",
    "--hops",
    "1",
    "--grow",
    "none",
    "--epochs",
    "2",
]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (["--seed", "1"], "rank 1 has --seed 1, rank 0 --seed 0"),
        (["--help"], "rank 1 is to `admm train --help`, rank 0 to `admm train`"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
@pytest.mark.parametrize(
    "out",
    [["--out", "runs/a"], pytest.param([], marks=pytest.mark.slow)],
    ids=["out", "default"],
)
def test_options_of_one_job(mpmd, tmp_path, other, message, out):
    done = mpmd((tmp_path, *TRAIN, *out), (tmp_path, *TRAIN, *out, *other))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("admm: error") == 1
    assert message in done.stderr
    assert f"start them together: mpirun -n 2 python -m admm {' '.join([*TRAIN, *out])}" in (
        done.stderr
    )
    assert not list(tmp_path.iterdir())


class Ranks(LocalTransport):
    """Two ranks, as one of them sees them, each with its options."""

    def __init__(self, *given):
        super().__init__(len(given))
        self.given = given

    def gather(self, mine):
        return [(mine[0], options.as_json()) for options in self.given]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {"solver": "adam"}, "rank 1 has --solver adam, rank 0 --solver pdadmm-g"),
        ({}, {"hidden": 5}, "rank 1 has --hidden 5, rank 0 --hidden 4"),
        ({}, {"codec": "delta4"}, "rank 1 has --codec delta4, rank 0 --codec float32"),
        ({}, {"epochs": 7}, "rank 1 has --epochs 7, rank 0 --epochs 2"),
        ({"out": "/a"}, {}, "rank 1 has --out None, rank 0 --out /a"),
        ({}, {"trace": "/t.json"}, "rank 1 has --trace /t.json, rank 0 --trace None"),
    ],
)
def test_other_options(first, second, message):
    small = {"layers": 2, "hidden": 4, "epochs": 2}
    ranks = Ranks(*(options(**{**small, **changes}) for changes in (first, second)))
    with shell_spelling(), pytest.raises(InputError, match=f"one set of options: {message}; start"):
        check_one_job(ranks.given[0], ranks)


def test_places_may_have_other_names():
    ranks = Ranks(options(out="/a", trace="/t.json"), options(out="/b", trace="/u.json"))
    check_one_job(ranks.given[0], ranks)


def test_places_on_some_ranks_alone(mpmd, command, tmp_path):
    """Each would be waited for by the ranks that have it; where a run is, it stays as it is."""
    done = command(*TRAIN, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    plain = (tmp_path, *TRAIN, "--timeout", "20")
    out = (*plain, "--out", "a")
    for one, other, message in (
        (plain, out, "rank 1 has --out a, rank 0 --out None"),
        ((tmp_path, "train", "--resume", "a", *plain[-2:]), out, "rank 0 --resume a"),
    ):
        done = mpmd(one, other)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr.replace(f"{tmp_path}/", "")
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before


def test_another_command(mpmd, tmp_path):
    done = mpmd((tmp_path, *TRAIN), (tmp_path, "evaluate", "runs/a"))
    assert done.returncode == 2
    assert "rank 1 is to `admm evaluate`, rank 0 to `admm train`" in done.stderr


def test_one_folder(mpmd, tmp_path):
    """A relative folder is another one elsewhere; an absolute one, and the default, are not."""
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        folder.mkdir()
    out = ("--out", "runs/x")
    done = mpmd((a, *TRAIN, *out), (b, *TRAIN, *out))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("admm: error") == 1
    assert f"{a}/runs/x, is not that of rank 1 ({b}/runs/x): give --out the abs" in done.stderr
    assert not [*a.iterdir(), *b.iterdir()]
    out = ("--out", str(tmp_path / "x"))
    done = mpmd((a, *TRAIN, *out), (b, *TRAIN, *out))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x" / "summary.json").exists()
    done = mpmd((a, *TRAIN), (b, *TRAIN))
    assert done.returncode == 0, done.stderr
    assert len(list(a.glob("runs/*/summary.json"))) == 1
    assert not list(b.iterdir())


def test_a_folder_in_use(admm, tmp_path):
    """Under mpirun too there is one message, and the run that writes there goes on."""
    long = [*ADMM, *TRAIN, "--epochs", "100000", "--out", str(tmp_path / "x")]
    with subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert first.stdout is not None
        for _ in range(4):
            first.stdout.readline()
        done = admm(*TRAIN, "--out", tmp_path / "x", ranks=2, timeout=LIMIT)
        assert done.returncode == 2
        assert done.stderr.count("is in use: process") == 1
        assert f"process {first.pid} on" in done.stderr
        assert first.poll() is None
        first.terminate()
        first.communicate(timeout=LIMIT)
    assert not (tmp_path / "x" / "lock").exists()
