"""A digest of a Python function that may be anything: its code and whatever it refers to, as far as can be seen.

Networks and preprocessing are told apart by what they compute, through their certificates. A test of tiles (`where`) is
plain Python; two processes that have the same one must have the same code, constants and arrays.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np

PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic)


def code_digest(value: Any) -> str:
    """The same in two processes if the code is the same and what it refers to.

    What other packages define counts by its name and by the version of the package.
    """
    home = _package(value if hasattr(value, "__module__") else type(value))
    return _digest(value, home)


def _digest(value: Any, home: str) -> str:
    return hashlib.sha256("\n".join(_parts(value, home, set())).encode()).hexdigest()


def _parts(value: Any, home: str, seen: set[int]) -> Iterator[str]:
    """What a value consists of, each thing once."""
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
        return
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        yield f"array {array.dtype} {array.shape} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"
        return
    yield type(value).__qualname__
    if id(value) in seen:
        return
    seen.add(id(value))
    for part in _inner(value, home):
        yield from _parts(part, home, seen)


def _inner(value: Any, home: str) -> list[Any]:
    """The values that decide what a value is; none for what cannot be seen into, such as a lock."""
    if isinstance(value, functools.partial):
        return [value.func, *value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, value.co_varnames, *value.co_consts]
    if isinstance(value, Mapping):
        return [item for pair in value.items() for item in pair]
    if isinstance(value, set | frozenset):
        return sorted(_digest(item, home) for item in value)
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, ModuleType):
        return [value.__name__, _version(value.__name__)]
    named = value if isinstance(value, FunctionType | type) else type(value)
    if _package(named) != home:
        return [named.__module__, named.__qualname__, _version(named.__module__ or "")]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, *cells, *_globals(value)]
    if isinstance(value, type):
        return [value.__qualname__, *(part for part in vars(value).values() if isinstance(part, FunctionType))]
    return [type(value), getattr(value, "__dict__", {})]


def _globals(function: FunctionType) -> list[Any]:
    """The global values that a function's code names, which another version of its module may have changed.

    Lists and dictionaries are left out: they may be caches, which differ between processes.
    """
    names = dict.fromkeys(name for code in _codes(function.__code__) for name in code.co_names)
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    kinds = (*PLAIN, tuple, frozenset, np.ndarray, jax.Array, functools.partial, FunctionType, type, ModuleType)
    return [value for value in values if isinstance(value, kinds)]


def _package(value: Any) -> str:
    return (getattr(value, "__module__", None) or "").partition(".")[0]


def _version(module: str) -> str:
    return str(getattr(sys.modules.get(module.partition(".")[0]), "__version__", ""))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None or True
    except ValueError:
        return False
