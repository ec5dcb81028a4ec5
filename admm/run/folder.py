"""The folder of a run: one folder for all processes, and one run that writes into it.

    RUN/lock        who writes: host, process, and a token that every process must find there

The root makes the lock at the start and removes it at the end. It is a file of its own, made by
the one call that every file system does for one process only: locks on open files mean nothing on
many of those that clusters share. The writer touches it all the time, so that it is known from
other hosts whether it is still there.
"""

import contextlib
import json
import os
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from admm.errors import InputError, spelled

if TYPE_CHECKING:
    from admm.comm import Transport

_LOCK = "lock"

# Seconds between touches; after how many without one a writer on another host is gone; and how
# long a shared file system may take to show a new file.
_TOUCH_EVERY = 10.0
_GONE_AFTER = 60.0
_SEEN_WITHIN = 5.0


@contextlib.contextmanager
def held_folder(run: Path | None, transport: "Transport") -> Iterator[None]:
    """Hold the folder of a run, which all processes see and no other run writes into.

    What was made for it is removed if nothing came into it.

    Raises:
        InputError: In every process, if the folder cannot be written, is in use, or is not the same
            for all of them.
    """
    if run is None:
        yield
        return
    lock = Lock(run)
    token = transport.at_root(lock.acquire)
    with _released_by_signals(lock):
        try:
            _check_seen(run, token, transport)
            yield
        finally:
            if transport.is_root:
                lock.release()


@contextlib.contextmanager
def _released_by_signals(lock: "Lock") -> Iterator[None]:
    """Release a lock before a signal ends this process at once, as while data are loaded."""

    def end(number: int, frame: FrameType | None) -> None:
        lock.release()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is end:  # else a request to stop has been noted
                signal.signal(number, signal.SIG_DFL)


def _check_seen(run: Path, token: str, transport: "Transport") -> None:
    """Whether all processes find the token; a shared file system may take a moment to show it.

    Raises:
        InputError: In every process, if not.
    """
    end = time.monotonic() + _SEEN_WITHIN
    while True:
        sees = _read(run / _LOCK).get("token") == token
        every = transport.gather((sees, str(run.absolute()), time.monotonic() < end))
        blind = [
            f"rank {rank} ({path})" for rank, (found, path, _) in enumerate(every) if not found
        ]
        if not blind:
            return
        if not every[0][2]:  # the root's clock decides for all
            raise InputError(
                f"the folder of rank 0, {every[0][1]}, is not that of {' and '.join(blind)}: give "
                f"{spelled('out')} the absolute path of a folder that all ranks share"
            )
        time.sleep(0.05)


class Lock:
    """The right to write into a folder.

    Args:
        run: The folder.

    Example:
        >>> run = Path(tempfile.mkdtemp())
        >>> lock = Lock(run)
        >>> token = lock.acquire()
        >>> lock.release()
        >>> list(run.iterdir())
        []
    """

    def __init__(self, run: Path) -> None:
        self._path = run / _LOCK
        self._made: list[Path] = []  # folders, the innermost first
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()

    def acquire(self) -> str:
        """Take the right, and the folder if it is not there; returns the token.

        Raises:
            InputError: If another process has it, or the folder cannot be written.
        """
        run = self._path.parent
        try:
            self._made = [each for each in (run, *run.parents) if not each.exists()]
            run.mkdir(parents=True, exist_ok=True)
            while not self._create():
                self._take_over()
        except OSError as error:
            self._remove_folders()
            raise InputError(f"cannot write results to {run} ({error.strerror})") from error
        threading.Thread(target=self._touch, daemon=True).start()
        return self._token

    def release(self) -> None:
        """Give it back, and remove the folders that were made, as far as they are empty."""
        self._ended.set()
        with contextlib.suppress(OSError):
            if _read(self._path).get("token") == self._token:
                self._path.unlink()
        self._remove_folders()

    def _create(self) -> bool:
        about = {
            "token": self._token,
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "started": _start_of(os.getpid()),
        }
        try:
            with self._path.open("x") as file:
                json.dump(about, file)
        except FileExistsError:
            return False
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        return True

    def _take_over(self) -> None:
        """Remove the lock of a process that is no more.

        Raises:
            InputError: If it may still be there.
        """
        holder = _read(self._path)
        if _is_there(self._path, holder):
            who = "another run"
            if "pid" in holder:
                who = f"process {holder['pid']} on {holder.get('host')}"
            hint = ""
            if holder.get("machine") != _machine():
                hint = f" (if that is no more, it is free {_GONE_AFTER:.0f} s after its end)"
            raise InputError(
                f"{self._path.parent} is in use: {who} writes there{hint}; wait for its end, or "
                f"choose another {spelled('out')}"
            )
        # By a name of its own: another process may have found the same, and made a lock since.
        aside = self._path.with_name(f"{_LOCK}.{self._token}")
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(aside)
            if _read(aside) != holder:
                aside.rename(self._path)
            aside.unlink(missing_ok=True)

    def _touch(self) -> None:
        while not self._ended.wait(_TOUCH_EVERY):
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def _remove_folders(self) -> None:
        for folder in self._made:
            with contextlib.suppress(OSError):  # something came into it
                folder.rmdir()


class Writer(NamedTuple):
    """Who writes into the folder of a run, or did until it was killed."""

    host: str | None  # None: not yet, or no longer, to be read
    pid: int | None
    alive: bool


def writer(run: Path) -> Writer | None:
    """What the lock of a run says; None without one."""
    path = run / _LOCK
    if not path.exists():
        return None
    holder = _read(path)
    return Writer(holder.get("host"), holder.get("pid"), _is_there(path, holder))


def _is_there(lock: Path, holder: dict[str, Any]) -> bool:
    """Whether the holder of a lock is still there, as far as can be told from here."""
    if holder.get("machine") == _machine():
        start = _start_of(holder["pid"])
        return start is not None and start == holder["started"]
    try:
        touched = lock.stat().st_mtime
    except FileNotFoundError:  # given back meanwhile
        return False
    try:  # the clock is that of the file system
        with tempfile.NamedTemporaryFile(dir=lock.parent, prefix=f"{_LOCK}.") as file:
            now = os.stat(file.name).st_mtime
    except OSError:  # a folder that is only read here
        now = time.time()
    return now - touched < _GONE_AFTER


def _read(path: Path) -> dict[str, Any]:
    """What a lock says, nothing if it is not there or not yet written."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _machine() -> str:
    """What tells if a process number means a process here."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # that of a container
    return " ".join(parts)


def _start_of(pid: int) -> str | None:
    """When a process of this machine started; None if it is no more."""
    try:
        # After the name, which may have anything in it: the state, and 19 fields on the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    else:
        return None if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
