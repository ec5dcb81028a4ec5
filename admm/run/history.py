"""What a run reports as it goes: evaluations, the best of them, `history.jsonl`, progress."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from admm.errors import InputError
from admm.files import writing

Text = TextIO | TextIOBase
Evaluation = dict[str, Any]
"""A line of the history: `stage`, `epoch`, the values of the method, `bytes_sent` in epochs by all
workers, `seconds` since the start, and `iterate_seconds` of epochs, without compilation."""

# What the progress table has no room for.
_HIDDEN = ("stage", "bytes_sent", "iterate_seconds")


class History:
    """Collects evaluations; the root also writes and prints them.

    Args:
        select: The value that picks the best: the larger the better.
        bounded: Another value that every line has, if there is one.
        epochs: Epochs of a stage, to space the progress lines.
        progress: Where the progress table goes; None prints nothing.

    Attributes:
        evaluations: All so far.
        best: The first of those with the highest `select`, among those that are finite.
    """

    def __init__(
        self, select: str, bounded: str | None, epochs: int, progress: Text | None = None
    ) -> None:
        self.evaluations: list[Evaluation] = []
        self.best: Evaluation | None = None
        self._select = select
        self._needed = {"stage", "epoch", select, bounded or select}
        self._progress = progress
        self._every = max(1, epochs // 10)
        self._epochs = epochs
        self._headed = False
        self._file: TextIO | None = None

    def open(self, out: Path) -> None:
        """Write `history.jsonl` from now on; `rewind` comes before the first evaluation.

        Raises:
            InputError: If the system refuses.
        """
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._file = (out / "history.jsonl").open("a+")
        except OSError as error:
            raise InputError(f"cannot write results to {out} ({error.strerror})") from error

    @property
    def nbytes(self) -> int:
        """Length of the file, which `rewind` takes."""
        return 0 if self._file is None else self._file.tell()

    def read(self, nbytes: int) -> list[Evaluation]:
        """The evaluations in the first bytes of the file.

        Raises:
            InputError: If the file is shorter, damaged, or of a release with other names.
        """
        if self._file is None:
            return []
        self._file.seek(0)
        text = self._file.read(nbytes)
        try:
            if len(text) < nbytes:
                raise ValueError(f"{len(text)} bytes are left of {nbytes}")
            lines = [dict(json.loads(line)) for line in text.splitlines()]
        except (TypeError, ValueError) as error:
            raise InputError(f"{self._file.name} is damaged ({error})") from error
        for line in lines:
            if missing := self._needed - set(line):
                raise InputError(
                    f"{self._file.name} has no {' and '.join(sorted(missing))}: it is of a release "
                    "that named them otherwise; go on with that one, or train anew"
                )
        return [{n: math.nan if v is None else v for n, v in line.items()} for line in lines]

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
        better = self.best is None or evaluation[self._select] > self.best[self._select]
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
        epoch = evaluation["epoch"]
        if epoch in (1, self._epochs) or epoch % self._every == 0:
            self._print(evaluation)
        return better

    def _print(self, evaluation: Evaluation) -> None:
        if self._progress is None:
            return
        names = [name for name in evaluation if name not in _HIDDEN]
        if not self._headed:
            short = (n.removesuffix("_accuracy").removesuffix("_residual") for n in names)
            self._progress.write("  ".join(f"{name:>10}" for name in short) + "\n")
            self._headed = True
        self._progress.write("  ".join(f"{evaluation[name]:>10.5g}" for name in names) + "\n")
        self._progress.flush()

    def of_stage(self, stage: int) -> list[Evaluation]:
        """The evaluations of a stage."""
        return [each for each in self.evaluations if each["stage"] == stage]

    def best_of_stage(self, stage: int) -> Evaluation:
        """The first evaluation of a stage with its highest `select`."""
        return max(self.of_stage(stage), key=lambda each: each[self._select])

    def close(self) -> None:
        """Let go of `history.jsonl`."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written, `add` has told
                self._file.close()


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
