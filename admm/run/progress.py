"""A callback that shows a bar, in a notebook or on a terminal."""

from collections.abc import Callable
from typing import Any

from admm.comm import launch
from admm.extras import load
from admm.run.history import Evaluation
from admm.run.options import MethodOptions


def progress_bar(options: MethodOptions) -> Callable[[Evaluation], None]:
    """Show a bar over all epochs of a run, drawn by tqdm, from its first evaluation on.

    Of several ranks the first one shows it. Callbacks that return nothing go in front of another:
    `callback=lambda each: bar(each) or stop(each)`.

    Args:
        options: Those of the run, which say how long it is.

    Raises:
        InputError: If tqdm is not installed.

    Example:
        >>> import admm
        >>> given = admm.options(layers=2, hidden=16, epochs=5)
        >>> result = admm.train(given, callback=progress_bar(given))
        >>> len(result.history)
        5
    """
    if not launch.is_first():
        return lambda evaluation: None
    tqdm = load("tqdm.auto", "progress_bar").tqdm
    bar: Any = None

    def show(evaluation: Evaluation) -> None:
        nonlocal bar
        total = options.epochs * len(options.stages)
        done = evaluation["stage"] * options.epochs + evaluation["epoch"]
        if bar is None:  # a run that goes on has epochs behind it
            bar = tqdm(total=total, initial=done, unit="epoch")
        bar.set_postfix({options.select: f"{evaluation[options.select]:.4g}"}, refresh=False)
        bar.update(done - bar.n)  # less than 0 where a run goes back
        if done == total:
            bar.close()

    return show
