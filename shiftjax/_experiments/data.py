"""Images to train and to test on, made on the device by key."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
from jax import lax

from shiftjax import synthetic
from shiftjax._experiments.settings import Scene, Training
from shiftjax._typing import Array, PRNGKeyArray
from shiftjax.labelling._relabel import relabel
from shiftjax.training._step import Sampler


class Picture(NamedTuple):
    """A test image, and where to score it: its border is context that only the network sees."""

    image: Array
    labels: Array
    scored: tuple[slice, ...]


def render(scene: Scene, size: int, key: PRNGKeyArray, *, origin: int | None = None) -> tuple[Array, Array]:
    """A synthetic scene of `size` pixels per axis."""
    if scene.kind == "constant":
        return synthetic.constant((size, size))
    image, labels = synthetic.disc_lattice(
        (size, size), pitch=scene.pitch, radius=scene.radius, origin=scene.origin if origin is None else origin
    )
    warp, grain = jax.random.split(key)
    if scene.elastic:
        image, labels = synthetic.elastic(warp, image, labels)
    if scene.noise:
        image = synthetic.noise(grain, image, variance=scene.noise)
    return image, labels


def sampler(training: Training) -> Sampler:
    """From a key, a random crop of a fresh scene and the labels of the output window, numbered from 1."""
    window, offset = training.window

    def sample(key: PRNGKeyArray) -> tuple[Array, Array]:
        draw, cut = jax.random.split(key)
        image, labels = render(training.scene, training.scene.size, draw)
        image, labels = synthetic.random_crop(cut, image, labels, size=training.input_size)
        return image, relabel(window_of(labels, offset, window))

    return sample


def window_of(labels: Array, offset: int, window: int) -> Array:
    """The labels `(batch, *space)` under an output window."""
    shape = (labels.shape[0], *(window,) * (labels.ndim - 1))
    return lax.slice(labels, (0, *(offset,) * (labels.ndim - 1)), (shape[0], *(offset + n for n in shape[1:])))


def max_instances(training: Training) -> int:
    """A static bound on the labels of one output window, background included."""
    window, _ = training.window
    scene = training.scene
    if scene.kind == "constant":
        return window**2 + 1
    if scene.elastic:
        shape = (scene.size, scene.size)
        return 1 + synthetic.disc_count(shape, pitch=scene.pitch, radius=scene.radius, origin=scene.origin)
    return 1 + (math.ceil(window / scene.pitch) + 1) ** 2


def test_picture(training: Training, area: int, key: PRNGKeyArray) -> Picture:
    """A scene with `area` pixels to score per axis and a border as wide as the network looks."""
    if training.scene.kind == "constant":
        image, labels = render(training.scene, training.input_size, key)
        return Picture(image, labels, (slice(None), slice(None)))
    axis = training.net().geometry[0]
    margin = axis.loss if axis.loss else training.input_size // 2
    image, labels = render(training.scene, area + 2 * margin, key)
    return Picture(image, labels, (slice(margin, margin + area),) * 2)
