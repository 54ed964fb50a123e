"""What `python -m shiftjax plan`, `predict` and `segment` share: a network, a volume, its tiles, and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shiftjax._checks import nbytes, shown
from shiftjax._cli import network
from shiftjax.certifier import CertificationError
from shiftjax.fitting import Model, load_model, pretrained
from shiftjax.tiling import PADS, TilePlan, plan_tiles
from shiftjax.volume import Source, VolumeError, normalize, open_source

NAMES = ("nuclei",)  # of models that come with the library
MISSING = "chunks that the source lacks: take them for its fill value, or stop with an error (default: fill)"
VERIFY = (
    "what a resumed run checks again; `all`: the target, and the source of all finished tiles; `none`: only whether "
    "chunks exist (default: the target, and the source of some tiles)"
)
ACCEPT = "resume a target that other versions of jax or shiftjax began"
WAIT = "wait so long for a source that is an unfinished prediction (default: 0, refuse it)"
AXES = "their letters among t, c, z, y and x, in order, such as czyx (default: its metadata, else zyx or yx)"
TILE = "image pixels that a tile stands for, one number or one per axis; rounded down to whole periods"
MEMORY = "the most that predicting may take on the device, such as 2GiB"
NO_PAD = "none"  # on a command line
LARGEST_SEED = 2**31 - 1


def network_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The network, its tiles, and how the source is read."""
    parser.add_argument("--net", required=required, help=network.NETWORK)
    parser.add_argument("--tile", type=network.shape, help=f"{TILE}: 64,128,128")
    parser.add_argument("--memory", type=memory, help=MEMORY)
    text = (
        "how the image goes on beyond its border (default: reflect); none: nothing is added, and the result is the "
        "network's own, border included"
    )
    parser.add_argument("--pad", choices=(*PADS, NO_PAD), help=text)
    text = (
        "compute in strips along this spatial axis, from 0, and nothing twice along it; auto: where that takes less "
        "work; never: in tiles (default: auto with --memory and no --tile on one CPU, else never)"
    )
    parser.add_argument("--stream", type=stream, metavar="AXIS|auto|never", help=text)
    parser.add_argument("--dtype", help="of the image as the network takes it (default: float32)")
    parser.add_argument("--axes", help=f"of the source: {AXES}")
    parser.add_argument("--level", type=int, default=0, help="of an OME-Zarr or TIFF source (default: 0, the finest)")
    parser.add_argument("--channel", type=int, help="the only one of the source to be used, from 0 (default: all)")
    parser.add_argument("--planes", action="store_true", help="take each plane along z as an image of its own")


def mask_arguments(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """A mask, and how it is read where its metadata say too little."""
    parser.add_argument(f"--{name}", help=f"path or URI of a mask: {text}")
    parser.add_argument(f"--{name}-axes", help="of the mask (default: its metadata, else those of the source)")
    parser.add_argument(f"--{name}-level", type=int, help="of an OME-Zarr or TIFF mask (default: 0)")
    parser.add_argument(f"--{name}-channel", type=int, help="the only one of the mask to be used")


def mask(options: argparse.Namespace, name: str) -> Any:
    """The mask that the options name: a path, or, where they say how it is read, what is opened; None for none."""
    path, axes, level, channel = (getattr(options, f"{name}{part}") for part in ("", "_axes", "_level", "_channel"))
    if path is None and (axes, level, channel) != (None, None, None):
        raise network.UsageError(f"expected `--{name}` beside the options that say how it is read")
    if (axes, level, channel) == (None, None, None):
        return path
    with usage_errors():
        return open_source(path, axes=axes, level=level or 0, channel=channel, missing=options.missing)


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """A saved plan, what comes before the network, and how the run goes."""
    parser.add_argument(
        "--plan", type=Path, help="file with the output of `plan --json`, instead of --tile and the like"
    )
    text = "scale intensities, so that these percentiles of the whole source become 0 and 1: 1,99.8"
    parser.add_argument("--normalize", type=percentiles, metavar="LOW,HIGH", help=text)
    text = "package.module:callable, a JAX function of an image that acts on each pixel alone"
    parser.add_argument("--preprocess", help=text)
    parser.add_argument("--new", action="store_true", help="refuse a target that exists, instead of resuming it")
    parser.add_argument("--quiet", action="store_true", help="show no bar")
    parser.add_argument("--missing", choices=("fill", "error"), default="fill", help=MISSING)
    parser.add_argument("--verify", choices=("all", "none"), help=VERIFY)
    parser.add_argument("--accept-versions", action="store_true", help=ACCEPT)
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help=WAIT)


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """How the run goes, as `predict_volume` and `segment_volume` take it."""
    return {
        "resume": not options.new,
        "progress": not options.quiet,
        "missing": options.missing,
        "verify": {None: None, "all": True, "none": False}[options.verify],
        "accept_versions": options.accept_versions,
    }


def percentiles(text: str) -> tuple[float, float]:
    """`1,99.8` as a pair."""
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected two percentiles like 1,99.8, found {text!r}") from error
    return low, high


def stream(text: str) -> int | bool:
    """`0`, `1`, ... as an axis, `auto` as True, `never` as False."""
    if text in ("auto", "never"):
        return text == "auto"
    if text.isascii() and text.isdigit() and len(text) < 3:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a spatial axis, from 0, auto or never, found {shown(text)}")


def seed(text: str) -> int:
    """A number that a random key is made from."""
    if text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= LARGEST_SEED:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer from 0 to {LARGEST_SEED}, found {shown(text)}")


def memory(text: str) -> int:
    """`2GiB`, `500M` or `123456` as bytes."""
    try:
        return nbytes("--memory", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def source(options: argparse.Namespace) -> Source:
    """The source that the options name."""
    chosen: dict[str, Any] = {"level": options.level, "channel": options.channel, "planes": options.planes}
    chosen |= {"wait": getattr(options, "wait", 0), "missing": getattr(options, "missing", "fill")}
    with usage_errors():
        return open_source(options.source, axes=options.axes, **chosen)


def announce(volume: Source, *, to: Any = None) -> None:
    """Says what a user should know of a source, in the first line that is printed."""
    if volume.note() and to is None:
        tell(volume.note())
    elif volume.note():
        print(volume.note(), file=to)


def plan_for(options: argparse.Namespace, fn: Callable[[Any], Any], volume: Source) -> tuple[TilePlan, Source]:
    """A plan for a volume, and the volume as the network sees it: a network of y and x alone, plane by plane."""
    try:
        return plan(options, fn, (1, *volume.space, volume.channels)), volume
    except network.UsageError:
        if volume.space_axes != "zyx" or saved_plan(options):
            raise
        by_planes = volume.by_planes()
        with suppress(network.UsageError, CertificationError):
            return plan(options, fn, (1, *by_planes.space, by_planes.channels)), by_planes
        raise


def plan(options: argparse.Namespace, fn: Callable[[Any], Any], shape: tuple[int, ...]) -> TilePlan:
    """The plan that the options ask for, or that they saved earlier."""
    tile = options.tile[0] if options.tile and len(options.tile) == 1 else options.tile
    choice = {"tile": tile, "memory_bytes": options.memory, "pad": options.pad, "dtype": options.dtype}
    choice["stream"] = options.stream
    choice = {name: value for name, value in choice.items() if value is not None}
    as_planned = {**choice, "pad": None} if options.pad == NO_PAD else choice
    with usage_errors():
        if not saved_plan(options):
            return plan_tiles(fn, shape, **{**as_planned, "dtype": network.dtype(choice.get("dtype", "float32"))})
        if choice:
            raise ValueError(
                "expected `--plan`, or any of `--tile`, `--memory`, `--pad`, `--stream` and `--dtype`, found both"
            )
        return TilePlan.from_json(options.plan.read_text())


def saved_plan(options: argparse.Namespace) -> bool:
    """Whether the options name a plan that was saved."""
    return getattr(options, "plan", None) is not None


def preprocess(options: argparse.Namespace, volume: Source) -> Callable[[Any], Any] | None:
    """What comes before the network, as the options ask for; None for nothing."""
    if options.normalize and options.preprocess:
        raise network.UsageError("expected `--normalize` or `--preprocess`, found both")
    if options.normalize:
        low, high = options.normalize
        with usage_errors():
            return normalize(volume, low=low, high=high)
    return network.function(options.preprocess) if options.preprocess else None


@contextmanager
def usage_errors() -> Iterator[None]:
    """Within it, what is wrong with the options becomes one line.

    Raises:
        UsageError: bad options, or a network that does not take the image.
        CertificationError: a network that cannot be tiled.
        VolumeError: storage that fails.
    """
    try:
        yield
    except (CertificationError, VolumeError, network.UsageError):
        raise
    except (Exception, SystemExit) as error:  # the library's own say enough; whatever else the network raises is named
        text = network.one_line(error)
        own = isinstance(error, ValueError | TypeError | ImportError)
        raise network.UsageError(text.partition(": ")[2] if own else text) from error


def model(name: str) -> Model:
    """A model by its folder, or one that comes with the library by its name."""
    mine = (Path(name) / "model.json").exists()  # a folder of images may be called nuclei, too
    return pretrained(name) if name in NAMES and not mine else load_model(name)


def tell(sentence: str) -> None:
    """Prints a line about work that is done; a reader who has gone does not undo it."""
    try:
        print(sentence, flush=True)
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more when it ends


def exit_code(run: Callable[[argparse.Namespace], object], options: argparse.Namespace) -> int:
    """0, or 1 with the reason on the standard error where the network cannot be tiled or storage fails."""
    try:
        run(options)
    except CertificationError as refusal:
        print(f"No certificate: {refusal}", file=sys.stderr)
        return 1
    except VolumeError as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1
    return 0
