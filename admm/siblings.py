"""The top-level packages `layers` and `quant`: whether Python finds ours."""

from importlib.util import find_spec
from pathlib import Path

from admm.errors import InputError


def check_siblings() -> None:
    """Refuse to go on with somebody else's `layers` or `quant`.

    Raises:
        InputError: If another module of the name hides ours.
    """
    root = Path(__file__).resolve().parent.parent
    for name in ("layers", "quant"):
        spec = find_spec(name)
        place = None if spec is None else spec.origin
        if place is None or Path(place).resolve().parent != root / name:
            raise InputError(
                f"{place or 'another module'} hides the package {name!r} of layerwise-admm; rename "
                "it, or start Python in another folder"
            )
