"""What a run reports: evaluations, the best of them, `history.jsonl`, `summary.json`, progress."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from admm.errors import InputError
from admm.training.files import write_atomically, writing

Text = TextIO | TextIOBase


class Evaluation(NamedTuple):
    """The network after some epoch of some stage; accuracies are fractions."""

    stage: int
    layers: int
    epoch: int
    train_loss: float  # mean over training nodes
    train_accuracy: float
    val_accuracy: float
    test_accuracy: float
    # The next three are of pdADMM-G; `train` and `train_subnetworks` say what others have there.
    lagrangian: float
    primal_residual: float  # (Σ ‖p_{l+1} − q_l‖²)^½
    dual_residual: float  # (Σ ‖ρ Δq_l‖²)^½
    rho: float
    nu: float
    bytes_sent: int  # in iterations, all workers, since the start
    seconds: float  # since the start
    iterate_seconds: float  # of iterations, waiting included, without compilation

    @property
    def finite(self) -> bool:
        """Whether training is still among the finite numbers."""
        return all(map(math.isfinite, self))


class History:
    """Collects evaluations; the root also writes and prints them.

    It begins with what is in the file; `rewind` comes before the first evaluation.

    Args:
        out: Folder of the run; None keeps the history in memory only.
        progress: Where the progress table goes; None prints nothing.
        epochs: Epochs of a stage, to space the progress lines.
    """

    def __init__(self, out: Path | None, progress: Text | None, epochs: int) -> None:
        self.evaluations: list[Evaluation] = []
        self.best: Evaluation | None = None
        self._out = out
        self._progress = progress
        self._every = max(1, epochs // 10)
        self._epochs = epochs
        self._headed = False
        self._file: TextIO | None = None
        if out is not None:
            try:
                out.mkdir(parents=True, exist_ok=True)
                self._file = (out / "history.jsonl").open("a+")
            except OSError as error:
                raise InputError(f"cannot write results to {out} ({error.strerror})") from error

    @property
    def nbytes(self) -> int:
        """Length of the file, which `rewind` takes."""
        return 0 if self._file is None else self._file.tell()

    def rewind(self, nbytes: int) -> list[Evaluation]:
        """Forget all that comes after the first bytes of the file; returns what is left.

        Raises:
            InputError: If the file is shorter, or damaged.
            OutputError: If the system refuses to write.
        """
        left: list[Evaluation] = []
        if self._file is not None:
            self._file.seek(0)
            text = self._file.read(nbytes)
            try:
                if len(text) < nbytes:
                    raise ValueError(f"{len(text)} bytes are left of {nbytes}")
                left = [_from_json(line) for line in text.splitlines()]
            except (TypeError, ValueError) as error:
                raise InputError(f"{self._file.name} is damaged ({error})") from error
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
        better = self.best is None or evaluation.val_accuracy > self.best.val_accuracy
        if better and evaluation.finite:
            self.best = evaluation
            return True
        return False

    def add(self, evaluation: Evaluation) -> bool:
        """Record an evaluation; whether it is the best so far by validation accuracy.

        Raises:
            OutputError: If the system refuses to write.
        """
        better = self._keep(evaluation)
        if self._file is not None:
            with writing(Path(self._file.name)):
                self._file.write(_to_json(evaluation._asdict()) + "\n")
                self._file.flush()
        if self._progress is not None and self._is_shown(evaluation):
            if not self._headed:
                self._progress.write(_HEADER)
                self._headed = True
            self._progress.write(_ROW.format(**evaluation._asdict()))
            self._progress.flush()
        return better

    def best_of_stage(self, stage: int) -> Evaluation:
        """Earliest evaluation of a stage with its highest validation accuracy."""
        return max((e for e in self.evaluations if e.stage == stage), key=lambda e: e.val_accuracy)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`, atomically, and close the history.

        Raises:
            OutputError: If the system refuses.
        """
        self.close()
        if self._out is not None:
            content = _to_json(summary, indent=1).encode()
            write_atomically(self._out / "summary.json", content)

    def close(self) -> None:
        """Let go of `history.jsonl`."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written, `add` has told
                self._file.close()

    def _is_shown(self, evaluation: Evaluation) -> bool:
        return evaluation.epoch in (1, self._epochs) or evaluation.epoch % self._every == 0


def _to_json(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON, which knows no NaN and no infinity: null in their place."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, list):
            return [plain(part) for part in value]
        return value

    return json.dumps(plain(values), indent=indent, allow_nan=False)


def _from_json(line: str) -> Evaluation:
    values: dict[str, Any] = json.loads(line)
    values |= {name: math.nan for name, value in values.items() if value is None}
    return Evaluation(**values)


_HEADER = (
    "layers  epoch  train loss  train    val   test   lagrangian     primal       dual  seconds\n"
)
_ROW = (
    "{layers:6d}  {epoch:5d}  {train_loss:10.3e}  {train_accuracy:5.3f}  {val_accuracy:5.3f}  "
    "{test_accuracy:5.3f}  {lagrangian:11.4e}  {primal_residual:9.2e}  {dual_residual:9.2e}  "
    "{seconds:7.1f}\n"
)
