"""What a network is trained on, and how its output is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from shiftjax._experiments import data
from shiftjax._experiments.experiment import DELTA_DIST, DELTA_VAR, GAMMA, Training
from shiftjax._losses import discriminative_loss
from shiftjax._typing import Array, PRNGKeyArray
from shiftjax.training import SampleBatch


@dataclass(frozen=True)
class Task:
    """The data side of one training.

    Attributes:
        sample: from a key, images `(batch, *space, channel)` and the labels of what the loss sees.
        loss: from output and labels, a scalar.
        picture: from a number of pixels to score, per axis, and a key, a test picture.
        read: from stitched output and image, the embedding `(batch, *space, channel)` and the foreground
            `(batch, *space)`.
    """

    sample: SampleBatch
    loss: Callable[[Array, Array], Array]
    picture: Callable[[int, PRNGKeyArray], data.Picture]
    read: Callable[[np.ndarray, Array], tuple[np.ndarray, np.ndarray]]


def scene_task(training: Training) -> Task:
    """Synthetic objects: the background is an ordinary instance, and bright pixels are foreground."""
    bound = data.max_instances(training)

    def loss(embedding: Array, labels: Array) -> Array:
        value, _ = discriminative_loss(
            data.seen(embedding, training),
            data.ignore_cut(labels, bound) if training.whole else labels,
            max_instances=bound,
            delta_var=DELTA_VAR,
            delta_dist=DELTA_DIST,
            gamma=GAMMA,
            ignore_label=data.IGNORED,
        )
        return value

    return Task(data.crops(training), loss, partial(data.test_picture, training), _read)


def _read(output: np.ndarray, image: Array) -> tuple[np.ndarray, np.ndarray]:
    return output, np.asarray(image[..., 0]) > 0.5
