"""Names that options need before JAX and SciPy start."""

from typing import Literal

Normalization = Literal["hops", "features", "none"]
"""How `hop_inputs` scales its rows."""
