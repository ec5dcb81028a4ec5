"""What a run reports as it goes: evaluations, the best of them, `history.jsonl`, progress."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from admm.console import Console
from admm.errors import InputError
from admm.files import reading, writing
from admm.run.options import folder_of

Evaluation = dict[str, Any]
"""A line of the history: `stage`, `epoch`, the values of the method, `bytes_sent` in epochs by all
workers, `seconds` since the start, and `iterate_seconds` of epochs, without compilation."""

# What the progress table has no room for.
_HIDDEN = ("stage", "bytes_sent", "bytes_up", "bytes_down", "iterate_seconds")
OTHER_SCORES = ("_balanced_accuracy", "_roc_auc", "_smape", "_worst")

# Rows of the progress table for each stage, beside the first.
_ROWS = 10


class History:
    """Collects evaluations; the root also writes and prints them.

    Args:
        select: The value that picks the best, see `gain`.
        epochs: Epochs of a stage.
        eval_every: Epochs between evaluations.
        stages: How many there are.
        console: Where the progress table goes, if anywhere.

    Attributes:
        evaluations: All so far.
        best: The first of those with the best `select`, among those that are finite.
    """

    def __init__(
        self,
        select: str,
        epochs: int,
        eval_every: int = 1,
        stages: int = 1,
        console: Console | None = None,
    ) -> None:
        self.evaluations: list[Evaluation] = []
        self.best: Evaluation | None = None
        self._select = select
        self._needed = {"stage", "epoch", select}
        self._console = console or Console(None)
        self._epochs, self._stages = epochs, stages
        self._shown = shown_epochs(epochs, eval_every)
        self._headed = False
        self._file: TextIO | None = None

    def open(self, out: Path, new: bool = True) -> None:
        """Take `history.jsonl` up; a new one is empty at first.

        Raises:
            InputError: If the system refuses.
        """
        self.close()
        path = out / "history.jsonl"
        try:
            self._file = path.open("w+" if new else "r+")
        except OSError as error:
            raise InputError(f"cannot open {path} ({error.strerror})") from error

    @property
    def nbytes(self) -> int:
        """Length of the file, which `rewind` takes."""
        return 0 if self._file is None else self._file.tell()

    def read(self, nbytes: int) -> list[Evaluation]:
        """The evaluations in the first bytes of the file.

        Raises:
            InputError: If the file is shorter or damaged.
        """
        if self._file is None:
            return []
        self._file.seek(0)
        text = self._file.read(nbytes)
        if len(text) < nbytes:
            raise InputError(
                f"{self._file.name} is damaged ({len(text)} bytes are left of {nbytes})"
            )
        lines = _evaluations(self._file.name, text)
        for line in lines:
            if missing := self._needed - set(line):
                told = " and ".join(sorted(missing))
                raise InputError(f"{self._file.name} is damaged (a line without {told})")
        return lines

    def rewind(self, nbytes: int) -> list[Evaluation]:
        """Forget all that comes after the first bytes of the file; returns what is left.

        Raises:
            InputError: As `read` does.
            OutputError: If the system refuses to write.
        """
        left = self.read(nbytes)
        if self._file is not None:
            with writing(Path(self._file.name)):
                self._file.truncate(nbytes)
                self._file.seek(nbytes)
        self.replay(left)
        return left

    def replay(self, evaluations: Sequence[Evaluation]) -> None:
        """Take these evaluations in place of all so far."""
        self.evaluations, self.best = [], None
        for evaluation in evaluations:
            self._keep(evaluation)

    def _keep(self, evaluation: Evaluation) -> bool:
        self.evaluations.append(evaluation)
        better = self.best is None or self._gain(evaluation) > self._gain(self.best)
        if better and is_finite(evaluation):
            self.best = evaluation
            return True
        return False

    def add(self, evaluation: Evaluation) -> bool:
        """Record an evaluation; whether it is the best so far.

        Raises:
            OutputError: If the system refuses to write.
        """
        better = self._keep(evaluation)
        if self._file is not None:
            with writing(Path(self._file.name)):
                self._file.write(to_json(evaluation) + "\n")
                self._file.flush()
        if evaluation["epoch"] in self._shown:
            self._print(evaluation)
        return better

    def _print(self, evaluation: Evaluation) -> None:
        if not self._console:
            return
        hidden = [n for n in evaluation if n in _HIDDEN or n.endswith(OTHER_SCORES)]
        names = [name for name in evaluation if name not in hidden]
        if not self._headed:
            short = (n.removesuffix("_accuracy").removesuffix("_residual") for n in names)
            self._console.write("  ".join(f"{name:>10}" for name in ("row", *short, "left")) + "\n")
            self._headed = True
        of_stage = self._shown.index(evaluation["epoch"]) + 1
        row = (
            f"{evaluation['stage'] * len(self._shown) + of_stage}/{self._stages * len(self._shown)}"
        )
        values = (f"{evaluation[name]:.5g}" for name in names)
        words = (row, *values, duration(self.left(evaluation)))
        self._console.write("  ".join(f"{word:>10}" for word in words) + "\n")

    def left(self, evaluation: Evaluation) -> float:
        """Seconds from an evaluation to the end of the run, at the pace of its stage; else NaN."""
        first = self.of_stage(evaluation["stage"])[0]
        epochs = evaluation["epoch"] - first["epoch"]
        left = self._epochs * (self._stages - evaluation["stage"]) - evaluation["epoch"]
        pace = (evaluation["seconds"] - first["seconds"]) / epochs if epochs else math.nan
        return left * pace if left else 0.0

    def of_stage(self, stage: int) -> list[Evaluation]:
        """The evaluations of a stage."""
        return [each for each in self.evaluations if each["stage"] == stage]

    def best_of_stage(self, stage: int) -> Evaluation:
        """The first evaluation of a stage with its best `select`."""
        return max(self.of_stage(stage), key=self._gain)

    def _gain(self, evaluation: Evaluation) -> float:
        return gain(self._select, evaluation[self._select])

    def close(self) -> None:
        """Let go of `history.jsonl`."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written, `add` has told
                self._file.close()


def gain(name: str, value: float) -> float:
    """A value such that the larger is the better: of a loss, by the end of its name, less of it.

    Example:
        >>> gain("val_accuracy", 0.5), gain("val_loss", 0.5)
        (0.5, -0.5)
    """
    return -value if name.endswith("loss") else value


def read_history(run: str | Path) -> list[Evaluation]:
    """The evaluations of a run so far, as `train` returns them; values that are not finite are NaN.

    A line that is still being written is left out.

    Args:
        run: The `out` folder of a run.

    Raises:
        InputError: If the folder has no history, or the history is damaged.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> result = train(options(layers=2, hidden=16, epochs=5, out=tempfile.mkdtemp()))
        >>> read_history(result.summary["options"]["out"]) == result.history
        True
    """
    path = folder_of(run) / "history.jsonl"
    with reading(path):
        text = path.read_text(errors="replace")
    found = _evaluations(str(path), text[: text.rfind("\n") + 1])
    for number, line in enumerate(found, 1):
        if not {"stage", "epoch"} <= set(line):
            raise InputError(f"{path} is damaged (line {number}: no stage or no epoch)")
    return found


def _evaluations(name: str, text: str) -> list[Evaluation]:
    """The lines of a history.

    Raises:
        InputError: If one is not what `to_json` made of an evaluation.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            values = {n: math.nan if v is None else v for n, v in dict(json.loads(line)).items()}
            [math.isfinite(value) for value in values.values()]  # they are numbers
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{name} is damaged (line {number}: {error})") from error
        found.append(values)
    return found


def shown_epochs(epochs: int, eval_every: int) -> list[int]:
    """The epochs of a stage whose evaluations the progress table shows.

    They are the first and the last one, and the first in or after every tenth of the stage.

    Example:
        >>> shown_epochs(30, 7), shown_epochs(1000, 30)[:4]
        ([7, 14, 21, 28, 30], [30, 120, 210, 300])
    """
    tenth = max(1, epochs // _ROWS)
    after = (-(-part // eval_every) * eval_every for part in range(tenth, epochs + 1, tenth))
    return sorted({min(epoch, epochs) for epoch in (eval_every, *after, epochs)})


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, or nothing where they are not known.

    Example:
        >>> duration(5.2), duration(3725.0), duration(math.nan)
        ('5 s', '1:02:05', '')
    """
    if not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def is_finite(evaluation: Evaluation) -> bool:
    """Whether training is still among the finite numbers."""
    return all(map(math.isfinite, evaluation.values()))


def to_json(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON, which knows no NaN and no infinity: null in their place."""

    def finite(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {key: finite(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [finite(part) for part in value]
        return value

    return json.dumps(finite(values), indent=indent, allow_nan=False)
