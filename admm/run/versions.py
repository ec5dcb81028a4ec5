"""Versions of what a result depends on."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("layerwise-admm", "jax", "jaxlib", "numpy", "scipy", "mpi4py")


def versions() -> dict[str, str | None]:
    """Installed versions by package, and Python's; None where a package is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
