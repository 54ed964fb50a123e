"""`python -m shiftjax segment embedding.zarr out.zarr --bandwidth 0.7`, or with `--net` from the image."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import jax

from shiftjax._cli import network
from shiftjax._cli import options as shared
from shiftjax.volume import Recompute, segment_volume


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    shared.network_arguments(parser, required=False)
    shared.run_arguments(parser)
    parser.add_argument("source", help="path or URI of the embedding; with `--net`, of the image")
    parser.add_argument("target", help="path or URI of an OME-Zarr group: the labels become labels/NAME in it")
    parser.add_argument("--bandwidth", type=float, required=True, help="of mean shift, in units of the embedding")
    shared.mask_arguments(parser, "mask", "nonzero in objects")
    parser.add_argument(
        "--foreground", type=int, help="channel that is above 0 in objects; the others are the embedding"
    )
    parser.add_argument("--min-size", type=int, default=0, help="pixels of the smallest object that is kept")
    parser.add_argument("--name", default="instances", help="of the labels (default: instances)")
    text = "decides on which pixels mean shift is run (default: 0)"
    parser.add_argument("--seed", type=shared.seed, default=0, help=text)


def run(options: argparse.Namespace) -> int:
    """Labels and returns 0; returns 1 where the network cannot be tiled, or storage fails and finished tiles stay."""
    return shared.exit_code(_segment, options)


def _segment(options: argparse.Namespace) -> None:
    if options.mask is not None and options.foreground is not None:
        raise network.UsageError("expected `--mask` or `--foreground`, found both")
    if (options.normalize or options.preprocess) and not options.net:
        raise network.UsageError("expected `--net` beside `--normalize` or `--preprocess`, which come before a network")
    volume = shared.source(options)
    preprocess = shared.preprocess(options, volume)
    fn = network.function(options.net) if options.net else _same
    plan, volume = shared.plan_for(options, fn, volume)
    if options.quiet:
        shared.announce(volume)
    with shared.usage_errors():
        segmented = segment_volume(
            Recompute(fn, volume, preprocess=preprocess) if options.net else volume,
            options.target,
            plan,
            bandwidth=options.bandwidth,
            min_size=options.min_size,
            key=jax.random.key(options.seed),
            name=options.name,
            **shared.run_options(options),
            **_foreground(options, plan.outputs[0].channels if options.net else volume.channels),
        )
    shared.tell(f"{options.target}/labels/{options.name}: {segmented.objects} objects")


def _foreground(options: argparse.Namespace, channels: int) -> dict[str, Any]:
    """Which pixels belong to objects, and which of the channels are the embedding."""
    if options.foreground is None:
        return {"foreground": shared.mask(options, "mask")}
    if not 0 <= options.foreground < channels:
        raise network.UsageError(f"`--foreground`: expected 0 to {channels - 1}, found {options.foreground}")
    others = [channel for channel in range(channels) if channel != options.foreground]
    return {"foreground": partial(_above_zero, options.foreground), "channels": others}


def _same(image: Any) -> Any:
    """Stands for the network of an embedding that is stored."""
    return image


def _above_zero(channel: int, embedding: Any) -> Any:
    return embedding[..., channel] > 0
