"""What JAX has compiled, kept from run to run in the user's cache; safe for several ranks and runs.

JAX writes an entry in place, so that another process may read half of it, and a killed one leaves
half of it for ever. Here every process has a folder of its own, with links to what is there at the
start; what is new is published at the end, each entry complete under its name.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from admm.errors import InputError
from admm.files import user_cache

# The oldest entries go beyond so many bytes; a killed process leaves a folder, for so many seconds.
_MOST = 2**29
_LEFT_FOR = 7 * 86400


def cache_home() -> Path | None:
    """The folder of this machine and this JAX in the user's cache, if there can be one.

    Compiled code is for the processor that it was compiled on.
    """
    import jaxlib

    try:
        home = user_cache()
    except InputError:  # nothing depends on it
        return None
    features = platform.processor() + platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = hashlib.sha256(features.encode()).hexdigest()[:12]
    return Path(home, "compiled", f"jaxlib-{jaxlib.__version__}-{kind}")


@contextlib.contextmanager
def kept_compilations(home: Path | None) -> Iterator[None]:
    """Find compiled functions in a folder, and add to it what is compiled within.

    Without a folder, with one that cannot be used, and where the user has chosen another
    (`JAX_COMPILATION_CACHE_DIR`), nothing is done: what is compiled is the same.
    """
    import jax

    own = None
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if home is not None and not chosen:
        with contextlib.suppress(OSError):
            home.mkdir(parents=True, exist_ok=True)
            own = Path(tempfile.mkdtemp(dir=home, prefix="process-"))
    if home is None or own is None:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            for entry in home.glob("*-cache"):
                os.link(entry, own / entry.name)  # it stays, whoever removes that
        jax.config.update("jax_compilation_cache_dir", str(own))
        # Its path would be part of every key.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        yield
    finally:
        with contextlib.suppress(OSError):
            _publish(own, home)
        shutil.rmtree(own, ignore_errors=True)
        jax.config.update("jax_compilation_cache_dir", None)


def _publish(own: Path, home: Path) -> None:
    for entry in own.glob("*-cache"):
        if entry.stat().st_nlink == 1:
            entry.replace(home / entry.name)
    size = 0
    for entry in sorted(home.glob("*-cache"), key=lambda path: path.stat().st_mtime, reverse=True):
        size += entry.stat().st_size
        if size > _MOST:
            entry.unlink(missing_ok=True)
    for folder in home.glob("process-*"):
        if folder.stat().st_mtime < time.time() - _LEFT_FOR:
            shutil.rmtree(folder, ignore_errors=True)
