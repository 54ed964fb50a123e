"""Names for the arrays that a function closes over, as its author calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import jax

from shiftjax.certify import _adapter as adapter


def names(fn: Callable[..., Any]) -> dict[int, str]:
    """From the identity of each array leaf to the expression that reaches it, as far as can be seen."""
    found: dict[int, str] = {}
    for name, value in _variables(fn):
        for path, leaf in _leaves(value):
            if hasattr(leaf, "shape"):
                found.setdefault(id(leaf), name + jax.tree_util.keystr(path))
    return found


def _leaves(value: Any) -> list[Any]:
    try:
        return jax.tree_util.tree_flatten_with_path(value)[0]
    except (TypeError, ValueError):  # a dictionary with keys that do not sort
        return []


def _variables(fn: Any) -> Iterator[tuple[str, Any]]:
    """The free variables of a function, and of the functions that it names."""
    seen: set[int] = set()
    todo = [getattr(fn, "func", fn)]
    while todo:
        inner = inspect.unwrap(todo.pop())
        inner = getattr(inner, "__func__", inner)
        if id(inner) in seen or not inspect.isfunction(inner) or not adapter.foreign(inner.__code__.co_filename):
            continue
        seen.add(id(inner))
        scope = dict(inspect.getclosurevars(inner).nonlocals)
        scope |= {name: inner.__globals__[name] for name in _named(inner.__code__) if name in inner.__globals__}
        for name, value in scope.items():
            yield name, value
            if callable(value):
                todo.append(value)


def _named(code: CodeType) -> Iterator[str]:
    """All names that a function's code uses, functions inside it included."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _named(inner)
