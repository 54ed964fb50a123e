"""A picture of what a model makes of an image that was held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shiftjax._extras import require
from shiftjax.fitting._settings import Settings, labels_of, probability


def draw(path: Path, image: np.ndarray, true: np.ndarray, output: np.ndarray, settings: Settings, score: float) -> None:
    """Draws image, true labels, foreground and labels side by side; of a volume, its middle plane.

    Args:
        path: of the picture to be written.
        image: as the network takes it, `(1, *space, channel)`.
        true: labels, `(1, *space)`.
        output: of the network, `(1, *space, 1 + channel)`.
        settings: that turn the output into labels.
        score: AP50 of all that is held out.
    """
    figure = require("matplotlib.figure", "train").Figure(figsize=(16, 4.6), layout="constrained")
    found = labels_of(output, settings)
    panels = {
        "held out": _plane(image[0, ..., 0], 2),
        f"true: {len(np.unique(true[true > 0]))} objects": _colours(_plane(true[0], 2)),
        "foreground": _plane(probability(output[0, ..., 0]), 2),
        f"found: {found.max()} objects, AP50 {score:.2f} in all": _colours(_plane(found[0], 2)),
    }
    for axes, (title, pixels) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.imshow(pixels, cmap="gray", interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    figure.savefig(path, dpi=100)


def _plane(pixels: np.ndarray, ndim: int) -> np.ndarray:
    """The middle plane of a volume; a line as a plane of one row."""
    while pixels.ndim > ndim:
        pixels = pixels[len(pixels) // 2]
    return np.atleast_2d(pixels)


def _colours(labels: np.ndarray) -> np.ndarray:
    """A colour for each label, black for background."""
    colours = np.random.default_rng(0).uniform(0.25, 1, (int(labels.max()) + 1, 3))
    colours[0] = 0
    return colours[labels]
