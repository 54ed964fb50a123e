"""Names for the arrays that a function closes over, as its author calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

import jax
import numpy as np

from shiftjax.certifier._jaxpr import is_user_code


def names(fn: Callable[..., Any]) -> list[tuple[str, Any]]:
    """The array leaves that can be seen, each with the expression that reaches it."""
    leaves = [(name + jax.tree_util.keystr(path), leaf) for name, v in _variables(fn) for path, leaf in _leaves(v)]
    return [(name, leaf) for name, leaf in leaves if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]


def name_of(value: Any, host: np.ndarray, known: Sequence[tuple[str, Any]]) -> str | None:
    """The name of an array: by identity, or by value, since JAX may hold a copy."""
    for name, leaf in known:
        if leaf is value:
            return name
    for name, leaf in known:
        if leaf.shape == host.shape and isinstance(leaf, np.ndarray) and np.array_equal(leaf.astype(host.dtype), host):
            return name
    return None


def _leaves(value: Any) -> list[Any]:
    try:
        return jax.tree_util.tree_flatten_with_path(value)[0]
    except (TypeError, ValueError):  # a dictionary with keys that do not sort
        return []


def innermost(fn: Any) -> Any:
    """The function inside partial applications and wrappers."""
    wrapped = next((getattr(fn, name) for name in ("func", "fun", "__wrapped__") if hasattr(fn, name)), fn)
    return fn if wrapped is fn else innermost(wrapped)


def _variables(fn: Any) -> Iterator[tuple[str, Any]]:
    """The free variables of a function, and of the functions that it names."""
    seen: set[int] = set()
    todo = [fn]
    while todo:
        inner = innermost(todo.pop())
        inner = getattr(inner, "__func__", inner)
        if not inspect.isroutine(inner):
            yield type(inner).__name__, inner  # a module that is no pytree on its way to the trace
        if id(inner) in seen or not inspect.isfunction(inner) or not is_user_code(inner.__code__.co_filename):
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
