"""`python -m shiftjax check package.module:callable --shape 1,236,236,1 [--json]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax

from shiftjax._cli import network
from shiftjax.testing import Verdict, examine


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    network.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints a line per claim; returns 1 if one is contradicted."""
    fn, image = network.function(options.function), network.image(options)
    accepts(fn, image)
    verdicts = examine(fn, image)
    if options.json:
        print(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=1))
    else:
        print("\n".join(lines(verdicts)))
    return int(any(verdict.contradicted for verdict in verdicts))


def accepts(fn: Callable[[Any], Any], image: jax.ShapeDtypeStruct) -> None:
    """Refuses a function that does not take the image, or whose output is not a single array of the image's rank."""
    try:
        output = jax.eval_shape(fn, image)
    except (Exception, SystemExit) as error:  # whatever the user's function raises
        reason = network.one_line(error)
        raise network.UsageError(f"the function does not take an image of shape {image.shape}: {reason}") from error
    if not hasattr(output, "shape"):
        raise network.UsageError(f"expected a function with one output array, found {type(output).__name__}")
    if len(output.shape) != len(image.shape):
        raise network.UsageError(
            f"expected an output of rank {len(image.shape)}, (batch, *space, channel), found shape {output.shape}"
        )


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """The verdicts as a table, a line per claim."""
    claims = max(len(verdict.claim) for verdict in verdicts)
    words = max(len(verdict.verdict) for verdict in verdicts)
    return [f"{v.claim.ljust(claims)}  {v.verdict.ljust(words)}  {v.detail}" for v in verdicts]
