"""The line of the user's module that an operation comes from, and how JAX is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

from shiftjax.translation._torch.tensors import torch

FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def source_of(node: Any) -> tuple[str, int] | None:
    """File and line of the innermost frame outside PyTorch; where all are PyTorch's own, the innermost of these."""
    frames = [(file, int(line)) for file, line in FRAME.findall(node.meta.get("stack_trace") or "")]
    frames = [frame for frame in frames if not frame[0].startswith("<")]
    own = [frame for frame in frames if not is_torch(frame[0])]
    return next(reversed(own or frames), None)


def is_torch(file: str) -> bool:
    """Whether a file is PyTorch's."""
    return Path(torch().__file__).parent in Path(file).parents


def module_of(node: Any) -> str:
    """The path of the submodule that an operation belongs to; empty for the outermost."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def shown(source: tuple[str, int] | None) -> str:
    """ "file:line"."""
    return "unknown" if source is None else f"{source[0]}:{source[1]}"


def _call(function: Any, *args: Any, **options: Any) -> Any: return function(*args, **options)  # fmt: skip


@lru_cache(maxsize=4096)
def calling_from(source: tuple[str, int]) -> Callable[..., Any]:
    """Calls a function in a frame of that file and line, where JAX looks for the source of what it traces."""
    file, line = source
    return FunctionType(_call.__code__.replace(co_filename=file, co_firstlineno=line), {})
