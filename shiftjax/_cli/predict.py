"""`python -m shiftjax predict --net package.module:callable in.zarr out.zarr [--memory 2GiB] [--resume]`."""

from __future__ import annotations

import argparse

from shiftjax._cli import network as _target
from shiftjax._cli import options as command
from shiftjax.volume._predict import predict_volume


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.net_arguments(parser)
    parser.add_argument("source", help="path or URI of the volume: Zarr, OME-Zarr or TIFF")
    parser.add_argument("target", help="path or URI of the OME-Zarr image to be written")
    parser.add_argument("--resume", action="store_true", help="go on with a target that the same command began")
    command.preprocess_arguments(parser)
    parser.add_argument("--where", help="path or URI of a mask: only tiles where it is nonzero")
    parser.add_argument("--region", type=region, help="only tiles that meet these pixels: 0:64,:,100:200")
    parser.add_argument("--target-dtype", help="of the target, such as bfloat16 (default: the network's)")
    parser.add_argument("--zarr-format", type=int, choices=(2, 3), help="of the target (default: the source's, else 3)")
    parser.add_argument("--quiet", action="store_true", help="show no bar")


def region(text: str) -> tuple[slice, ...]:
    """`0:64,:,100:200` as slices."""
    try:
        parts = [[int(n) if n else None for n in part.split(":")] for part in text.split(",")]
    except ValueError:
        parts = []
    if not parts or any(len(part) != 2 for part in parts):
        raise argparse.ArgumentTypeError(f"expected slices like 0:64,:,100:200, found {text!r}")
    return tuple(slice(*part) for part in parts)


def run(options: argparse.Namespace) -> int:
    """Predicts and returns 0; returns 1 where the network cannot be tiled, or storage fails and finished tiles stay."""
    return command.answered(lambda: _predict(options))


def _predict(options: argparse.Namespace) -> None:
    if options.normalize and options.preprocess:
        raise _target.UsageError("expected `--normalize` or `--preprocess`, found both")
    fn = _target.function(options.net)
    volume = command.source(options)
    plan = command.plan(options, fn, (1, *volume.space, volume.channels))
    preprocess = command.preprocess(options, volume)
    choice = {"where": options.where, "region": options.region, "dtype": options.target_dtype}
    kept = {"resume": options.resume, "progress": not options.quiet, "zarr_format": options.zarr_format}
    command.asked(lambda: predict_volume(fn, volume, options.target, plan, preprocess=preprocess, **choice, **kept))
    print(f"{options.target}: done")
