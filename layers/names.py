"""Names that options need before JAX and SciPy start."""

from typing import Literal

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
