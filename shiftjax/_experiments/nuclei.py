"""Real nuclei: a labelled fluorescence image, part of it held out, and a foreground channel beside the embedding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax import synthetic
from shiftjax._checks import finite
from shiftjax._experiments.data import Picture, under_output
from shiftjax._experiments.experiment import DELTA_DIST, DELTA_VAR, Training
from shiftjax._experiments.task import Task
from shiftjax._extras import require
from shiftjax._losses import discriminative_loss
from shiftjax._typing import Array, PRNGKeyArray
from shiftjax.labelling import relabel

NAME = "nuclei"
HELD_OUT = 0.25  # share of the image's rows that training never sees
FOREGROUND = 0.7  # probability from which a pixel counts as foreground
FOREGROUND_WEIGHT = 20.0  # of the cross entropy, which the push term, 36 while all means coincide, would drown
MAX_INSTANCES = 256  # more nuclei than any crop shows


@dataclass(frozen=True)
class LabelledImage:
    """One image `(rows, columns)`, its intensities scaled, and its instance labels `(rows, columns)`."""

    image: np.ndarray
    labels: np.ndarray


def load(image: Path | None, labels: Path | None) -> LabelledImage:
    """Reads an image and its labels from TIFF files; without files, those that the `stardist` package brings.

    Intensities are scaled once for the whole image (scaling per tile would cause seams of its own): the 1st percentile
    becomes 0, the 99.8th becomes 1.

    Raises:
        ValueError: one file without the other, not two-dimensional, shapes that differ, or NaN.
        ImportError: no files given and `stardist` not installed.
    """
    if (image is None) != (labels is None):
        raise ValueError("--image and --labels: expected both or neither, found one of them")
    if image is None or labels is None:
        image, labels = _packaged("img2d.tif"), _packaged("mask2d.tif")
    read = require("tifffile", "nuclei").imread
    pixels, objects = (np.asarray(read(path)) for path in (image, labels))
    if pixels.ndim != 2 or pixels.shape != objects.shape:
        raise ValueError(
            f"{image}: expected a 2-D image and labels of its shape, found {pixels.shape}, {objects.shape}"
        )
    if not np.issubdtype(objects.dtype, np.integer):
        raise ValueError(f"{labels}: expected integer labels, found {objects.dtype}; save them as integers")
    finite(str(image), pixels)
    low, high = np.percentile(pixels, [1, 99.8])
    scaled = ((pixels - low) / max(high - low, 1e-6)).astype(np.float32)
    return LabelledImage(scaled, np.asarray(relabel(objects[None]))[0])


def _packaged(name: str) -> Path:
    """A file of the `stardist` package, which need not be importable."""
    try:
        matches = [file for file in files("stardist") or [] if file.name == name]
    except PackageNotFoundError:
        matches = []
    if not matches:
        raise ImportError(
            "experiment nuclei needs a labelled image; `pip install --no-deps stardist` brings one, or give "
            "--image and --labels"
        )
    return Path(str(matches[0].locate()))


def task_of(data: LabelledImage) -> Callable[[Training], Task]:
    """Training crops from the upper part of the image; the rest is held out for the test."""

    def task(training: Training) -> Task:
        image, labels = binned(data, training.scene.binning)
        cut = round(image.shape[0] * (1 - HELD_OUT))
        trained_on, held_out = _batch(image[:cut], labels[:cut]), _batch(image[cut:], labels[cut:])
        if not bool((held_out[1] > 0).any()):
            raise ValueError(f"--labels: expected objects in the last {HELD_OUT:.0%} of the rows, held out, found none")
        if min(trained_on[0].shape[1:3]) < training.input_size:
            raise ValueError(
                f"--image: expected at least {training.input_size} px per axis to train on, after binning by "
                f"{training.scene.binning}, found {trained_on[0].shape[1:3]}"
            )

        def sample(key: PRNGKeyArray) -> tuple[Array, Array]:
            return _augmented(key, *trained_on, training)

        def picture(area: int, key: PRNGKeyArray) -> Picture:
            del area, key  # the whole held-out part, always
            rows, columns = held_out[1].shape[1:]
            return Picture(*held_out, (slice(0, rows), slice(0, columns)))

        return Task(sample, _loss, picture, _read)

    return task


def binned(data: LabelledImage, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of every block of n x n pixels, and the label of its centre; incomplete blocks are left out."""
    rows, columns = (size // n * n for size in data.image.shape)
    blocks = data.image[:rows, :columns].reshape(rows // n, n, columns // n, n)
    return blocks.mean((1, 3)), data.labels[n // 2 : rows : n, n // 2 : columns : n]


def _batch(image: np.ndarray, labels: np.ndarray) -> tuple[Array, Array]:
    return jnp.asarray(image)[None, ..., None], jnp.asarray(labels)[None]


def _augmented(key: PRNGKeyArray, image: Array, labels: Array, training: Training) -> tuple[Array, Array]:
    """A random crop, warped, rotated and mirrored, brighter or darker."""
    crop_key, warp_key, symmetry_key, brightness_key = jax.random.split(key, 4)
    image, labels = synthetic.random_crop(crop_key, image, labels, size=training.input_size)
    image, labels = synthetic.elastic(warp_key, image, labels, jitter=0.1)
    symmetries = [lambda a, n=n, m=m: jnp.rot90(a[:, ::m], n, axes=(1, 2)) for n in range(4) for m in (1, -1)]
    symmetry = jax.random.randint(symmetry_key, (), 0, len(symmetries))
    image, labels = (jax.lax.switch(symmetry, symmetries, a) for a in (image, labels))
    image = image * jax.random.uniform(brightness_key, (), minval=0.8, maxval=1.25)
    return image, under_output(labels, training)


def _loss(output: Array, labels: Array) -> Array:
    """Cross entropy of the foreground, channel 0, and the discriminative loss of the other channels."""
    foreground = optax.sigmoid_binary_cross_entropy(output[..., 0], (labels > 0).astype(output.dtype)).mean()
    separation, _ = discriminative_loss(
        output[..., 1:],
        labels,
        max_instances=MAX_INSTANCES,
        delta_var=DELTA_VAR,
        delta_dist=DELTA_DIST,
        background="ignore",
    )
    return FOREGROUND_WEIGHT * foreground + separation


def _read(output: np.ndarray, image: Array) -> tuple[np.ndarray, np.ndarray]:
    del image
    probability = 1 / (1 + np.exp(-output[..., 0].astype(np.float32)))
    return output[..., 1:], probability > FOREGROUND
