"""Images that are held out: how well a network does on them, and which settings suit it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail, number, shown
from shiftjax._numbering import consecutive
from shiftjax.fitting._data.intensities import Intensities, compress
from shiftjax.fitting._data.pairs import Pair, Survey
from shiftjax.fitting._network import Window
from shiftjax.fitting._settings import Settings, labels_of
from shiftjax.metrics import average_precision
from shiftjax.tiling import TilePlan, plan_tiles, predict_tiled

SHARE = 0.25  # of a single image that is held out
IMAGES = 0.2  # of several images
MOST_IMAGES, MOST_PIXELS = 8, 2**19  # of those held out that are scored
CERTAIN = 0.05  # variance of whether an object is found, at least: nobody is sure of a perfect score
FEW = 2  # of them on which bandwidths are compared
THRESHOLDS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
BANDWIDTHS = (0.5, 0.8, 1.2, 1.8)
SMALL = (0.1, 0.3, 0.5)  # smallest objects that are kept, as shares of a small object's size


@dataclass
class Validation:
    """Held-out images.

    Attributes:
        images: as the network takes them, `(1, *space, channel)`.
        labels: of them, `(1, *space)`, consecutive.
        plans: tiles of images by their size, each laid out once.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]
    plans: dict[tuple[int, ...], TilePlan] = field(default_factory=dict)

    def outputs(self, fn: Any) -> list[np.ndarray]:
        """The network's output on each image."""
        return [np.asarray(predict_tiled(fn, image, self._plan(fn, image.shape))) for image in self.images]

    def score(self, outputs: Sequence[np.ndarray], settings: Settings) -> float:
        """AP50 over all images together; 0 where nothing is found and nothing is there."""
        pairs = [(true, labels_of(output, settings)) for true, output in zip(self.labels, outputs, strict=True)]
        return pooled_precision(pairs)

    def chance(self, score: float) -> float:
        """The standard error of a score on so many objects: what is less is no difference."""
        objects = sum(int(labels.max()) for labels in self.labels)
        return math.sqrt(max(score * (1 - score), CERTAIN) / max(1, objects))

    def better(self, score: float, than: float) -> bool:
        """Whether a score that was chosen among many is higher than another one by more than luck: twice the error."""
        return score - than > 2 * math.hypot(self.chance(score), self.chance(than))

    def quick(self, outputs: Sequence[np.ndarray], settings: Settings) -> tuple[Settings, float]:
        """A threshold for the foreground alone, and its score: what a run is judged by on its way.

        Many thresholds may do as well on few objects. The one in their middle is furthest from those that do not.
        """
        tried = [settings._replace(threshold=value, bandwidth=None) for value in THRESHOLDS]
        scores = [self.score(outputs, each) for each in tried]
        chosen = middle(scores, self.chance(max(scores)))
        return tried[chosen], scores[chosen]

    def tuned(self, outputs: Sequence[np.ndarray], settings: Settings, small: float) -> tuple[Settings, float]:
        """The settings, found one after the other, and their score; others than the first ones if they score better.

        What is better by no more than one or two objects could be chance.

        Args:
            outputs: of the network.
            settings: to begin with.
            small: pixels of a small object.
        """
        best, score = self.quick(outputs, settings)
        few = Validation(self.images[:FEW], self.labels[:FEW])  # clustering takes its time
        tried = [best._replace(bandwidth=value) for value in (None, *BANDWIDTHS)]
        scores = [few.score(outputs[:FEW], each) for each in tried]
        choices = [tried[int(np.argmax(scores))]]
        if choices[0] != best:
            choices += [choices[0]._replace(threshold=value) for value in THRESHOLDS]
        for each in choices:
            if each != best and (found := self.score(outputs, each)) > score + self.chance(score):
                best, score = each, found
        for share in SMALL:
            each = best._replace(min_size=max(1, round(share * small)))
            if each != best and (found := self.score(outputs, each)) > score + self.chance(score):
                best, score = each, found
        return best, score

    def _plan(self, fn: Any, shape: tuple[int, ...]) -> TilePlan:
        if shape not in self.plans:
            self.plans[shape] = plan_tiles(fn, shape)
        return self.plans[shape]


def middle(scores: Sequence[float], margin: float) -> int:
    """The place in the middle of those around the best one whose scores are lower by no more than a margin."""
    good = [score >= max(scores) - margin for score in scores]
    first = last = int(np.argmax(scores))
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(scores) and good[last + 1]:
        last += 1
    halves = (first + last) // 2, (first + last + 1) // 2
    return max(halves, key=lambda k: scores[k])


def pooled_precision(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """AP50 of true and predicted labels `(1, *space)` of images of several sizes, counted together."""
    sizes = [true.shape[1:] for true, _ in pairs]
    size = np.max(sizes, axis=0)

    def filled(labels: np.ndarray) -> np.ndarray:
        return np.pad(labels, [(0, 0), *((0, int(n - m)) for n, m in zip(size, labels.shape[1:], strict=True))])

    score = average_precision(
        np.concatenate([filled(t) for t, _ in pairs]), np.concatenate([filled(p) for _, p in pairs])
    )
    return score if np.isfinite(score) else 0.0


def held_out(pairs: Sequence[Pair], share: Any, window: Window) -> tuple[list[Pair], list[Pair]]:
    """Splits images into those to train on and those to score: the last of several, or the last part of one.

    Args:
        pairs: all of them.
        share: of them; None for the default, 0 or False for none.
        window: of training, which both parts of one image must hold.

    Raises:
        ValueError: a share out of range, or too little to hold any out.
    """
    if share is False or share == 0:
        return list(pairs), []
    part = (SHARE if len(pairs) == 1 else IMAGES) if share is None else number("validation", share, above=0, most=0.9)
    if len(pairs) > 1:
        count = min(len(pairs) - 1, max(1, round(part * len(pairs))))
        return list(pairs[:-count]), list(pairs[-count:])
    (pair,) = pairs
    axis = int(np.argmax([n / w for n, w in zip(pair.space, window.output, strict=True)]))
    cut = round(pair.space[axis] * (1 - part))
    if min(cut, pair.space[axis] - cut) < window.output[axis]:
        found = f"one of {pair.space} px, whose parts are smaller than a window of {window.output} px"
        mend = "give more images, or `validation=False` to hold none out"
        mend += '; if planes are images of their own, axes="tyx"' if len(pair.space) == 3 else ""
        fail("validation", "images to hold out", found, mend)
    upper, lower = (
        tuple(slice(*at) if k == axis else whole for k, whole in enumerate(pair.image.everything))
        for at in ((0, cut), (cut, pair.space[axis]))
    )
    return [pair.part(upper)], [pair.part(lower)]


def validation_of(pairs: Sequence[Pair], intensities: Intensities) -> Validation | None:
    """Reads the images that are held out; of many or large ones, some; None where there are none."""
    step = ceil_div(len(pairs), MOST_IMAGES)
    images, labels = [], []
    chosen_pairs = pairs[:: max(1, step)]
    for pair in chosen_pairs:
        chosen = pair.part(_centre(pair.space, MOST_PIXELS / len(chosen_pairs)))
        images.append(np.asarray(compress(intensities.relative(chosen.image.read(chosen.image.everything)))))
        labels.append(consecutive(chosen.labels.read(chosen.labels.everything)[..., 0]))
    if pairs and not any(label.any() for label in labels):
        mend = "give others by `validation=(images, labels)`"
        fail("validation", "objects in what is scored of the images held out", "background only", mend)
    return Validation(images, labels) if images else None


def _centre(space: tuple[int, ...], most: float) -> tuple[slice, ...]:
    """The middle of an image, if it is too large to be scored as a whole."""
    shrink = min(1.0, (most / np.prod(space, dtype=float)) ** (1 / len(space)))
    sizes = [max(1, int(n * shrink)) for n in space]
    return tuple(slice((n - size) // 2, (n - size) // 2 + size) for n, size in zip(space, sizes, strict=True))


def small_object(surveys: Sequence[Survey]) -> float:
    """Pixels of a small object: one in twenty is smaller."""
    return float(np.percentile(np.concatenate([survey.areas for survey in surveys]), 5))


def check_share(validation: Any) -> None:
    """Refuses what says nothing about what is held out."""
    pair = isinstance(validation, tuple | list) and len(validation) == 2
    if not pair and not (validation is None or isinstance(validation, bool | int | float)):
        fail("validation", "a share, `(images, labels)`, False or None", shown(validation))
    if validation is True:
        fail("validation", "a share, `(images, labels)`, False or None", True)


def fn_of(net: Any, variables: Any) -> jax.tree_util.Partial:
    """The network as a function of images."""
    return jax.tree_util.Partial(net.apply, variables)
