"""The fault matrix: every fault at every moment, on 1, 2 and 4 ranks, with real processes.

    make faults                    all cells
    python -m tests.faults kill    those of some faults

A cell trains four layers with a checkpoint every four epochs, has one rank suffer the fault, and
looks at how the run ends: its exit code, its one message, how long that took, whether a process is
left. Then it resumes the run, and compares it with one that was never interrupted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.faulty import EVERY, processes_of

LAYERS = 4
EPOCHS = 14
TIMEOUT = 20  # seconds that a rank may be silent
LIMIT = 150  # seconds for a run

_TRAIN = (
    *("train", "--layers", LAYERS, "--hidden", 64, "--hops", 1, "--grow", "none"),
    *("--epochs", EPOCHS, "--checkpoint-every", EVERY, "--timeout", TIMEOUT, "--checksum"),
)
_ROOT = Path(__file__).parent.parent
_BIN = Path(sys.executable).parent


class Cell(NamedTuple):
    """A fault, when it strikes, and on how many ranks."""

    fault: str
    moment: str
    ranks: int

    @property
    def victim(self) -> int:
        """The rank that suffers it: not always the same."""
        if self.fault == "flip":  # p travels down, q up
            return 1 if self.moment == "p" else 0
        if self.fault == "pipe":  # the one that prints
            return 0
        if self.fault in ("options", "folder"):  # another than the one it is compared with
            return self.ranks - 1
        return sum(map(ord, self.fault + self.moment)) % self.ranks

    @property
    def name(self) -> str:
        return f"{self.fault}-{self.moment}-{self.ranks}"


class Outcome(NamedTuple):
    """What became of a cell."""

    code: int
    detected: float  # seconds from the fault to the end of the last process
    lost: int  # epochs
    equal: bool  # whether the resumed run is that which was never interrupted
    problems: list[str]


def cells() -> Iterator[Cell]:
    """All cells of the matrix."""
    for ranks in (1, 2, 4):
        for fault in ("kill", "freeze", "raise", "term"):
            for moment in ("start", "iteration", "message", "checkpoint", "end"):
                alone = ranks == 1 and (fault == "freeze" or moment == "message")
                if not alone:  # one process has no messages, and nobody to notice it freeze
                    yield Cell(fault, moment, ranks)
        for moment in ("iteration", "checkpoint", "end"):
            yield Cell("disk", moment, ranks)
        yield Cell("nan", "iteration", ranks)
        for fault in ("twice", "hup", "termall"):
            for moment in ("iteration", "checkpoint"):
                yield Cell(fault, moment, ranks)
        for fault in ("pipe", "writer"):
            yield Cell(fault, "iteration", ranks)
        if ranks > 1:
            for moment in ("p", "q"):
                yield Cell("flip", moment, ranks)
            for fault in ("options", "folder"):  # of one rank, others than those of the rest
                yield Cell(fault, "start", ranks)


# Exit codes. A launcher whose rank is killed ends the others at once, with a code of its own; one
# that has to kill a frozen rank may report that.
_CODES = {
    "kill": (9, 137, -9),
    "freeze": (4, 9, 137),
    "raise": (1,),
    "term": (1,),
    "twice": (1,),
    "hup": (1,),
    "termall": (1,),
    "pipe": (0,),
    "writer": (0,),
    "options": (2,),
    "folder": (2,),
    "disk": (1,),
    "nan": (0,),
    "flip": (4,),
}
_WORDS = {
    "freeze": "silent for",
    "raise": "RuntimeError: a fault",
    "term": "stopped by SIGTERM",
    "twice": "stopped by SIGTERM",
    "hup": "stopped by SIGHUP",
    "termall": "stopped by SIGTERM",
    "options": "rank {victim} has --seed 1, rank 0 --seed 0",
    "folder": "is not that of rank {victim}",
    "disk": "cannot write",
    "flip": "arrived damaged",
}


def run_cell(cell: Cell, folder: Path, reference: Path) -> Outcome:
    """Run one cell in a folder; `reference` is the run on as many ranks without a fault."""
    if cell.fault in ("options", "folder"):
        return _run_apart(cell, folder)
    out, note = folder / "run", folder / "note"
    layers = LAYERS // cell.ranks
    cuts = (cell.victim > 0) + (cell.victim < cell.ranks - 1)
    faulty = ("-m", "tests.faulty", cell.fault, cell.moment, cell.victim, note, layers, cuts)
    done, ended = _launch(cell.ranks, *faulty, *_TRAIN, "--out", out)
    if not note.exists():
        return Outcome(done.returncode, 0, 0, False, [f"the fault did not happen: {done.stderr}"])
    detected = ended - float(note.read_text())
    expected = _CODES[cell.fault]
    if cell[:2] in (("term", "end"),):
        expected = (0,)  # it had nothing left to do
    problems = _problems(cell, done, expected)
    if detected > TIMEOUT + 15:
        problems.append(f"took {detected:.0f} s")
    if cell.fault == "writer":
        other = (folder / "other").read_text()
        if not other.startswith("2 admm: error: ") or "is in use: process" not in other:
            problems.append(f"the other run was let in: {other}")
    if (out / "lock").exists() and cell.fault not in ("kill", "freeze", "raise", "flip", "disk"):
        problems.append("the lock is left")
    left = processes_of(out)
    if left:
        problems.append(f"processes {left} are left")
    if expected == (0,):
        summary = json.loads((out / "summary.json").read_text())
        if cell.fault == "nan" and len(summary["retreats"]) != 1:
            problems.append("did not go back")
        equal = cell.fault == "term" or _same(out, reference)
        if not equal and cell.fault != "nan":
            problems.append("the run is another")
        return Outcome(done.returncode, detected, 0, equal, problems)
    reached = len(_history(out))
    saved = sorted((out / "checkpoints").glob("*/manifest.json"))
    kept = json.loads(saved[-1].read_text())["epoch"] if saved else 0
    lost = max(0, reached - kept)
    if lost > EVERY:
        problems.append(f"lost {lost} epochs")
    again = ("train", "--resume", out) if saved else (*_TRAIN, "--out", out)
    resumed, _ = _launch(cell.ranks, "-m", "admm", *again)
    if resumed.returncode:
        problems.append(f"resume ended with {resumed.returncode}: {resumed.stderr[-2000:]}")
        return Outcome(done.returncode, detected, lost, False, problems)
    equal = _same(out, reference)
    if not equal:
        problems.append("the resumed run is another")
    return Outcome(done.returncode, detected, lost, equal, problems)


def _problems(
    cell: Cell, done: subprocess.CompletedProcess[str], expected: tuple[int, ...]
) -> list[str]:
    """Another exit code than expected, and a message that does not come exactly once."""
    problems = []
    if done.returncode not in expected:
        problems.append(f"exit code {done.returncode}, expected {expected}: {done.stderr[-2000:]}")
    word = _WORDS.get(cell.fault, "").format(victim=cell.victim)
    if word and expected != (0,):
        said = done.stderr.count(word)
        if said != 1:
            problems.append(f"{word!r} said {said} times: {done.stderr[-2000:]}")
    return problems


def _run_apart(cell: Cell, folder: Path) -> Outcome:
    """Start a rank that is not of the same job: with another option, or in another folder."""
    places = [folder / name for name in ("here", "there")]
    for place in places:
        place.mkdir()
    seed = 1 if cell.fault == "options" else 0
    home = places[1] if cell.fault == "folder" else places[0]
    admm = [sys.executable, "-m", "admm", *map(str, _TRAIN), "--out", "run"]
    most = ["-wdir", str(places[0]), "-n", str(cell.ranks - 1), *admm, "--seed", "0"]
    last = ["-wdir", str(home), "-n", "1", *admm, "--seed", str(seed)]
    start = time.time()
    done = subprocess.run(
        [str(_BIN / "mpirun"), *most, ":", *last],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    took = time.time() - start
    problems = _problems(cell, done, _CODES[cell.fault])
    if took > 20:
        problems.append(f"took {took:.0f} s")
    if left := [str(path) for place in places for path in place.iterdir()]:
        problems.append(f"{', '.join(left)} are left")
    return Outcome(done.returncode, took, 0, True, problems)


def run_reference(ranks: int, folder: Path) -> Path:
    """A run without a fault."""
    out = folder / f"reference-{ranks}"
    done, _ = _launch(ranks, "-m", "admm", *_TRAIN, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def _launch(ranks: int, *words: Any) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run Python on some ranks; when it ended."""
    command = [sys.executable, *map(str, words)]
    if ranks > 1:
        command = [str(_BIN / "mpirun"), "-n", str(ranks), *command]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, check=False, cwd=_ROOT
    )
    return done, time.time()


def _history(run: Path) -> list[dict[str, Any]]:
    """The evaluations, without times and without the bytes that a resumed run sends again."""
    changing = ("seconds", "iterate_seconds", "bytes_sent")
    path = run / "history.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [{k: v for k, v in json.loads(line).items() if k not in changing} for line in lines]


def _weights(run: Path) -> dict[str, bytes]:
    """The best network, bit for bit."""
    found = {}
    for name in json.loads((run / "model.json").read_text())["files"]:
        with np.load(run / name) as arrays:
            found |= {f"{Path(name).name} {key}": arrays[key].tobytes() for key in arrays}
    return found


def _same(run: Path, reference: Path) -> bool:
    return _history(run) == _history(reference) and _weights(run) == _weights(reference)


def main() -> int:
    """Run and print the matrix; returns how many cells failed."""
    wanted = [cell for cell in cells() if not sys.argv[1:] or cell.fault in sys.argv[1:]]
    print("fault   moment      ranks  exit  detected s  lost epochs  resumed equal", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        references: dict[int, Path] = {}
        for cell in wanted:
            folder = Path(name, cell.name)
            folder.mkdir()
            if cell.ranks not in references:
                references[cell.ranks] = run_reference(cell.ranks, Path(name))
            outcome = run_cell(cell, folder, references[cell.ranks])
            equal = (
                "–"
                if cell.fault in ("nan", "options", "folder")
                else "yes"
                if outcome.equal
                else "NO"
            )
            print(
                f"{cell.fault:7} {cell.moment:11} {cell.ranks:5d}  {outcome.code:4d}  "
                f"{outcome.detected:10.1f}  {outcome.lost:11d}  {equal:>13}",
                flush=True,
            )
            for problem in outcome.problems:
                print(f"  {problem}", flush=True)
            failed += bool(outcome.problems)
    print(f"{len(wanted)} cells, {failed} failed")
    return failed


if __name__ == "__main__":
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir(), "admm-jax")))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    sys.exit(min(main(), 100))
