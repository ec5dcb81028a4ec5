"""Text for a person on the way: what cannot be written is let go, since it is not the work."""

import os
from io import TextIOBase
from typing import TextIO

Text = TextIO | TextIOBase


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
        except (OSError, ValueError):  # full, or closed at one of its ends
            discard(self._stream)
            self._stream = None


def discard(stream: Text) -> None:
    """Let what a stream still holds go nowhere: the interpreter would fail on it at its end."""
    try:
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):  # it has no descriptor, or is closed
        return
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
