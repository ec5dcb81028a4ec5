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

from tests.faulty import EVERY

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
        if ranks > 1:
            for moment in ("p", "q"):
                yield Cell("flip", moment, ranks)


# Exit codes. A launcher whose rank is killed ends the others at once, with a code of its own; one
# that has to kill a frozen rank may report that.
_CODES = {
    "kill": (9, 137, -9),
    "freeze": (4, 9, 137),
    "raise": (1,),
    "term": (1,),
    "disk": (1,),
    "nan": (0,),
    "flip": (4,),
}
_WORDS = {
    "freeze": "silent for",
    "raise": "RuntimeError: a fault",
    "term": "stopped by SIGTERM",
    "disk": "cannot write",
    "flip": "arrived damaged",
}


def run_cell(cell: Cell, folder: Path, reference: Path) -> Outcome:
    """Run one cell in a folder; `reference` is the run on as many ranks without a fault."""
    out, note = folder / "run", folder / "note"
    layers = LAYERS // cell.ranks
    cuts = (cell.victim > 0) + (cell.victim < cell.ranks - 1)
    faulty = ("-m", "tests.faulty", cell.fault, cell.moment, cell.victim, note, layers, cuts)
    done, ended = _launch(cell.ranks, *faulty, *_TRAIN, "--out", out)
    problems = []
    if not note.exists():
        return Outcome(done.returncode, 0, 0, False, [f"the fault did not happen: {done.stderr}"])
    detected = ended - float(note.read_text())
    expected = _CODES[cell.fault]
    if cell[:2] in (("term", "end"),):
        expected = (0,)  # it had nothing left to do
    if done.returncode not in expected:
        problems.append(f"exit code {done.returncode}, expected {expected}: {done.stderr[-2000:]}")
    word = _WORDS.get(cell.fault)
    if word is not None and expected != (0,):
        said = done.stderr.count(word)
        if said != 1:
            problems.append(f"{word!r} said {said} times: {done.stderr[-2000:]}")
    if detected > TIMEOUT + 15:
        problems.append(f"took {detected:.0f} s")
    left = _processes_of(out)
    if left:
        problems.append(f"processes {left} are left")
    if expected == (0,):
        summary = json.loads((out / "summary.json").read_text())
        if cell.fault == "nan" and len(summary["retreats"]) != 1:
            problems.append("did not go back")
        return Outcome(done.returncode, detected, 0, cell.fault == "term", problems)
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
    equal = _history(out) == _history(reference) and _weights(out) == _weights(reference)
    if not equal:
        problems.append("the resumed run is another")
    return Outcome(done.returncode, detected, lost, equal, problems)


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


def _processes_of(out: Path) -> list[str]:
    """Processes, dead ones apart, that have the folder among their arguments."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(out).encode() in cmdline.read_bytes().split(b"\0"):
                found.append(cmdline.parent.name)
        except OSError:  # it ended meanwhile
            continue
    return found


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
            equal = "–" if cell.fault == "nan" else "yes" if outcome.equal else "NO"
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
