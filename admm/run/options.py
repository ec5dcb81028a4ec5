"""The options of a method: fields that know how they are written, checked and explained.

One frozen dataclass a method, and one list of its options: in Python, on the command line, which is
made from the fields, and in `summary.json`. Needs no JAX.
"""

import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import cache
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from admm.checks import COUNT, FROM_ZERO, POSITIVE, SEED, WORKERS, Check
from admm.errors import InputError, in_shell, spelled
from admm.files import absolute, is_path, to_path
from quant import CODEC_NAMES, Levels

if TYPE_CHECKING:
    from admm.comm import Transport
    from admm.run.costs import StageCosts
    from admm.run.method import Network, Share, Training
    from admm.run.saved import Saved

Dtype = Literal["float32", "float64"]

_MEMORY = "memory:"  # before the name of data that came as objects


def option(
    default: Any,
    help: str,
    group: str = "solver",
    check: Check | None = None,
    *,
    metavar: str | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
    needs: Mapping[str, tuple[str, str]] | None = None,
) -> Any:
    """A field of options.

    Args:
        default: What it is if it is not given.
        help: What it sets; brackets at its end say what the default means, else it is shown.
        group: Under which heading it stands in `--help`.
        check: What a value has to be.
        metavar: What stands for a value there, by default N, X or PATH by its type.
        only: Values of other options that it belongs to.
        needs: Of some of its values, another option and the value that this must have.

    Example:
        >>> @dataclass(frozen=True)
        ... class Mine:
        ...     ridge: float = option(1.0, "penalty of the squared weights", check=POSITIVE)
        >>> Mine().ridge
        1.0
    """
    about = {"help": help, "group": group, "check": check, "metavar": metavar}
    return field(default=default, metadata={**about, "only": only or {}, "needs": needs or {}})


def codec_option(
    names: Sequence[str] = CODEC_NAMES,
    what: str = "how messages travel",
    default: str = "as they are",
) -> Any:
    """The field of the codec of all messages or of some; `default` says what None means."""
    check = Check(f"one of {', '.join(names)}", names.__contains__)
    text = f"{what}: {', '.join(names)} [{default}]"
    return option(None, text, "workers", check, needs={"float64": ("dtype", "float64")})


def checkpoint_option(default: int) -> Any:
    """The field of the epochs from checkpoint to checkpoint."""
    text = "epochs that may be lost; 0: a checkpoint only on a signal and at the end"
    return option(default, text, "safety", FROM_ZERO)


@dataclass(frozen=True, kw_only=True)
class MethodOptions(ABC):
    """The options of a method, and what a run asks of it: subclasses add fields, and fill it in.

    Values are read as people write them: a path may be text, and text that is a number serves as
    one. `None` means: derived from other options.

    Attributes:
        bounded: The value among those of `Training.measure` that must not explode, if there is one.
        objects: Names of the options that may be objects of one's own, which no file holds.

    Raises:
        InputError: If a value cannot be read, is out of range, or does not fit the others.

    Example:
        >>> from admm import options
        >>> isinstance(options("gsam", epochs="5"), MethodOptions), options("gsam").select
        (True, 'val_accuracy')
    """

    bounded: ClassVar[str | None] = None
    objects: ClassVar[Collection[str]] = ()

    solver: str
    dataset: str = option(
        "digits",
        "a known name (or sbm:nodes=3000), a .npz file, or a folder",
        "data",
        metavar="NAME|PATH",
    )
    data_dir: Path | None = option(
        None, "searched for upstream file names [$ADMM_DATA, else the user's cache]", "data"
    )
    split_seed: int = option(100, "random split of data that come without one", "data", SEED)
    epochs: int = option(200, "epochs of a stage", check=COUNT)
    seed: int = option(0, "initial weights, and mini-batches where there are any", check=SEED)
    dtype: Dtype = option("float32", "type of the arithmetic")
    workers: int = option(
        1,
        "workers in this process, a device each; under mpirun ranks are workers",
        "workers",
        WORKERS,
    )
    eval_every: int = option(1, "epochs between evaluations", "output", COUNT)
    trace: Path | None = option(
        None, "spans of computation and messages, for Chrome's trace viewer", "output"
    )
    out: Path | None = option(None, "results [runs/DATASET-DATE-TIME]", "output")
    checkpoint_every: int = checkpoint_option(50)
    keep: int = option(2, "checkpoints to keep", "safety", COUNT)
    resume: Path | None = option(
        None, "go on with this run, on any number of ranks; its options hold", "safety"
    )
    timeout: float = option(600.0, "seconds that a rank may be silent", "safety", POSITIVE)
    checksum: bool = option(False, "check every message between ranks for damage", "safety")

    def __post_init__(self) -> None:
        for name, each in option_fields(type(self)).items():
            value = _read(name, getattr(self, name), _hints(type(self))[name])
            object.__setattr__(self, name, value)
            if value is not None and each.metadata.get("check"):
                each.metadata["check"](name, value)
        for name, each in option_fields(type(self)).items():
            for other, allowed in each.metadata.get("only", {}).items():
                found = getattr(self, other)
                if getattr(self, name) != each.default and found not in allowed:
                    what = found if isinstance(found, str) else type(found).__name__
                    raise InputError(f"{spelled(name)} is not for {spelled(other, what)}")
            for given, (other, needed) in each.metadata.get("needs", {}).items():
                if getattr(self, name) == given and getattr(self, other) != needed:
                    raise InputError(f"{spelled(name, given)} needs {spelled(other, needed)}")
        # What is written down must be found again from elsewhere, and after os.chdir.
        if is_path(self.dataset) and not is_in_memory(self.dataset):
            object.__setattr__(self, "dataset", str(absolute(self.dataset)))
        for name in ("data_dir", "out", "resume", "trace"):
            if (place := getattr(self, name)) is not None:
                object.__setattr__(self, name, absolute(place))
        if is_path(self.dataset) and self.data_dir is not None:
            raise InputError(
                f"{spelled('data_dir', self.data_dir)} is for data sets known by name, got "
                f"{spelled('dataset', self.dataset)}; leave one of them out"
            )
        if self.resume is not None and self.out != self.resume:
            raise InputError(
                f"{spelled('resume', self.resume)} goes on in that folder; leave out "
                f"{spelled('out', self.out)}"
            )

    # What a run asks for.

    @property
    @abstractmethod
    def select(self) -> str:
        """The value of `Training.measure` that picks the best network: the larger the better.

        Of a loss, by the end of its name, the smaller.
        """

    @property
    @abstractmethod
    def stages(self) -> Sequence[str]:
        """The stages of a run, in words."""

    @property
    def callbacks(self) -> Sequence[Any]:
        """Callbacks of the method's own: anew at each reading, and told of evaluations alone.

        Where a run goes on or back, new ones are told of all evaluations before.
        """
        return ()

    @property
    @abstractmethod
    def remedy(self) -> str:
        """What may help where training diverges."""

    @abstractmethod
    def load(self, transport: "Transport", data: Any = None) -> "Share":
        """The data of a run: by name at the root or wherever they lie, or those given.

        All processes call it.
        """

    @abstractmethod
    def begin(
        self, share: "Share", transport: "Transport", stage: int, kept: "Network | None"
    ) -> "Training":
        """The start of a stage; `kept` is the network in training at the end of the one before."""

    def look(self, transport: "Transport", data: Any = None) -> "Share":
        """What `load` returns, as far as `costs` and `peak_memory` need it; all processes call it.

        By default all of it. A method whose inputs take long to make, or much memory, leaves them
        out.
        """
        return self.load(transport, data)

    def read(self) -> Any:
        """The data set alone, as `evaluate` and `predict` take it for `data`.

        Raises:
            InputError: If it cannot be read, or the method has none of its own.
        """
        raise InputError(f"{self.solver} has no data set that can be read by itself")

    def costs(self, share: "Share") -> "Sequence[StageCosts] | None":
        """What every stage costs, the same in every process; None: the method does not say."""
        return None

    def peak_memory(self, share: "Share") -> Sequence[int] | None:
        """Bytes of arrays that every worker holds at once, at most, the data it loads included."""
        return None

    @abstractmethod
    def safer(self, training: "Training") -> tuple["MethodOptions", str] | None:
        """Options with which training that has diverged may not, and what is new about them."""

    def evaluate(self, saved: "Saved", transport: "Transport", data: Any) -> dict[str, float]:
        """Scores of a saved network, in every process."""
        raise InputError(f"{self.solver} has no evaluate")

    def predict(self, saved: "Saved", transport: "Transport", data: Any) -> "np.ndarray":
        """What a saved network says of every row of the data, in every process."""
        raise InputError(f"{self.solver} has no predict")

    def passing(
        self, saved: "Saved", transport: "Transport", data: Any
    ) -> "Callable[[], np.ndarray]":
        """`predict` by one worker, to be timed: what passes need not repeat is done at once."""
        return lambda: self.predict(saved, transport, data)

    # On disk.

    def as_json(self) -> dict[str, Any]:
        """All options, as JSON values."""
        return {name: json_value(getattr(self, name)) for name in option_fields(type(self))}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`.

        Raises:
            InputError: If there are other options.
        """
        for name in values:
            if name not in option_fields(cls):
                raise InputError(f"this release has no {spelled(name, values[name])}")
        return cls(**values)


def help_of(each: Field[Any]) -> str:
    """What an option does on the command line, where one that is on can only be switched off."""
    text: str = each.metadata["help"]
    return f"leave out: {text}" if each.default is True else text


@cache
def option_fields(kind: type) -> dict[str, Field[Any]]:
    """The fields of options, by name."""
    return {each.name: each for each in fields(kind)}


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def value_kinds(kind: type, name: str) -> tuple[Any, ...]:
    """The types of an option's values, or the values themselves where it has only some."""
    hint = _hints(kind)[name]
    return get_args(hint) if get_origin(hint) in (Literal, Union, UnionType) else (hint,)


def codec_of(options: Any) -> str:
    """The name of the codec of messages, by default that of the arithmetic."""
    return options.codec or options.dtype


def folder_of(run: Any) -> Path:
    """The folder of a run, as people write it.

    Raises:
        InputError: If it is no path.
    """
    try:
        return to_path(run)
    except (TypeError, ValueError) as error:
        raise InputError(f"a run is given by the path of its folder, got {run!r}") from error


def with_place(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of options; where one says by its path where a data set is, it is in no folder."""
    by_path = is_path(str(changes.get("dataset", "")))
    return {**({"data_dir": None} if by_path else {}), **changes}


def in_memory(name: str) -> str:
    """The `dataset` of data that came as objects."""
    return f"{_MEMORY}{name.removeprefix(_MEMORY)}"


def is_in_memory(dataset: str) -> bool:
    """Whether `dataset` is one of `in_memory`."""
    return dataset.startswith(_MEMORY)


def check_not_in_memory(dataset: str) -> None:
    """Refuse to load what came as objects.

    Raises:
        InputError: If the name is one of `in_memory`.
    """
    if is_in_memory(dataset):
        hint = (
            "in Python, pass them along, as data; docs/own-network.md says how to predict new rows"
            if in_shell()
            else "pass them along, as data"
        )
        raise InputError(
            f"{dataset.removeprefix(_MEMORY)!r} are data in memory, not a name to load; {hint}"
        )


# Values as people write them.


def _read(name: str, value: Any, hint: Any) -> Any:
    """A value, brought into the type of its field.

    Raises:
        InputError: If it cannot be.
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return None
    expected, detail = [], ""
    for kind in kinds:
        if get_origin(kind) is not Literal and kind not in (NoneType, *_READERS):
            return value  # a type of the method's own
        if get_origin(kind) is Literal:
            if isinstance(value, str) and value in get_args(kind):
                return value
            expected.append(f"one of {', '.join(get_args(kind))}")
        elif kind is not NoneType:
            words, reader = _READERS[kind]
            try:
                return reader(value)
            except (TypeError, ValueError, OverflowError) as error:
                expected.append(words)
                told = kind is Levels or (kind is Path and isinstance(error, ValueError))
                detail = f": {error}" if told else ""
    raise InputError(f"{spelled(name)} must be {' or '.join(expected)}, got {value!r}{detail}")


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(value) if isinstance(value, str) else operator.index(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | Real):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str | Path):
        raise TypeError
    text = str(value)
    if not text or "\0" in text:
        raise ValueError("empty, or with a null character")
    return os.path.join(".", text) if isinstance(value, Path) and not is_path(text) else text


def _numbers(value: Any) -> tuple[int, ...]:
    parts: Iterable[Any] = value.split(",") if isinstance(value, str) else value
    return tuple(_whole(part) for part in parts)


_READERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    int: ("a whole number", _whole),
    float: ("a number", _number),
    bool: ("True or False", _truth),
    str: ("text", _text),
    Path: ("a path", to_path),
    tuple[int, ...]: ("whole numbers such as 3,6", _numbers),
    Levels: ("levels LOW:HIGH[:STEP]", lambda value: Levels.parse(str(value))),
}


def json_value(value: Any) -> Any:
    """A value as JSON has it.

    Example:
        >>> import numpy as np
        >>> json_value((np.int64(2), np.array([4, 8]))), json_value(Path("run"))
        ([2, [4, 8]], 'run')
    """
    if isinstance(value, tuple | list):
        return [json_value(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value) if isinstance(value, Path | Levels) else value
