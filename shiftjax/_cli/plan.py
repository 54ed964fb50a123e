"""`python -m shiftjax plan --net package.module:callable in.zarr [--tile 64 [--suggest]] [--memory 2GiB]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from shiftjax._cli import network
from shiftjax._cli import options as shared
from shiftjax.theory import training_window
from shiftjax.tiling import TilePlan


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    shared.network_arguments(parser)
    parser.add_argument("source", nargs="?", help="path or URI of the volume")
    parser.add_argument(
        "--shape", type=network.shape, help="batch, space, channel, instead of a volume: 1,64,512,512,1"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON, for `predict --plan FILE`")
    text = "print the legal tiles nearest to --tile, what each reads and costs, and the least training window"
    parser.add_argument("--suggest", action="store_true", help=text)


def run(options: argparse.Namespace) -> int:
    """Prints the plan and returns 0, or prints why there is none and returns 1."""
    return shared.exit_code(_print, options)


def _print(options: argparse.Namespace) -> None:
    if (options.source is None) == (options.shape is None):
        raise network.UsageError("expected a volume or `--shape`, one of the two")
    if options.suggest and (options.json or options.tile is None):
        raise network.UsageError("expected `--suggest` beside `--tile`, the size that you wish, and without `--json`")
    fn = network.function(options.net)
    if options.shape is not None:
        plan = shared.plan(options, fn, options.shape)
    else:
        plan, volume = shared.plan_for(options, fn, shared.source(options))
        shared.announce(volume, to=sys.stderr if options.json else None)
    if options.suggest:
        print("\n".join(_suggested(options, fn, plan)))
    else:
        print(plan.to_json() if options.json else plan.explain())


def _suggested(options: argparse.Namespace, fn: Callable[[Any], Any], plan: TilePlan) -> Iterator[str]:
    """The legal tiles around a plan's, one period apart, as lines of a table."""
    yield f"Legal tiles are multiples of the period, {_times(plan.period)} px; nearest to {_times(options.tile)} px:"
    yield f"{'keeps':20}{'reads':20}input pixels per output pixel"
    seen: list[TilePlan] = []
    for periods in (-1, 0, 1, 2):
        tile = tuple(max(p, n + periods * p) for n, p in zip(plan.tile_output, plan.period, strict=True))
        near = shared.plan(argparse.Namespace(**{**vars(options), "tile": tile}), fn, plan.image_shape)
        if all(near.tile_output != other.tile_output for other in seen):  # the image ends somewhere
            seen.append(near)
            yield f"{_times(near.tile_output):20}{_times(near.tile_input):20}{near.redundancy:.2f}"
    yield f"A training window needs at least {_times(training_window(plan.certificate.period))} px of output."


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
