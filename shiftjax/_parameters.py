"""What of a function is a parameter: the array leaves of a callable that is a pytree. The rest is its program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

ARRAY = object()  # stands for an array among the other leaves


class Parts(NamedTuple):
    """A function taken apart.

    Attributes:
        arrays: its parameters, arrays or `jax.ShapeDtypeStruct`s, in the order of the leaves.
        names: of the parameters, as the author of the function would write them.
        leaves: all leaves, with `ARRAY` where a parameter is.
        tree: how the leaves make the function.
    """

    arrays: tuple[Any, ...]
    names: tuple[str, ...]
    leaves: tuple[Any, ...]
    tree: Any


def take_apart(fn: Callable[..., Any]) -> Parts:
    """The parameters of a function and the rest. A plain function, which is no pytree, has no parameters."""
    paths, tree = jax.tree_util.tree_flatten_with_path(fn)
    if jax.tree_util.treedef_is_leaf(tree):
        paths, tree = jax.tree_util.tree_flatten_with_path(jax.tree_util.Partial(fn))
    arrays = [(path, leaf) for path, leaf in paths if is_array(leaf)]
    return Parts(
        tuple(leaf for _, leaf in arrays),
        tuple(_name(path) for path, _ in arrays),
        tuple(ARRAY if is_array(leaf) else leaf for _, leaf in paths),
        tree,
    )


def put_together(arrays: Iterable[Any], leaves: Iterable[Any], tree: Any) -> Callable[..., Any]:
    """The function with these parameters; the inverse of `take_apart`."""
    left = iter(arrays)
    return jax.tree_util.tree_unflatten(tree, [next(left) if leaf is ARRAY else leaf for leaf in leaves])


def is_array(leaf: Any) -> bool:
    """Whether a leaf is a parameter: an array, or the shape of one. Python's numbers are part of the function."""
    return isinstance(leaf, jax.ShapeDtypeStruct | jax.Array | np.ndarray | np.generic)


def _name(path: Any) -> str:
    """The place of a leaf in a callable, as its author would write it."""
    text = jax.tree_util.keystr(path).lstrip(".")
    for index, name in enumerate(("args", "keywords")):  # of a `Partial`, whose children have no names
        if text.startswith(prefix := f"[<flat index {index}>]"):
            return name + text.removeprefix(prefix)
    return text
