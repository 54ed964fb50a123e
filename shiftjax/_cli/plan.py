"""`python -m shiftjax plan --net package.module:callable in.zarr [--tile 64] [--memory 2GiB]`."""

from __future__ import annotations

import argparse
import sys

from shiftjax._cli import network
from shiftjax._cli import options as shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    shared.network_arguments(parser)
    parser.add_argument("source", nargs="?", help="path or URI of the volume")
    parser.add_argument(
        "--shape", type=network.shape, help="batch, space, channel, instead of a volume: 1,64,512,512,1"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON, for `predict --plan FILE`")


def run(options: argparse.Namespace) -> int:
    """Prints the plan and returns 0, or prints why there is none and returns 1."""
    return shared.exit_code(_print, options)


def _print(options: argparse.Namespace) -> None:
    if (options.source is None) == (options.shape is None):
        raise network.UsageError("expected a volume or `--shape`, one of the two")
    fn = network.function(options.net)
    if options.shape is not None:
        plan = shared.plan(options, fn, options.shape)
    else:
        plan, volume = shared.plan_for(options, fn, shared.source(options))
        shared.announce(volume, to=sys.stderr if options.json else None)
    print(plan.to_json() if options.json else plan.explain())
