"""Options of every training run, whatever it trains: data, workers, results, safety."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from admm.errors import InputError
from admm.training.checks import Dtype, check_choice, check_counts, check_positive, flag
from quant import CODEC_NAMES

T = TypeVar("T", bound="RunOptions")

_PATHS = ("data_dir", "out", "trace", "resume")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What both kinds of options have in common.

    Args:
        dataset: Name of a data set, or path of an `.npz` graph.
        data_dir: Folder searched for data sets; `$ADMM_DATA`, else the user's cache.
        codec: How messages travel; by default as they are.
        workers: Workers in this process, each on its own JAX device; 1 under MPI.
        seed: Seed of the initial weights, and of the mini-batches where there are any.
        split_seed: Seed of the random split of data sets that come without one.
        eval_every: Epochs between evaluations; the last epoch of a stage always has one.
        dtype: Type of the arithmetic.
        out: Folder of the results.
        trace: File for spans of computation and messages, in the format of Chrome's trace viewer.
        checkpoint_every: Epochs that may be lost, with checkpoints in `out` so often; with 0 there
            are none but those that a signal asks for.
        keep: Checkpoints to keep.
        resume: Folder of a run to go on with, see `resumed`.
        timeout: Seconds that another rank may be silent while this one waits for it.
        checksum: Whether messages between ranks carry a checksum.

    Raises:
        InputError: If an option is out of range.
    """

    dataset: str = "digits"
    data_dir: Path | None = None
    codec: str | None = None
    workers: int = 1
    seed: int = 0
    split_seed: int = 100
    eval_every: int = 1
    dtype: Dtype = "float32"
    out: Path | None = None
    trace: Path | None = None
    checkpoint_every: int = 50
    keep: int = 2
    resume: Path | None = None
    timeout: float = 600.0
    checksum: bool = False

    codecs: ClassVar[Sequence[str]] = CODEC_NAMES

    def __post_init__(self) -> None:
        check_counts(self, ("workers", "eval_every", "keep"))
        check_positive("timeout", self.timeout)
        check_choice("dtype", self.dtype, Dtype)
        for name in ("seed", "split_seed"):
            if not 0 <= getattr(self, name) < 2**32:
                raise InputError(f"--{flag(name)} must be in 0…2³²−1, got {getattr(self, name)}")
        if self.checkpoint_every < 0:
            raise InputError(
                f"--checkpoint-every must not be negative, got {self.checkpoint_every}"
            )
        if self.resume is not None and self.out != self.resume:
            raise InputError(
                f"--resume {self.resume} goes on in that folder; leave out --out {self.out}"
            )

    def check_codec(self) -> None:
        """Whether there is such a codec: after other checks, which may say that there is none.

        Raises:
            InputError: If not.
        """
        if self.codec not in (None, *self.codecs):
            raise InputError(
                f"unknown codec {self.codec!r}; expected one of {', '.join(self.codecs)}"
            )
        if self.codec == "float64" and self.dtype == "float32":
            raise InputError("--codec float64 needs --dtype float64")

    def as_json(self) -> dict[str, Any]:
        """All options, resolved, as JSON values; null for those that do not apply."""
        values = asdict(self)
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}

    @classmethod
    def from_json(cls: type[T], values: Mapping[str, Any]) -> T:
        """The inverse of `as_json`."""
        paths = {name: Path(values[name]) for name in _PATHS if values.get(name) is not None}
        return cls(**{**values, **paths})
