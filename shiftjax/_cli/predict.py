"""`python -m shiftjax predict --net package.module:callable in.zarr out.zarr [--memory 2GiB] [--plan FILE] [--new]`."""

from __future__ import annotations

import argparse

from shiftjax._cli import network
from shiftjax._cli import options as shared
from shiftjax.volume import new_target, predict_volume


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    shared.network_arguments(parser)
    shared.run_arguments(parser)
    parser.add_argument("source", help="path or URI of the volume: Zarr, OME-Zarr, TIFF, HDF5 (FILE.h5/DATASET) or N5")
    parser.add_argument("target", help="path or URI of the OME-Zarr image to be written")
    shared.mask_arguments(parser, "where", "only tiles where it is nonzero")
    parser.add_argument("--region", type=region, help="only tiles that meet these pixels: 0:64,:,100:200")
    parser.add_argument("--target-dtype", help="of the target, such as bfloat16 (default: the network's)")
    parser.add_argument("--zarr-format", type=int, choices=(2, 3), help="of the target (default: the source's, else 3)")
    text = "resolutions of the target, each of half the pixels per axis (default: 1)"
    parser.add_argument("--levels", type=int, help=text)


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
    return shared.exit_code(_predict, options)


def _predict(options: argparse.Namespace) -> None:
    fn = network.function(options.net)
    volume = shared.source(options)
    preprocess = shared.preprocess(options, volume)
    plan, volume = shared.plan_for(options, fn, volume)
    if options.quiet:
        shared.announce(volume)
    with shared.usage_errors():
        predict_volume(
            fn,
            volume,
            new_target(
                options.target, dtype=options.target_dtype, zarr_format=options.zarr_format, levels=options.levels
            ),
            plan,
            preprocess=preprocess,
            where=shared.mask(options, "where"),
            region=options.region,
            **shared.run_options(options),
        )
    shared.tell(f"{options.target}: done")
