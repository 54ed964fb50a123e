"""Images to train and to test on, drawn on the device from a key."""

from __future__ import annotations

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


def render(scene: Scene, size: int, key: PRNGKeyArray, *, origin: int | None = None) -> tuple[Array, Array]:
    """Image `(1, *space, 1)` and labels `(1, *space)` of a synthetic scene of `size` pixels per axis."""
    if scene.kind == "constant":
        return synthetic.constant((size, size))
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
    """From a key, a random crop of a fresh scene and the labels of the output window, numbered from 1."""

    def sample(key: PRNGKeyArray) -> tuple[Array, Array]:
        scene_key, crop_key = jax.random.split(key)
        image, labels = render(training.scene, training.scene.size, scene_key)
        image, labels = synthetic.random_crop(crop_key, image, labels, size=training.input_size)
        return image, under_output(labels, training)

    return sample


def under_output(labels: Array, training: Training) -> Array:
    """The labels `(batch, rows, columns)` of an input under the network's output window, numbered from 1."""
    size, offset = training.window
    return relabel(window(labels, (offset,) * 2, (size,) * 2))


def ignore_cut(labels: Array, bound: int) -> Array:
    """Labels `(batch, rows, columns)` below `bound`, with `IGNORED` for objects that touch the window's border."""

    def ignore(labels: Array) -> Array:
        border = jnp.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        cut = jnp.zeros(bound, bool).at[border].set(True).at[0].set(False)
        return jnp.where(cut[labels], IGNORED, labels)

    return jax.vmap(ignore)(labels)


def max_instances(training: Training) -> int:
    """A static bound on the labels of one output window, background included."""
    size, _ = training.window
    scene = training.scene
    if scene.kind == "constant":
        return size**2 + 1
    if scene.elastic:
        shape = (scene.size, scene.size)
        return 1 + synthetic.disc_count(shape, pitch=scene.pitch, radius=scene.radius, origin=scene.origin)
    # A window of n pitches cuts the discs at both ends, and may see one disc more than n.
    return 1 + (ceil_div(size, scene.pitch) + 1) ** 2


def test_picture(training: Training, area: int, key: PRNGKeyArray) -> Picture:
    """A scene with `area` pixels to score per axis, and around them a border as wide as the network's context."""
    if training.scene.kind == "constant":
        image, labels = render(training.scene, training.input_size, key)
        return Picture(image, labels, (slice(None), slice(None)))
    axis = training.net().geometry[0]
    margin = axis.loss if axis.loss else training.input_size // 2  # a same-padded network loses nothing
    image, labels = render(training.scene, area + 2 * margin, key)
    return Picture(image, labels, (slice(margin, margin + area),) * 2)
