"""`python -m shiftjax check package.module:callable --shape 1,236,236,1 [--json]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax

from shiftjax._cli import network as _target
from shiftjax.testing._claims import FAILS, Verdict, examine


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    _target.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints a line per claim; returns 1 if one fails."""
    fn, image = _target.function(options.function), _target.image(options)
    accepts(fn, image)
    verdicts = examine(fn, image)
    if options.json:
        print(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=1))
    else:
        print("\n".join(lines(verdicts)))
    return int(any(verdict.verdict == FAILS for verdict in verdicts))


def accepts(fn: Callable[[Any], Any], image: jax.ShapeDtypeStruct) -> None:
    """Refuses a function that does not take the image, or that returns something else than one array of its rank."""
    try:
        found = jax.eval_shape(fn, image)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _target.UsageError(f"the function does not take an image of shape {image.shape}: {reason}") from error
    if not hasattr(found, "shape"):
        raise _target.UsageError(f"expected a function with one output array, found {type(found).__name__}")
    if len(found.shape) != len(image.shape):
        raise _target.UsageError(
            f"expected an output of rank {len(image.shape)}, (batch, *space, channel), found shape {found.shape}"
        )


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """The verdicts as a table."""
    claims = max(len(verdict.claim) for verdict in verdicts)
    words = max(len(verdict.verdict) for verdict in verdicts)
    return [f"{v.claim.ljust(claims)}  {v.verdict.ljust(words)}  {v.detail}" for v in verdicts]
