"""What `python -m shiftjax plan`, `predict` and `segment` share: a network, a volume, the tile, and exit codes."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from shiftjax._cli import network as _target
from shiftjax.certifier import CertificationError
from shiftjax.tiling._padding import PADS
from shiftjax.tiling._plan import TilePlan
from shiftjax.tiling._planner import plan_tiles
from shiftjax.volume._normalize import normalize
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.source import Source, open_source

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def net_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The network, its tile, and how the source is read."""
    text = "package.module:callable of one array, or of none that returns such a function"
    parser.add_argument("--net", required=required, help=text)
    parser.add_argument(
        "--tile", type=_target.shape, help="output pixels of a tile, per axis or one for all: 64,128,128"
    )
    parser.add_argument("--memory", type=memory, help="what one call may take on the device, such as 2GiB")
    parser.add_argument("--pad", choices=PADS, default="reflect", help="the image beyond its border (default: reflect)")
    parser.add_argument("--dtype", default="float32", help="of the image as the network takes it (default: float32)")
    parser.add_argument("--axes", help="of the source: t, c, z, y, x in its order (default: its metadata, else zyx)")
    parser.add_argument("--level", type=int, default=0, help="of an OME-Zarr source (default: 0, the finest)")


def preprocess_arguments(parser: argparse.ArgumentParser) -> None:
    """What comes before the network."""
    parser.add_argument("--normalize", type=percentiles, metavar="LOW,HIGH", help="percentiles that become 0 and 1")
    parser.add_argument("--preprocess", help="package.module:callable, a JAX function of every pixel alone")


def percentiles(text: str) -> tuple[float, float]:
    """`1,99.8` as a pair."""
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected two percentiles like 1,99.8, found {text!r}") from error
    return low, high


def preprocess(options: argparse.Namespace, volume: Source) -> Callable[[Any], Any] | None:
    """What comes before the network, as the options ask for; None for nothing."""
    if options.normalize:
        low, high = options.normalize
        return asked(lambda: normalize(volume, low=low, high=high))
    return _target.function(options.preprocess) if options.preprocess else None


def memory(text: str) -> int:
    """`2GiB`, `500M` or `123456` as bytes; all units are powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    count = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a size like 2GiB or 500M, found {text!r}")
    return count


def source(options: argparse.Namespace) -> Source:
    """The source that the options name."""
    return asked(lambda: open_source(options.source, options.axes, level=options.level))


def plan(options: argparse.Namespace, fn: Callable[[Any], Any], shape: tuple[int, ...]) -> TilePlan:
    """The plan that the options ask for."""
    tile = options.tile[0] if options.tile and len(options.tile) == 1 else options.tile
    choice = {"tile": tile, "memory_bytes": options.memory, "pad": options.pad}
    return asked(lambda: plan_tiles(fn, shape, dtype=jnp.dtype(options.dtype), **choice))


def asked(do: Callable[[], Any]) -> Any:
    """Does what the options ask for; what is wrong with them becomes one line.

    Raises:
        UsageError: bad options, or a network that does not take the image.
        CertificationError: a network that cannot be tiled.
        VolumeError: storage that fails.
    """
    try:
        return do()
    except (CertificationError, VolumeError):
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise _target.UsageError(" ".join(str(error).split())) from error
    except Exception as error:  # whatever the network raises
        raise _target.UsageError(reason(error)) from error


def answered(do: Callable[[], object]) -> int:
    """0, or 1 with the reason on the standard error where the network cannot be tiled or storage fails."""
    try:
        do()
    except CertificationError as refusal:
        print(f"No certificate: {refusal}", file=sys.stderr)
        return 1
    except VolumeError as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1
    return 0
