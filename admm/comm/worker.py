"""Workers that take turns: one thread drives all workers of a process."""

from collections.abc import Iterable, Iterator


def in_turns(iterations: Iterable[Iterator[None]]) -> None:
    """Drive iterations that depend on each other, a part of each in turn, to their ends.

    A worker owns a part of the model, on one device. Its iteration is a generator that yields
    wherever another worker of the same process may have to move first, for a message to be there.
    The workers of a process then do a part of it each in turn, and a rank its only worker's parts
    one after the other: the same code drives both.

    Args:
        iterations: One of every worker of this process.

    Example:
        >>> def say(word):
        ...     print(word, 1)
        ...     yield
        ...     print(word, 2)
        >>> in_turns([say("lower"), say("upper")])
        lower 1
        upper 1
        lower 2
        upper 2
    """
    running = list(iterations)
    while running:
        running = [each for each in running if next(each, _END) is not _END]


_END = object()
