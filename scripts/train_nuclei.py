"""Trains the model of `shiftjax.pretrained("nuclei")` on simulated nuclei, and scores it.

usage: python scripts/train_nuclei.py --minutes 4 --out DIR [--steps N] [--images N] [--batch N] [--seed S]
                                      [--image FILE.tif --labels FILE.tif]

Sizes, shapes, crowding, brightness, texture, haze, blur and noise differ from image to image, so that real images lie
among them. DIR becomes the model's folder, of at most 2 MB. The model is scored on simulated images that it has never
seen, and on the real image that is named, or that the package `stardist` brings if it is installed.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

import shiftjax as sj
from shiftjax._extras import require

SIZE = 256  # pixels per axis of a simulated image
RADII = (6, 8, 10, 13)  # pixels, before they are stretched
STRETCH = 1.4  # at most, along one axis
HIDDEN = 0.4  # share of a nucleus that another may cover; of those covered more, the rest is no object
LEVELS = 3  # of the network, whose halo of 44 px then holds every nucleus
LARGEST = 2 * 10**6  # bytes of the model
HELD_OUT = 8  # simulated images


def main() -> int:
    """Simulates, trains, scores, writes."""
    options = parsed()
    rng, key = np.random.default_rng(options.seed), jax.random.key(options.seed)
    count = options.images + HELD_OUT
    print(f"simulating {count} images of {SIZE} x {SIZE} px on {jax.devices()[0].platform}", flush=True)
    pairs = [simulated(jax.random.fold_in(key, k), rng) for k in range(count)]
    images, labels = [image for image, _ in pairs], [label for _, label in pairs]
    on_cpu = jax.default_backend() == "cpu"
    model = sj.fit(
        images[HELD_OUT:],
        labels[HELD_OUT:],
        validation=(images[:HELD_OUT], labels[:HELD_OUT]),
        steps=options.steps,
        minutes=options.minutes,
        batch=options.batch or (1 if on_cpu else 8),
        net=sj.UNet(5, factors=((2, 2),) * LEVELS),
        key=key,
        progress=find_spec("tqdm") is not None,
    )
    model.save(options.out, half=True)
    model = sj.load_model(options.out)  # with weights as they are written
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {size / 1e6:.2f} MB, {model.settings}")
    fresh = [simulated(jax.random.fold_in(key, 10**6 + k), rng) for k in range(8)]
    found = [model.segment(image) for image, _ in fresh]
    true = np.stack([label for _, label in fresh])
    print(f"AP50 on simulated images: {sj.average_precision(true, np.stack(found)):.3f}")
    real = real_image(options)
    if real is None:
        print("no real image: give --image and --labels, or `pip install --no-deps stardist`")
    else:
        print(f"AP50 on the real image: {sj.average_precision(real[1][None], model.segment(real[0])[None]):.3f}")
    return int(size > LARGEST)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4, help="of training (default: 4)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model; a model in it is replaced")
    parser.add_argument("--steps", type=int, help="of training, instead of --minutes")
    parser.add_argument("--images", type=int, default=240, help="to train on (default: 240)")
    parser.add_argument("--batch", type=int, help="windows per step (default: 8, on a CPU 1)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--image", type=Path, help="a real image, TIFF")
    parser.add_argument("--labels", type=Path, help="its labels, TIFF")
    options = parser.parse_args()
    taken = options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir()))
    if taken and not (options.out / "model.json").is_file():  # said before the training, not after it
        parser.error(f"--out: expected a new folder, or one with a model, found {options.out}; choose another")
    return options


def simulated(key: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image `(row, column)` and its labels."""
    signal, labels = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.int32)
    radius = int(rng.choice(RADII))
    for layer in range(int(rng.integers(1, 3))):  # nuclei of the second lie over those of the first
        light, numbers = nuclei(jax.random.fold_in(key, layer), radius, rng)
        signal = np.where(numbers > 0, np.maximum(light, 0.6 * signal), np.maximum(signal, light))
        labels = covered(labels, numbers)
    return photographed(signal, labels, rng), labels


def nuclei(key: Any, radius: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Light of nuclei without noise, each of its own brightness and texture, and labels."""
    stretch = rng.uniform(1, STRETCH)
    axis = int(rng.integers(2))
    image, labels = sj.synthetic.nuclei(
        key, (SIZE, SIZE), radius=radius, touching=float(rng.uniform(0.2, 0.9)), blur=0.7, photons=1e5, read_noise=0.0
    )
    factors = [stretch if k == axis else 1.0 for k in range(2)]
    light = zoom(np.asarray(image)[0, ..., 0], factors, order=1)[:SIZE, :SIZE]
    numbers = zoom(np.asarray(labels)[0], factors, order=0)[:SIZE, :SIZE]
    keep = rng.random(numbers.max() + 1) < rng.uniform(0.4, 1.0)  # crowded and sparse images
    keep[0] = False
    bright = np.exp(rng.normal(0, 0.45, numbers.max() + 1))
    bright[rng.random(len(bright)) < 0.05] *= 3  # dividing ones
    gain = gaussian_filter(np.where(keep[numbers], bright[numbers], 0).astype(np.float32), 0.7)
    texture = gaussian_filter(rng.normal(size=light.shape), rng.uniform(1, 4))
    light = np.maximum(light - 0.05, 0) * gain * (1 + rng.uniform(0, 0.25) * texture / texture.std())
    return light.astype(np.float32), np.where(keep[numbers], numbers, 0).astype(np.int32)


def covered(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Labels of two layers; of what lies below, only nuclei that are still mostly seen."""
    seen = np.where(above > 0, 0, below)
    before, after = (np.bincount(x.ravel(), minlength=below.max() + 1) for x in (below, seen))
    seen = np.where((after >= (1 - HIDDEN) * before)[seen], seen, 0)
    return np.where(above > 0, above + below.max(), seen)


def photographed(signal: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The light through optics and onto a camera."""
    signal = gaussian_filter(signal, rng.uniform(0.3, 2.0))
    haze = gaussian_filter(signal, rng.uniform(8, 30))
    uneven = gaussian_filter(rng.normal(size=signal.shape), 60)
    background = rng.uniform(0.02, 0.6) * (1 + 0.3 * uneven / uneven.std())
    light = np.maximum(signal + rng.uniform(0, 0.8) * haze + background, 0)
    photons = 10 ** rng.uniform(1.3, 3)
    image = rng.poisson(photons * light) / photons + rng.normal(0, rng.uniform(0, 0.05), light.shape)
    return image.astype(np.float32)


def real_image(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray] | None:
    """The real image and its labels; None where there are none."""
    paths = options.image, options.labels
    if None in paths:
        try:
            named = {file.name: Path(str(file.locate())) for file in files("stardist") or []}
        except PackageNotFoundError:
            return None
        paths = named.get("img2d.tif"), named.get("mask2d.tif")
    if None in paths:
        return None
    read = require("tifffile", "nuclei").imread
    image, labels = (np.asarray(read(path)) for path in paths)
    return image, labels.astype(np.int32)


if __name__ == "__main__":
    sys.exit(main())
