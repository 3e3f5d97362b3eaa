"""Trees of arrays: one array, or a tuple, list or dict of trees. Several inputs or targets of a model are such a
tree."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Tree = Any
"""An array, or a tuple, list or dict of trees."""

_BRANCHED = (dict, tuple)


def is_tree(value: Any) -> bool:
    """Return whether a value has branches: a dict, a tuple, or a list of arrays or trees, but not one of numbers."""
    if isinstance(value, list):
        return bool(value) and all(getattr(item, "shape", ()) != () or is_tree(item) for item in value)
    return isinstance(value, _BRANCHED)


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Return the tree of function(leaf, leaves at the same place in `others` ...)."""
    if not is_tree(tree):
        return function(tree, *others)
    if isinstance(tree, dict):
        return {key: map_leaves(function, value, *(other[key] for other in others)) for key, value in tree.items()}
    if hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*(map_leaves(function, *items) for items in zip(tree, *others, strict=True)))
    return tuple(map_leaves(function, *items) for items in zip(tree, *others, strict=True))


def named_leaves(name: str, tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yield every leaf with its place, such as "x" of an array and "x['image']" or "x[0]" of a tree."""
    if not is_tree(tree):
        yield name, tree
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from named_leaves(f"{name}[{key!r}]", value)


def leaves(tree: Tree) -> list[Any]:
    """Return all leaves."""
    return [leaf for _, leaf in named_leaves("", tree)]


def rows(tree: Tree, index: Any) -> Tree:
    """Return the samples that an index or a slice chooses, in C-contiguous arrays."""
    return map_leaves(lambda leaf: np.ascontiguousarray(leaf[index]), tree)


def length(tree: Tree) -> int:
    """Return the number of samples, the length of the first leaf."""
    return len(next(leaf for _, leaf in named_leaves("", tree))) if is_tree(tree) else len(tree)
