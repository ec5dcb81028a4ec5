"""Libraries that only some of the toolkit needs, and that a person may not have."""

import importlib
from typing import Any

from admm.errors import InputError


def load(module: str, purpose: str) -> Any:
    """Import a module of such a library.

    Args:
        module: Its name.
        purpose: What needs it, in words.

    Raises:
        InputError: If it is not installed, or cannot be imported.

    Example:
        >>> load("missing_library.part", "a plot")
        Traceback (most recent call last):
            ...
        admm.errors.InputError: a plot needs missing_library: pip install missing_library
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and error.name in (library, module):
            raise InputError(f"{purpose} needs {library}: pip install {library}") from error
        raise InputError(
            f"{purpose} needs {module}, which cannot be imported; reinstall it: {error}"
        ) from error
