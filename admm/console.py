"""Text for a person on the way: what cannot be written is let go, since it is not the work."""

import os
import sys
from typing import Any, Protocol, runtime_checkable

from admm.errors import InputError, spelled


@runtime_checkable
class Text(Protocol):
    """A stream of text, such as sys.stdout."""

    def write(self, text: str, /) -> Any:
        """Take some text."""

    def flush(self) -> Any:
        """Pass on what was taken."""


class Console:
    """Writes to a stream as long as that takes anything, in whatever encoding it has.

    Args:
        stream: Where to; None writes nothing.

    Example:
        >>> import io
        >>> ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        >>> Console(ascii_only).write("layers 1–2")
        >>> ascii_only.buffer.getvalue()
        b'layers 1?2'
    """

    def __init__(self, stream: Text | None) -> None:
        self._stream = stream

    def __bool__(self) -> bool:
        return self._stream is not None

    def write(self, text: str) -> None:
        """Write and flush, if that can be done."""
        if self._stream is None:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except Exception:  # full, closed at one of its ends, or an object that raises anything
            discard(self._stream)
            self._stream = None

    def check(self) -> None:
        """Whether the stream is one of text, before there is work to lose.

        Raises:
            InputError: If not.
        """
        if self._stream is None:
            return
        try:
            self._stream.write("")
            self._stream.flush()
        except (OSError, ValueError):  # as in `write`
            return
        except Exception as error:
            raise InputError(
                f"{spelled('progress')} must be a stream of text, such as sys.stdout, got "
                f"{self._stream!r} ({error})"
            ) from error


def settle() -> None:
    """Write what stdout and stderr still hold, or let it go, before the interpreter ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            discard(stream)


def discard(stream: Any) -> None:
    """Let what stdout or stderr still hold go nowhere: the interpreter would fail at its end."""
    if stream not in (sys.stdout, sys.stderr):
        return  # its owner knows what to do
    try:
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (AttributeError, OSError, ValueError):  # it has no descriptor, or is closed
        return
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
