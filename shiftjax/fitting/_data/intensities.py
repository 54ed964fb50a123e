"""Intensities as a network sees them: alike in images of any exposure, measured once per image so that tiles agree.

First the image's own percentiles become 0 and 1; then the background that is typical of the training images becomes 0
and a typical object 1; what is much brighter than that is compressed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail
from shiftjax._typing import Array
from shiftjax.fitting._data.pairs import Pair
from shiftjax.fitting._data.pictures import AXES, IN_MEMORY, Picture
from shiftjax.volume import normalize, open_source

LOW, HIGH = 1.0, 99.8  # percentiles
INNER = (10.0, 90.0)  # percentiles that few objects do not reach
UNSTEADY, COMPARED = 0.25, 8  # spread of contrasts over their mean; images
FAINTEST = 0.02  # contrast between objects and background, below which it counts as this


class Intensities(NamedTuple):
    """How intensities are scaled.

    Attributes:
        low: percentile of an image that becomes 0.
        high: percentile that becomes 1.
        centre: what of that is typical background, per channel.
        gain: what it is multiplied by, per channel, so that a typical object is 1 brighter than that.
    """

    low: float
    high: float
    centre: tuple[float, ...]
    gain: tuple[float, ...]

    def of(self, source: Any) -> jax.tree_util.Partial:
        """Measures a source, and returns the function of its images `(batch, *space, channel)`."""
        return self._after(scaling("source", source, source.name, low=self.low, high=self.high))

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """An image `(1, *space, channel)` in memory as the network takes it."""
        source = open_source(image[0], axes=AXES[image.ndim - 2] + "c")
        scale = scaling("image", source, "", low=self.low, high=self.high)
        return np.asarray(self._after(scale)(jnp.asarray(image)))

    def relative(self, images: Array | np.ndarray) -> Array:
        """Images whose percentiles are scaled, with typical background and object at 0 and 1."""
        return centred(images, **self._typical())

    def _after(self, scale: Any) -> jax.tree_util.Partial:
        return jax.tree_util.Partial(prepare, scale=scale, **self._typical())

    def _typical(self) -> dict[str, Array]:
        return {name: jnp.asarray(getattr(self, name), jnp.float32) for name in ("centre", "gain")}


def scaling(name: str, source: Any, title: str, *, low: float = LOW, high: float = HIGH) -> Any:
    """`normalize`, whose errors speak of the user's argument, and offer no percentiles, which are not the user's here.

    Raises:
        ValueError: the percentiles coincide: an image without contrast.
    """
    try:
        return normalize(source, low=low, high=high)
    except ValueError as error:
        expected, _, mend = str(error).removeprefix("`source`: ").rstrip(".").partition("; ")
        if "percentiles of channel" in expected:
            mend = f"images are scaled by percentiles {low:g} and {high:g}: leave this one out, or crop what is empty"
        place = f", in {title}" if title else ""
        raise ValueError(f"`{name}`: {expected}{place}" + (f"; {mend}." if mend else ".")) from error


def prepare(image: Array, *, scale: Any, centre: Array, gain: Array) -> Array:
    """Scales and compresses an image `(batch, *space, channel)`."""
    return compress(centred(scale(image), centre=centre, gain=gain))


def centred(image: Array | np.ndarray, *, centre: Array, gain: Array) -> Array:
    """Typical background as 0, a typical object as 1."""
    return jnp.subtract(image, centre) * gain


def compress(image: Array) -> Array:
    """Almost the same between -1 and 1, logarithmic beyond."""
    return jnp.arcsinh(image)


def percentiles(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The percentiles between which objects differ from the background alike in all images.

    Where few pixels are objects, the usual percentiles lie among them in one image and beside them in the next, and
    the same object is 2 darker than the background here and 0.5 there.
    """
    seen = []
    for pair in pairs[:COMPARED]:
        if max(pair.image.nbytes, pair.labels.nbytes) <= IN_MEMORY:
            image, labels = (
                pair.image.read(pair.image.everything)[0],
                pair.labels.read(pair.labels.everything)[0, ..., 0],
            )
            if (labels > 0).any() and (labels == 0).any():
                seen.append((image, np.median(image[labels > 0], axis=0) - np.median(image[labels == 0], axis=0)))
    if len(seen) < 2:
        return LOW, HIGH
    usual, inner = (_unsteady(seen, *each) for each in ((LOW, HIGH), INNER))
    return INNER if usual > UNSTEADY and inner < usual / 2 else (LOW, HIGH)


def _unsteady(seen: Sequence[tuple[np.ndarray, np.ndarray]], low: float, high: float) -> float:
    """How much the contrast between objects and background spreads over images, in the channel where it is largest."""
    contrasts = []
    for image, difference in seen:
        lowest, highest = np.percentile(image.reshape(-1, image.shape[-1]), (low, high), axis=0)
        if not np.all(highest > lowest):
            return float("inf")
        contrasts.append(difference / (highest - lowest))
    means = np.abs(np.mean(contrasts, axis=0))
    best = np.argmax(means)
    return float(np.std(contrasts, axis=0)[best] / max(means[best], FAINTEST))


def scaled(picture: Picture, low: float = LOW, high: float = HIGH) -> Picture:
    """The picture with its percentiles at 0 and 1, in float32.

    Raises:
        ValueError: the percentiles coincide: an image without contrast.
    """
    if picture.nbytes > IN_MEMORY:
        fn, read = scaling("images", picture.source, picture.name, low=low, high=high), picture.read
        return replace(picture, dtype=np.dtype("f4"), read=lambda slices: np.asarray(fn(jnp.asarray(read(slices)))))
    image = picture.read(picture.everything)
    source = open_source(image[0], axes=AXES[image.ndim - 2] + "c")
    pixels = np.asarray(scaling("images", source, picture.name, low=low, high=high)(jnp.asarray(image)))
    return replace(picture, dtype=np.dtype("f4"), read=lambda slices: pixels[(slice(None), *slices)])


def measured(windows: Iterable[tuple[np.ndarray, np.ndarray]], low: float = LOW, high: float = HIGH) -> Intensities:
    """What is typical in windows: images `(batch, *space, channel)`, scaled by these percentiles, with their labels.

    Raises:
        ValueError: no window holds an object.
    """
    inside: list[np.ndarray] = []
    outside: list[np.ndarray] = []
    for image, labels in windows:
        for pixels, where in ((inside, labels > 0), (outside, labels == 0)):
            if where.any():
                pixels.append(np.median(image[where], axis=0))
    if not inside:
        fail("window", "training windows that hold objects", "none in those drawn first", "make them larger")
    objects = np.median(inside, axis=0)
    background = np.median(outside, axis=0) if outside else np.zeros_like(objects)
    contrast = np.maximum(np.abs(objects - background), FAINTEST)
    return Intensities(low, high, tuple(map(float, background)), tuple(map(float, 1 / contrast)))
