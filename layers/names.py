"""Names that options need before JAX and SciPy start, and the check of them."""

from typing import Any, Literal, get_args

Normalization = Literal["hops", "features", "none"]
"""How `hop_inputs` scales its rows."""

GraphKind = Literal["gcn", "sage"]
"""Kinds of graph neural networks."""

Partitioner = Literal["auto", "metis", "bfs", "random"]
"""How `partition` deals out the nodes of a graph."""

SequenceKind = Literal["fathom", "lstm", "mlp", "linear"]
"""Kinds of networks of windows."""

Attention = Literal["own", "aligned", "context"]
"""What temporal attention looks at: a client's own sequence, those of all, or their mean too."""


def check_name(what: str, name: object, names: Any) -> None:
    """Refuse a name that a `Literal` does not have.

    Args:
        what: It names.
        name: What was given.
        names: The `Literal`.

    Raises:
        ValueError: If it does not have the name.

    Example:
        >>> check_name("kind of graph network", "gat", GraphKind)
        Traceback (most recent call last):
            ...
        ValueError: unknown kind of graph network 'gat'; expected one of gcn, sage
    """
    if name not in get_args(names):
        known = ", ".join(get_args(names))
        raise ValueError(f"unknown {what} {name!r}; expected one of {known}")
