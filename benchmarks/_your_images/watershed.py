"""Threshold, distance transform and watershed, with settings that do best on the part to train on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib import import_module

import numpy as np
from scipy import ndimage

from _your_images.data import Task

Segment = Callable[[np.ndarray], np.ndarray]
SIGNS, LEVELS, BLURS, HIGHEST = (1, -1), (0.1, 0.2, 0.3, 0.45, 0.6), (1.0, 2.0, 3.0, 5.0), (99.0, 99.8)
TUNED_ON = 8  # images, the last ones


def by_watershed(task: Task, score: Callable[[Segment, list], float]) -> Segment:
    """The best of all settings, for `score(segment, pairs)`."""
    options = itertools.product(SIGNS, LEVELS, BLURS, HIGHEST)
    best = max(options, key=lambda o: score(lambda image: watershed(image, *o), task.train[-TUNED_ON:]))
    return lambda image: watershed(image, *best)


def watershed(image: np.ndarray, sign: int, level: float, blur: float, highest: float) -> np.ndarray:
    """Pixels above a threshold, or below at sign -1, and basins around the peaks of their distance transform."""
    smooth = ndimage.gaussian_filter(sign * image.astype(np.float32), blur)
    low, high = np.percentile(smooth, [10, highest])
    inside = smooth > low + level * (high - low)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), blur)
    peaks = (depth == ndimage.maximum_filter(depth, size=7)) & inside
    markers, _ = ndimage.label(peaks, np.ones((3,) * image.ndim))
    return np.asarray(import_module("skimage.segmentation").watershed(-depth, markers, mask=inside))
