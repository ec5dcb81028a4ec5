"""The arrays of a tree by name, as a checkpoint keeps them."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
from jaxtyping import Array

T = TypeVar("T")


def named_leaves(tree: Any) -> dict[str, Array]:
    """The leaves of a tree, named by their place in it.

    Example:
        >>> list(named_leaves((jax.numpy.ones(2), [None, jax.numpy.zeros(1)])))
        ['[0]', '[1][1]']
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}


def tree_bytes(tree: Any) -> int:
    """Bytes of the leaves of a tree, be they arrays or only shapes.

    Example:
        >>> tree_bytes((jax.numpy.ones(2), jax.ShapeDtypeStruct((3, 4), "float64"), None))
        104
    """
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def fill_leaves(tree: T, arrays: Mapping[str, Any]) -> T:
    """The tree with other leaves: those of `named_leaves` of a tree of the same structure."""
    leaves = [arrays[name] for name in named_leaves(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)
