"""Images to train and to test on, drawn on the device from a key."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp

from shiftjax import synthetic
from shiftjax._arithmetic import ceil_div
from shiftjax._experiments.experiment import Scene, Training
from shiftjax._typing import Array, PRNGKeyArray
from shiftjax._windows import window
from shiftjax.labelling import relabel
from shiftjax.training import SampleBatch

IGNORED = -1  # label of pixels that count for nothing


class Picture(NamedTuple):
    """A test image, and the window to score: its border is context that only the network sees."""

    image: Array
    labels: Array
    scored: tuple[slice, ...]


def render(
    scene: Scene, size: int, key: PRNGKeyArray, *, origin: int | None = None, ndim: int = 2
) -> tuple[Array, Array]:
    """Image `(1, *space, 1)` and labels `(1, *space)` of a synthetic scene of `size` pixels per axis."""
    if scene.kind == "constant":
        return synthetic.constant((size,) * ndim)
    image, labels = synthetic.disc_lattice(
        (size, size), pitch=scene.pitch, radius=scene.radius, origin=scene.origin if origin is None else origin
    )
    elastic_key, noise_key = jax.random.split(key)
    if scene.elastic:
        image, labels = synthetic.elastic(elastic_key, image, labels, spacing=scene.elastic)
    if scene.noise:
        image = synthetic.noise(noise_key, image, variance=scene.noise)
    return image, labels


def crops(training: Training) -> SampleBatch:
    """From a key, a random crop of a fresh scene and the labels of the output window, numbered from 1.

    Of neighbours, the crops `(neighbours**ndim, *space, 1)` in raster order, and the labels of their windows as one.
    """
    step, _ = training.window
    more = (training.neighbours - 1) * step

    def sample(key: PRNGKeyArray) -> tuple[Array, Array]:
        scene_key, crop_key = jax.random.split(key)
        image, labels = render(training.scene, training.scene.size, scene_key, ndim=training.ndim)
        image, labels = synthetic.random_crop(crop_key, image, labels, size=training.input_size + more)
        starts = product(range(0, more + 1, step), repeat=training.ndim)
        sides = (training.input_size,) * training.ndim
        return jnp.concatenate([window(image, start, sides) for start in starts]), under_output(labels, training)

    return sample


def under_output(labels: Array, training: Training) -> Array:
    """The labels `(batch, *space)` of an input under what the loss sees, numbered from 1."""
    size, offset = training.window
    return relabel(window(labels, (offset,) * training.ndim, (size * training.neighbours,) * training.ndim))


def seen(outputs: Array, training: Training) -> Array:
    """What the loss sees of the outputs: their windows, those of neighbours put together."""
    (size, _), ndim, n = training.window, training.ndim, training.neighbours
    windows = window(outputs, (0,) * ndim, (size,) * ndim)
    if n == 1:
        return windows
    windows = windows.reshape(*(n,) * ndim, *windows.shape[1:])
    rows = [axis for k in range(ndim) for axis in (k, ndim + k)]  # which window, then which pixel of it
    return windows.transpose(*rows, 2 * ndim).reshape(1, *(n * size,) * ndim, -1)


def ignore_cut(labels: Array, bound: int) -> Array:
    """Labels `(batch, rows, columns)` below `bound`, with `IGNORED` for objects that touch the window's border."""

    def ignore(labels: Array) -> Array:
        border = jnp.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        cut = jnp.zeros(bound, bool).at[border].set(True).at[0].set(False)
        return jnp.where(cut[labels], IGNORED, labels)

    return jax.vmap(ignore)(labels)


def max_instances(training: Training) -> int:
    """A static bound on the labels that the loss sees, background included."""
    size = training.window[0] * training.neighbours
    scene = training.scene
    if scene.kind == "constant":
        return size**training.ndim + 1
    if scene.elastic:
        shape = (scene.size, scene.size)
        return 1 + synthetic.disc_count(shape, pitch=scene.pitch, radius=scene.radius, origin=scene.origin)
    # A window of n pitches cuts the discs at both ends, and may see one disc more than n.
    return 1 + (ceil_div(size, scene.pitch) + 1) ** 2


def test_picture(training: Training, area: int, key: PRNGKeyArray) -> Picture:
    """A scene with `area` pixels to score per axis, and around them a border as wide as the network's context."""
    if training.scene.kind == "constant":
        image, labels = render(training.scene, training.input_size, key, ndim=training.ndim)
        return Picture(image, labels, (slice(None), slice(None)))
    axis = training.net().geometry[0]
    margin = axis.loss if axis.loss else training.input_size // 2  # a same-padded network loses nothing
    image, labels = render(training.scene, area + 2 * margin, key)
    return Picture(image, labels, (slice(margin, margin + area),) * 2)
