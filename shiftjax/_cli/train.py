"""`python -m shiftjax train IMAGES LABELS --out MODEL [--steps N | --minutes M] [--validation SHARE] [--new]`."""

from __future__ import annotations

import argparse
import math
from typing import Literal

import jax

from shiftjax._cli import network
from shiftjax._cli import options as shared
from shiftjax.fitting import Model, fit


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    kinds = "a TIFF file, a folder of TIFF files, or a volume: Zarr, OME-Zarr, HDF5 (FILE.h5/DATASET) or N5"
    parser.add_argument("images", help=kinds)
    parser.add_argument("labels", help="likewise: integers, 0 = background, a number for each object")
    parser.add_argument("--out", required=True, help="folder of the model, of its validation.png, and of the run")
    parser.add_argument("--axes", help=f"of the images, and without c of the labels: {shared.AXES}")
    parser.add_argument("--channel", type=int, help="the only one of the images to be used, from 0 (default: all)")
    parser.add_argument(
        "--start", help="a model to begin with: its folder, nuclei, or none (default: nuclei if it suits)"
    )
    parser.add_argument("--steps", type=int, help="of training (default: as many as fit into --minutes)")
    parser.add_argument("--minutes", type=float, default=8, help="what the whole run may take (default: 8)")
    text = "share that is held out, to score the model on (default: 0.2, of one image 0.25)"
    parser.add_argument("--validation", type=float, help=text)
    text = "output pixels of a training window: 128, or 32,64,64 (default: chosen by the size of the objects)"
    parser.add_argument("--window", type=network.shape, help=text)
    parser.add_argument("--batch", type=int, default=1, help="windows per step (default: 1)")
    parser.add_argument("--rate", type=float, default=2e-3, help="the largest learning rate (default: 0.002)")
    parser.add_argument("--seed", type=shared.seed, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--no-augment", action="store_true", help="train on the windows as they are")
    parser.add_argument("--new", action="store_true", help="begin anew, instead of going on with a run in --out")
    parser.add_argument("--quiet", action="store_true", help="show no bar")


def run(options: argparse.Namespace) -> int:
    """Trains and returns 0; returns 1 where the network cannot be tiled, or storage fails."""
    return shared.exit_code(_train, options)


def _start(name: str | None) -> Model | Literal[False] | None:
    return None if name is None else False if name == "none" else shared.model(name)


def _train(options: argparse.Namespace) -> None:
    window = options.window[0] if options.window and len(options.window) == 1 else options.window
    with shared.usage_errors():
        model = fit(
            options.images,
            options.labels,
            axes=options.axes,
            channel=options.channel,
            start=_start(options.start),
            steps=options.steps,
            minutes=options.minutes,
            validation=options.validation,
            augment=not options.no_augment,
            window=window,
            batch=options.batch,
            rate=options.rate,
            key=jax.random.key(options.seed),
            out=options.out,
            resume=not options.new,
            progress=not options.quiet,
        )
    score = "nothing was held out" if math.isnan(model.score) else f"AP50 {model.score:.3f} on what was held out"
    shared.tell(f"{options.out}: {score}")
    shared.tell(f"label images with it: python -m shiftjax label {options.out} IMAGE LABELS")
