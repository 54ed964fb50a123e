"""What is a network in Python, on command lines and in tests: a function of an image, or one that returns it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from shiftjax._checks import fail, shown, told


def network(name: str, value: Any) -> Callable[[Any], Any]:
    """The function of an image: the one given, or what it returns if it needs no argument.

    Args:
        name: of the argument.
        value: what a user gives.

    Raises:
        ValueError: it cannot be called, is a module of PyTorch, or is called without arguments and fails or returns no
            function.
    """
    torch = sys.modules.get("torch")  # whose modules there are only where it is loaded
    if torch is not None and isinstance(value, torch.nn.Module):
        found = f"the PyTorch module {type(value).__name__}"
        fail(name, "a function of one array", found, "translate it, `shiftjax.from_torch(module)`")
    if not callable(value):
        fail(name, "a function of one array", shown(value))
    if _needs_an_image(value):
        return value
    found, mend = f"{shown(value)}, which needs no argument", "`lambda image: ...` makes a function of an image"
    try:
        returned = value()
    except (Exception, SystemExit) as error:  # whatever the function raises
        fail(name, "a function of one array, or one that returns it", f"{found} and raises {told(error)}", mend)
    if not callable(returned):
        returns = f"{found} and returns {shown(returned)}"
        fail(name, "a function of one array, or one that returns it", returns, mend)
    return returned


def _needs_an_image(fn: Callable[..., Any]) -> bool:
    """Whether a callable needs a positional argument; one without a signature is taken to."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # compiled functions may have none
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any((p.default is p.empty and p.kind in positional) or p.kind is p.VAR_POSITIONAL for p in parameters)
