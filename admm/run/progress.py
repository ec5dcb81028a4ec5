"""A callback that shows a bar, in a notebook or on a terminal."""

from typing import Any

from admm.comm import launch
from admm.errors import InputError
from admm.extras import load
from admm.run.callbacks import Callback
from admm.run.history import Evaluation
from admm.run.options import MethodOptions


def progress_bar() -> Callback:
    """Show a bar over all epochs of a run, drawn by tqdm, from its first evaluation on.

    The run tells the bar how long it is, and closes it however it ends. So `train` or `fit` has to
    know the bar itself: `callback=[progress_bar(), patience(20)]`. Of several ranks the first one
    shows it.

    Raises:
        InputError: If tqdm is not installed; at the first evaluation, if the bar is called within
            another function.

    Example:
        >>> import admm
        >>> given = admm.options(layers=2, hidden=16, epochs=5)
        >>> result = admm.train(given, callback=progress_bar())
        >>> len(result.history)
        5
    """
    if not launch.is_first():
        return lambda evaluation: None
    return _Bar(load("tqdm.auto", "progress_bar").tqdm)


class _Bar:
    """A bar of tqdm for one run at a time."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._options: MethodOptions | None = None

    def start(self, options: MethodOptions) -> None:
        self._options = options

    def __call__(self, evaluation: Evaluation) -> None:
        options = self._options
        if options is None:
            raise InputError(
                "progress_bar was not told of a run; pass it itself, as in "
                "callback=[progress_bar(), patience(20)], not within another function"
            )
        done = evaluation["stage"] * options.epochs + evaluation["epoch"]
        if self._bar is None:  # a run that goes on has epochs behind it
            total = options.epochs * len(options.stages)
            self._bar = self._tqdm(total=total, initial=done, unit="epoch")
        score = {options.select: f"{evaluation[options.select]:.4g}"}
        self._bar.set_postfix(score, refresh=False)
        self._bar.update(done - self._bar.n)  # less than 0 where a run goes back

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._options, self._bar = None, None
