"""`python -m shiftjax plan --net package.module:callable in.zarr [--tile 64] [--memory 2GiB]`."""

from __future__ import annotations

import argparse

from shiftjax._cli import network as _target
from shiftjax._cli import options as command


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.net_arguments(parser)
    parser.add_argument("source", nargs="?", help="path or URI of the volume")
    parser.add_argument(
        "--shape", type=_target.shape, help="batch, space, channel, instead of a volume: 1,64,512,512,1"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the plan and returns 0, or prints why there is none and returns 1."""
    return command.answered(lambda: _print(options))


def _print(options: argparse.Namespace) -> None:
    if (options.source is None) == (options.shape is None):
        raise _target.UsageError("expected a volume or `--shape`, one of the two")
    fn = _target.function(options.net)
    if options.shape is not None:
        shape = options.shape
    else:
        volume = command.source(options)
        shape = (1, *volume.space, volume.channels)
    plan = command.plan(options, fn, shape)
    print(plan.to_json() if options.json else plan.explain())
