"""A callback that writes evaluations for TensorBoard."""

from pathlib import Path
from typing import Any

from admm.comm import launch
from admm.errors import InputError
from admm.extras import load
from admm.files import make_folder, to_path
from admm.run.callbacks import Callback
from admm.run.history import Evaluation

# Seconds until what was seen is in the file, at the latest.
_FLUSH_EVERY = 2


def tensorboard(folder: str | Path) -> Callback:
    """Write the values of every evaluation for TensorBoard, by tensorboardX.

    Each stage has a folder of its own, `stage-1` and so on: a curve for every stage, over its
    epochs. Names are those of the history. Of several ranks the first one writes. The end of the
    run closes the files, where `train` or `fit` has this itself for a callback, or in a list.

    Args:
        folder: Where to; it is made if it is not there.

    Raises:
        InputError: If tensorboardX is not installed, or the folder is no path.
        OutputError: If the folder cannot be made.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> given, folder = options(layers=2, hidden=16, epochs=5), tempfile.mkdtemp()
        >>> result = train(given, callback=tensorboard(folder))
    """
    try:
        folder = to_path(folder)
    except (TypeError, ValueError) as error:
        raise InputError(f"tensorboard takes the path of a folder, got {folder!r}") from error
    if not launch.is_first():
        return lambda evaluation: None
    make = load("tensorboardX", "tensorboard").SummaryWriter
    make_folder(folder)
    return _Board(folder, make)


class _Board:
    """A writer of tensorboardX for every stage."""

    def __init__(self, folder: Path, make: Any) -> None:
        self._folder, self._make = folder, make
        self._writers: dict[int, Any] = {}

    def __call__(self, evaluation: Evaluation) -> None:
        stage = evaluation["stage"]
        if stage not in self._writers:
            place = self._folder / f"stage-{stage + 1}"
            self._writers[stage] = self._make(str(place), flush_secs=_FLUSH_EVERY)
        for name, value in evaluation.items():
            if name not in ("stage", "epoch"):
                self._writers[stage].add_scalar(name, value, evaluation["epoch"])

    def close(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()
