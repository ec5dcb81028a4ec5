"""What a person sees is not the work: a run ends well where it cannot be written."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LIMIT = 60
ROOT = Path(__file__).parents[3]
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
    "12",
]


def shell(command, **env):
    """A line of shell, in which $ADMM is the program."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        timeout=LIMIT,
        check=False,
        cwd=ROOT,
        env={**os.environ, "ADMM": f"{sys.executable} -m admm", **env},
    )


@pytest.mark.parametrize(
    ("end", "env"),
    [
        ("| head -n 3", {}),
        ("> /dev/full", {}),
        pytest.param(">&-", {}, marks=pytest.mark.slow),
        pytest.param(">&- 2>&-", {}, marks=pytest.mark.slow),
        pytest.param("2> /dev/full", {}, marks=pytest.mark.slow),
        ("> out.txt", {"PYTHONIOENCODING": "ascii"}),
        pytest.param("> out.txt", {"PYTHONIOENCODING": "latin-1"}, marks=pytest.mark.slow),
        pytest.param(
            "> out.txt",
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_ends_well(tmp_path, end, env):
    end = end.replace("out.txt", str(tmp_path / "text"))
    done = shell(f"$ADMM {' '.join(TRAIN)} --out {tmp_path / 'x'} {end}", **env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert json.loads((tmp_path / "x" / "summary.json").read_text())["status"] == "done"
    if env:
        text = (tmp_path / "text").read_bytes()
        assert b"layers 1" in text
        assert text.endswith(f"results in {tmp_path / 'x'}\n".encode())


@pytest.mark.parametrize("words", ["datasets list", "train --nonsense", "--help"])
def test_what_cannot_be_said_has_its_code(words):
    """Results that were asked for are the work; errors keep their code without their message."""
    code = {"datasets list": 1, "train --nonsense": 2, "--help": 0}[words]
    done = shell(f"$ADMM {words} > /dev/full 2> /dev/full")
    assert done.returncode == code
    assert shell(f"$ADMM {words} >&- 2>&-").returncode == (0 if words == "datasets list" else code)
    done = shell(f"$ADMM {words} > /dev/full")
    assert b"Traceback" not in done.stderr
    if words == "datasets list":
        assert done.stderr.startswith(b"admm: error: cannot write to standard output (No space")
        assert shell(f"$ADMM {words} | head -n 1").returncode == 0


@pytest.fixture
def start():
    """Start a long run, maybe with a launcher; it is gone at the end, whatever happens."""
    processes = []

    def run(out, launcher=()):
        train = [*TRAIN, "--epochs", "100000", "--out", str(out)]
        process = subprocess.Popen(
            [*launcher, sys.executable, "-m", "admm", *train],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        return process

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def stopped_by(number, process, out):
    """Its message, once it is certain that it left a checkpoint and a summary, and no lock."""
    _, message = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, message
    assert message.count(f"stopped by {number.name}") == 1
    assert json.loads((out / "summary.json").read_text())["status"] == "interrupted"
    assert list(out.glob("checkpoints/*/manifest.json"))
    assert not (out / "lock").exists()
    return message


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_a_request_that_comes_twice(start, tmp_path, number):
    process = start(tmp_path)
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    stopped_by(number, process, tmp_path)


def test_a_request_to_launcher_and_ranks_at_once(start, tmp_path):
    """As a scheduler sends it: all get it, and the ranks once more from the launcher."""
    mpirun = str(Path(sys.executable).with_name("mpirun"))
    process = start(tmp_path, (mpirun, "-n", "2"))
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(tmp_path).encode() in cmdline.read_bytes().split(b"\0"):
                os.kill(int(cmdline.parent.name), signal.SIGTERM)
        except OSError:  # it ended meanwhile
            continue
    stopped_by(signal.SIGTERM, process, tmp_path)


def test_under_nohup_a_run_goes_on(start, tmp_path):
    process = start(tmp_path, ("nohup",))
    process.send_signal(signal.SIGHUP)
    before = (tmp_path / "history.jsonl").stat().st_size
    while (tmp_path / "history.jsonl").stat().st_size < 2 * before:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    stopped_by(signal.SIGTERM, process, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_data_are_loaded_leaves_nothing(tmp_path, number):
    program = (
        "import sys, time; from admm.methods.layerwise.options import GAMLPOptions as Options; "
        "Options.load = lambda *_: print('loading', flush=True) or time.sleep(60); "
        "from admm.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, *TRAIN, "--out", str(tmp_path / "runs" / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        assert (tmp_path / "runs" / "x" / "lock").exists()
        process.send_signal(number)
        assert process.wait(timeout=LIMIT) == -number
    assert not list(tmp_path.iterdir())


def test_closed_streams_lead_nowhere(tmp_path):
    """Else the files of the run get their numbers, and what libraries write to these."""
    program = (
        "import os, sys; from admm.run.history import History; close = History.close; "
        "History.close = lambda self: (os.write(1, b'x'), os.write(2, b'x'), close(self)); "
        "from admm.cli.main import main; sys.exit(main())"
    )
    run = tmp_path / "x"
    words = " ".join([*TRAIN, "--out", str(run)])
    done = shell(f'{sys.executable} -c "{program}" {words} <&- >&- 2>&-')
    assert done.returncode == 0
    for line in (run / "history.jsonl").read_text().splitlines():
        json.loads(line)
