"""Training windows, drawn on the host: what a step sees depends on its number and the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._numbering import consecutive
from shiftjax.fitting._data.pairs import CELL, Pair, Survey
from shiftjax.fitting._network import Window
from shiftjax.tiling import read_window

ANYWHERE = 0.1  # share of windows that are drawn from all of the image, so that background is seen too
EXACT = 2**24  # labels below are numbers of float32, in which windows are bent


@dataclass(frozen=True)
class Sampler:
    """Draws batches of windows: each image as often as any other, and where its objects are.

    Attributes:
        pairs: images, scaled, with their labels.
        surveys: of their labels.
        window: the size of what is drawn.
        batch: windows per step.
        seed: of all draws.
    """

    pairs: Sequence[Pair]
    surveys: Sequence[Survey]
    window: Window
    batch: int
    seed: int

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Images `(batch, *input, channel)` and labels `(batch, *input)` of a step; 0 = background."""
        draw = np.random.default_rng([self.seed, step])
        images, labels = zip(*(self._window(draw) for _ in range(self.batch)), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def where_objects_are(self) -> Sampler:
        """Draws from the images that show objects alone."""
        shown = [k for k, survey in enumerate(self.surveys) if survey.labels]
        return replace(self, pairs=[self.pairs[k] for k in shown], surveys=[self.surveys[k] for k in shown])

    def _window(self, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        number = int(draw.integers(len(self.pairs)))
        pair, cells = self.pairs[number], self.surveys[number].cells
        last = np.array(pair.space) - np.array(self.window.output)  # where the output window may begin
        start = draw.integers(0, last + 1)
        if len(cells) and draw.random() >= ANYWHERE:
            centre = cells[draw.integers(len(cells))] + draw.integers(0, CELL, len(pair.space))
            start = np.clip(centre - draw.integers(0, np.array(self.window.output)), 0, last)
        first = [int(at) - before for at, before in zip(start, self.window.before, strict=True)]
        image = read_window(pair.image.read, pair.space, first, self.window.input, "reflect")
        found = read_window(pair.labels.read, pair.space, first, self.window.input, "reflect")[..., 0]
        known = found.dtype == np.int32 and found.max() < EXACT
        return image, found if known else consecutive(found)


def seed_of(key: Any) -> int:
    """A seed for what is drawn on the host."""
    bits = np.asarray(jax.random.bits(jax.random.fold_in(key, 1), (2,), jnp.uint32))
    return int(bits[0]) << 32 | int(bits[1])
