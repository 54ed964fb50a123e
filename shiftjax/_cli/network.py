"""The arguments that all commands share: a function by its import path, and the shape of its image."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._network import network as given_network
from shiftjax.translation import open_model, translated

NETWORK = (
    "package.module:callable of one array, or of no arguments that returns such a function; a PyTorch module, or a "
    ".pt2 file"
)
FILES = (".pt2", ".pt", ".pth", ".onnx", ".keras")  # of networks; all but the first are refused with advice
MOST = 2**40  # pixels along an axis
LONGEST = 1000  # characters of somebody else's error


class UsageError(Exception):
    """The function cannot be loaded or run; the message says why in one sentence."""


def one_line(error: BaseException) -> str:
    """An error by its kind and its words, on one line of at most `LONGEST` characters."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments that name a function and an image."""
    parser.add_argument("function", help=NETWORK)
    parser.add_argument("--shape", required=True, type=shape, help="batch, space, channel: 1,236,236,1")
    text = "array axes that are space, counted from 0: 1,2 (default: all but the first and the last)"
    parser.add_argument("--spatial", type=axes, help=text)
    parser.add_argument("--dtype", default="float32", help="of the image (default: float32)")


def shape(text: str) -> tuple[int, ...]:
    """`1,236,236,1` as a tuple."""
    try:
        sizes = tuple(int(n) for n in text.split(","))
    except ValueError:  # not a number, or one of thousands of digits
        sizes = ()
    if not sizes or min(sizes) < 1 or max(sizes) > MOST:
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
    return jax.ShapeDtypeStruct(options.shape, dtype(options.dtype))


def dtype(name: str) -> np.dtype:
    """A type of numbers that JAX has, by name."""
    try:
        found = jnp.dtype(name)
        known = jax.dtypes.canonicalize_dtype(found) == found and (
            found.kind == "b" or jnp.issubdtype(found, jnp.number)
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"`--dtype`: expected a type of numbers, such as float32, found {name!r}") from error
    if not known:
        raise UsageError(f"`--dtype`: expected a type of numbers that JAX has, such as float32, found {name!r}")
    return found


def function(target: str) -> Callable[[Any], Any]:
    """Imports `package.module:callable`: a function of an image, or one without arguments that returns it.

    A module of PyTorch is translated; a file of a network is opened.
    """
    if Path(target).suffix in FILES and ":" not in target:
        return _network(lambda: open_model(target), f"opening {target!r}")
    module, separator, path = target.partition(":")
    if not separator or not module or not path:
        raise UsageError(f"expected package.module:callable, found {target!r}")
    if "" not in sys.path:  # the current folder, which an installed command does not search
        sys.path.insert(0, "")
    try:
        named: Any = importlib.import_module(module)
        for name in path.split("."):
            named = getattr(named, name)
    except (Exception, SystemExit) as error:  # whatever the module raises; a script without a main guard may exit
        raise UsageError(f"cannot load {target!r}: {one_line(error)}") from error
    named = _network(lambda: translated(named), f"translating {target!r}")
    try:
        fn = given_network(target, named)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return _network(lambda: translated(fn), f"translating {target!r}")


def _network(make: Callable[[], Any], doing: str) -> Any:
    try:
        return make()
    except (ValueError, ImportError) as error:
        raise UsageError(f"{doing} failed: {error}") from error
