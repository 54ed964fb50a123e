"""The arguments that all commands share: a function by its import path, and the shape of its image."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


class UsageError(Exception):
    """The function cannot be loaded or run; the message says why in one sentence."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments that name a function and an image."""
    parser.add_argument("function", help="package.module:callable of one array, or of no arguments that returns one")
    parser.add_argument("--shape", required=True, type=shape, help="batch, space, channel: 1,236,236,1")
    parser.add_argument("--spatial", type=axes, help="axes that are space (default: all but the first and the last)")
    parser.add_argument("--dtype", default="float32", help="of the image (default: float32)")


def shape(text: str) -> tuple[int, ...]:
    """`1,236,236,1` as a tuple."""
    try:
        sizes = tuple(int(n) for n in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"expected positive integers like 1,236,236,1, found {text!r}")
    return sizes


def axes(text: str) -> tuple[int, ...]:
    """`2,3` as a tuple."""
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected integers like 1,2, found {text!r}") from error


def image(options: argparse.Namespace) -> jax.ShapeDtypeStruct:
    """The image that the options describe."""
    try:
        return jax.ShapeDtypeStruct(options.shape, np.dtype(options.dtype))
    except TypeError as error:
        raise UsageError(f"`--dtype`: expected a NumPy dtype, found {options.dtype!r}") from error


def function(target: str) -> Callable[[Any], Any]:
    """Imports `package.module:callable`, and calls it if it takes no argument."""
    module, separator, path = target.partition(":")
    if not separator or not module or not path:
        raise UsageError(f"expected package.module:callable, found {target!r}")
    if "" not in sys.path:  # the current folder, which an installed command does not search
        sys.path.insert(0, "")
    try:
        named: Any = importlib.import_module(module)
        for name in path.split("."):
            named = getattr(named, name)
    except (Exception, SystemExit) as error:  # whatever the module raises; a script may end in `sys.exit()`
        raise UsageError(f"cannot load {target!r}: {type(error).__name__}: {error}") from error
    if not callable(named):
        raise UsageError(f"{target!r}: expected something callable, found {type(named).__name__}")
    try:
        fn = named if _takes_an_image(named) else named()
    except (Exception, SystemExit) as error:  # whatever the function raises
        raise UsageError(f"calling {target!r} failed: {type(error).__name__}: {error}") from error
    if not callable(fn):
        raise UsageError(
            f"{target!r} takes no argument; expected that it returns a function, found {type(fn).__name__}"
        )
    return fn


def _takes_an_image(fn: Callable[..., Any]) -> bool:
    """Whether a callable needs a positional argument; one without a signature is assumed to."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # compiled functions may have none
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any((p.default is p.empty and p.kind in positional) or p.kind is p.VAR_POSITIONAL for p in parameters)
