"""`python -m shiftjax segment embedding.zarr out.zarr --bandwidth 0.7`, or with `--net` from the image."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import jax

from shiftjax._cli import network as _target
from shiftjax._cli import options as command
from shiftjax.volume._segmentation.embedding import Recompute
from shiftjax.volume._segmentation.segment import segment_volume


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.net_arguments(parser, required=False)
    command.preprocess_arguments(parser)
    parser.add_argument("source", help="path or URI of the embedding; with `--net`, of the image")
    parser.add_argument("target", help="path or URI of an OME-Zarr group: the labels become labels/NAME in it")
    parser.add_argument("--bandwidth", type=float, required=True, help="of mean shift, in units of the embedding")
    parser.add_argument("--mask", help="path or URI of an array that is nonzero in objects")
    parser.add_argument(
        "--foreground", type=int, help="channel that is above 0 in objects; the others are the embedding"
    )
    parser.add_argument("--min-size", type=int, default=0, help="pixels of the smallest object that is kept")
    parser.add_argument("--name", default="instances", help="of the labels (default: instances)")
    parser.add_argument("--seed", type=int, default=0, help="decides which pixels are drawn (default: 0)")
    parser.add_argument("--resume", action="store_true", help="go on with labels that the same command began")
    parser.add_argument("--quiet", action="store_true", help="show no bars")


def run(options: argparse.Namespace) -> int:
    """Labels and returns 0; returns 1 where the network cannot be tiled, or storage fails and finished tiles stay."""
    return command.answered(lambda: _segment(options))


def _segment(options: argparse.Namespace) -> None:
    if options.mask is not None and options.foreground is not None:
        raise _target.UsageError("expected `--mask` or `--foreground`, found both")
    if options.normalize and options.preprocess:
        raise _target.UsageError("expected `--normalize` or `--preprocess`, found both")
    if (options.normalize or options.preprocess) and not options.net:
        raise _target.UsageError("expected `--net` beside `--normalize` or `--preprocess`, which come before a network")
    volume = command.source(options)
    fn = _target.function(options.net) if options.net else _same
    plan = command.plan(options, fn, (1, *volume.space, volume.channels))
    width = plan.outputs[0].channels
    choice: dict[str, Any] = {"foreground": options.mask}
    if options.foreground is not None:
        if not 0 <= options.foreground < width:
            raise _target.UsageError(f"`--foreground`: expected 0 to {width - 1}, found {options.foreground}")
        choice["foreground"] = partial(_above_zero, options.foreground)
        choice["channels"] = [channel for channel in range(width) if channel != options.foreground]
    preprocess = command.preprocess(options, volume)
    kept = {"name": options.name, "resume": options.resume, "progress": not options.quiet}
    found = command.asked(
        lambda: segment_volume(
            Recompute(fn, volume, preprocess=preprocess) if options.net else volume,
            options.target,
            plan,
            bandwidth=options.bandwidth,
            min_size=options.min_size,
            key=jax.random.key(options.seed),
            **choice,
            **kept,
        )
    )
    print(f"{options.target}/labels/{options.name}: {found.objects} objects")


def _same(image: Any) -> Any:
    """Stands for the network of an embedding that is stored."""
    return image


def _above_zero(channel: int, embedding: Any) -> Any:
    return embedding[..., channel] > 0
