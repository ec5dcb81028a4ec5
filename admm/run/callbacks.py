"""Callbacks of a run: what they are called with, and what else they are told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from admm.errors import InputError, spelled
from admm.run.history import Evaluation
from admm.run.options import MethodOptions

Callback = Callable[[Evaluation], object]
Callbacks = Callback | Sequence[Callback]


def callbacks_of(given: Callbacks | None) -> tuple[Callback, ...]:
    """One callback, several, or none.

    Raises:
        InputError: If one of them cannot be called.
    """
    if given is None:
        return ()
    found = tuple(given) if isinstance(given, Sequence) else (given,)
    for each in found:
        if not callable(each):
            raise InputError(
                f"{spelled('callback')} must be a function of an evaluation, or a list of such, "
                f"got {each!r:.80}"
            )
    return found


@contextmanager
def start_and_close(callbacks: Sequence[Callback], options: MethodOptions) -> Iterator[None]:
    """Within, a run goes on: callbacks with `start` and `close` are told of its two ends.

    `close` is called however the run ends.
    """
    with ExitStack() as stack:
        for each in callbacks:
            if hasattr(each, "close"):
                stack.callback(each.close)
            if hasattr(each, "start"):
                each.start(options)
        yield
