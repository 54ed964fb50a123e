"""Labelled images: crops to train on, what is held out to score, and a foreground channel beside the embedding."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax import synthetic
from shiftjax._experiments.data import Picture, seen, under_output
from shiftjax._experiments.experiment import DELTA_DIST, DELTA_VAR, Training
from shiftjax._experiments.task import Task
from shiftjax._losses import discriminative_loss
from shiftjax._typing import Array, PRNGKeyArray

FOREGROUND = 0.7  # probability from which a pixel counts as foreground
FOREGROUND_WEIGHT = 20.0  # of the cross entropy, which the push term, 36 while all means coincide, would drown
MAX_INSTANCES = 256  # more objects than any crop shows


@dataclass(frozen=True)
class Images:
    """Images `(image, rows, columns)` of one size, their intensities scaled, and their instance labels, alike."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """Images to train on, and those that training never sees, by which it is scored."""

    trained_on: Images
    held_out: Images


def task(labelled: Labelled, training: Training) -> Task:
    """Training on crops of the one, scored on the whole of the other.

    Raises:
        ValueError: nothing is labelled in what is held out, or an image to train on is smaller than a crop.
    """
    trained_on, held_out = (
        binned(images, training.scene.binning) for images in (labelled.trained_on, labelled.held_out)
    )
    if not held_out.labels.any():
        raise ValueError("--labels: expected objects in what is held out, found none there")
    if min(trained_on.pixels.shape[1:]) < training.input_size:
        raise ValueError(
            f"--image: expected at least {training.input_size} px per axis to train on, after binning by "
            f"{training.scene.binning}, found {trained_on.pixels.shape[1:]}"
        )
    pixels, labels = _on_device(trained_on)

    def sample(key: PRNGKeyArray) -> tuple[Array, Array]:
        number = jax.random.randint(jax.random.fold_in(key, 1), (), 0, len(labels))
        return _augmented(key, pixels[number][None], labels[number][None], training)

    def picture(area: int, key: PRNGKeyArray) -> Picture:
        del area, key  # all that is held out, always
        rows, columns = held_out.labels.shape[1:]
        return Picture(*_on_device(held_out), (slice(0, rows), slice(0, columns)))

    def loss(output: Array, labels: Array) -> Array:
        return _loss(seen(output, training), labels)

    return Task(sample, loss, picture, _read)


def binned(images: Images, n: int) -> Images:
    """The mean of every block of n x n pixels, and the label of its centre; incomplete blocks are left out."""
    rows, columns = (size // n * n for size in images.labels.shape[1:])
    blocks = images.pixels[:, :rows, :columns].reshape(-1, rows // n, n, columns // n, n)
    return Images(blocks.mean((2, 4)), images.labels[:, n // 2 : rows : n, n // 2 : columns : n])


def _on_device(images: Images) -> tuple[Array, Array]:
    return jnp.asarray(images.pixels, jnp.float32)[..., None], jnp.asarray(images.labels)


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
