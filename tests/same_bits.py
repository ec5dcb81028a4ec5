"""Whether a change leaves every run as it was: the same commands at a commit and now, compared.

    python -m tests.same_bits COMMIT FOLDER [WORD …]

trains every case (those whose names contain a word) with the code of the commit and with the
working tree, each once: results stay in FOLDER and are not made again. Then it compares

- every line of `history.jsonl`, value for value, but for seconds; sums over workers to 1e-12,
  where a fixed order of additions may differ from MPI's,
- every array of every checkpoint and of the best network, bit for bit,

and resumes a copy of the commit's run with the working tree: it goes on as it would have at the
commit. Prints a line a case; the exit code is the number of differences.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

_ROOT = Path(__file__).parent.parent
_SEEDS = ("--layers", 6, "--hidden", 32, "--epochs", 12, "--checkpoint-every", 4, "--timeout", 60)
_LAYERS = (*_SEEDS, "--hops", 8)  # more columns than training nodes: layer 1 has a basis
_PARTS = ("--layers", 7, "--hidden", 32, "--epochs", 4, "--checkpoint-every", 2)
_CODECS: dict[str, tuple[Any, ...]] = {
    "float32": (),
    "delta4": ("--codec", "delta4"),
    "delta2": ("--codec", "delta2"),
    "levels": ("--levels=-1:20", "--codec", "levels"),
}

# What a case trains, and on how many ranks.
CASES: dict[str, tuple[int, tuple[Any, ...]]] = {
    **{
        f"pdadmm-g-{codec}-{ranks}-{way}": (ranks, (*_LAYERS, *options, *grow))
        for codec, options in _CODECS.items()
        for ranks in (1, 2, 4)
        for way, grow in (("grown", ()), ("at-once", ("--grow", "none")))
    },
    **{f"adam-{ranks}": (ranks, (*_LAYERS, "--solver", "adam")) for ranks in (1, 2, 4)},
    **{
        f"{solver}-{parts}-{ranks}": (
            ranks,
            (*_PARTS, "--solver", solver, "--subnetworks", parts, "--codec", codec),
        )
        for solver, codec in (("gsadmm", "delta4"), ("gsam", "float32"))
        for parts, ranks in ((2, 1), (2, 2), (3, 1), (3, 3))
    },
    "gsadmm-kept-2": (
        2,
        (*_PARTS, "--solver", "gsadmm", "--no-refresh", "--alpha", 0.1, "--inner", 2),
    ),
}

_SUMS = ("lagrangian", "objective", "primal_residual", "dual_residual", "output_residual", "alpha")
_TIMES = ("seconds", "iterate_seconds")


def train(tree: Path, out: Path, ranks: int, *options: Any) -> subprocess.CompletedProcess[str]:
    """Run `admm train` with the code of a tree."""
    command = [sys.executable, "-m", "admm", "train", *map(str, options)]
    if "--resume" not in options:
        command += ["--out", str(out)]
    if ranks > 1:
        command = [str(Path(sys.executable).with_name("mpirun")), "-n", str(ranks), *command]
    env = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(out.parent.parent / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return subprocess.run(
        command, cwd=tree, capture_output=True, text=True, check=False, timeout=600, env=env
    )


def trained(tree: Path, out: Path, case: str) -> Path:
    """The run of a case, made if it is not there."""
    if not (out / "summary.json").exists():
        ranks, options = CASES[case]
        done = train(tree, out, ranks, *options)
        if done.returncode != 0:
            sys.exit(f"{tree}: {case} ended with {done.returncode}: {done.stderr}")
    return out


def history(run: Path) -> list[dict[str, Any]]:
    """The lines of `history.jsonl` without times."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{n: v for n, v in line.items() if n not in _TIMES} for line in lines]


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Every array of every checkpoint and of the best network."""
    found: dict[str, np.ndarray] = {}
    for path in sorted(run.rglob("*.npz")):
        with np.load(path) as archive:
            found |= {f"{path.relative_to(run)} {name}": archive[name] for name in archive}
    return found


def differences(old: Path, new: Path, apart: tuple[str, ...] = ()) -> list[str]:
    """What is not the same in two runs, some values apart."""
    found = []
    before, now = history(old), history(new)
    if len(before) != len(now):
        found.append(f"{len(before)} and {len(now)} evaluations")
    for a, b in zip(before, now, strict=False):
        if set(a) != set(b):
            found.append(f"evaluations have {sorted(set(a) ^ set(b))} on one side only")
            break
        for name, value in ((name, value) for name, value in a.items() if name not in apart):
            near = abs(b[name] - value) <= 1e-12 * abs(value) if name in _SUMS else False
            if b[name] != value and not near:
                found.append(f"epoch {a['epoch']}: {name} {value} and {b[name]}")
    before_arrays, now_arrays = arrays(old), arrays(new)
    if set(before_arrays) != set(now_arrays):
        found.append(f"arrays {sorted(set(before_arrays) ^ set(now_arrays))[:4]} on one side only")
    for name in set(before_arrays) & set(now_arrays):
        x, y = before_arrays[name], now_arrays[name]
        if (x.dtype, x.shape, x.tobytes()) != (y.dtype, y.shape, y.tobytes()):
            found.append(f"{name} differs")
    return found


def resumed(folder: Path, base: Path, case: str) -> str:
    """How a run of the commit goes on now: as at the commit, or how it fails."""
    ranks, options = CASES[case]
    more = int(options[options.index("--epochs") + 1]) + 2
    runs = []
    for tree, name in ((base, "old-more"), (_ROOT, "new-more")):
        run = folder / name / case
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(folder / "old" / case, run)
        done = train(tree, run, ranks, "--resume", run, "--epochs", more)
        if done.returncode != 0:
            return f"failed: {done.stderr.strip()}"
        runs.append(run)
    # What a resumed run sends once more, to start, is not what it sent at the commit.
    found = differences(runs[0], runs[1], apart=("bytes_sent",))
    return "resumed the same" if not found else f"resumed differently: {found[:3]}"


def main() -> int:
    """Compare; returns the number of cases that differ."""
    commit, name, *words = sys.argv[1:]
    folder = Path(name).resolve()
    base = folder / "base"
    if not base.exists():
        subprocess.run(["git", "clone", "--quiet", _ROOT, base], check=True)
    subprocess.run(["git", "-C", base, "checkout", "--quiet", commit], check=True)
    head = ["git", "-C", base, "rev-parse", "HEAD"]
    found = subprocess.run(head, capture_output=True, text=True, check=True).stdout
    of = folder / "commit"
    if of.exists() and of.read_text() != found:
        sys.exit(f"{folder} has runs of {of.read_text().strip()}; pass another folder")
    of.write_text(found)
    failed = 0
    for case in CASES:
        if words and not any(word in case for word in words):
            continue
        old = trained(base, folder / "old" / case, case)
        new = trained(_ROOT, folder / "new" / case, case)
        found = differences(old, new)
        print(f"{case:28} {'the same' if not found else found[:4]}; ", end="", flush=True)
        again = resumed(folder, base, case)
        print(again, flush=True)
        failed += bool(found) or again != "resumed the same"
    print(f"{failed} cases differ")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 100))
