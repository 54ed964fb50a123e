"""From a network's output to labels: the few numbers that decide it, and how."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from shiftjax._instances import instances
from shiftjax._typing import Array
from shiftjax.labelling import connected_components, drop_small, relabel


class Settings(NamedTuple):
    """What turns an output into labels.

    Attributes:
        threshold: probability from which on a pixel is foreground.
        bandwidth: of mean shift, in units of the embedding; None where the foreground alone tells objects apart, by the
            gap between those that touch.
        min_size: pixels of the smallest object that is kept.
    """

    threshold: float
    bandwidth: float | None
    min_size: int

    @property
    def logit(self) -> np.float32:
        """The threshold, for the network's first channel as it is."""
        return np.float32(math.log(self.threshold / (1 - self.threshold)))


def foreground(output: Any, *, logit: Any) -> Any:
    """Where objects may be: booleans `(batch, *space)` of an output `(batch, *space, 1 + channel)`."""
    return output[..., 0] > logit


def labels_of(output: np.ndarray, settings: Settings) -> np.ndarray:
    """Labels `(batch, *space)`, 0 = background, of an output `(batch, *space, 1 + channel)` on the host."""
    inside = np.asarray(foreground(output, logit=settings.logit))
    if settings.bandwidth is None:
        return np.asarray(relabel(drop_small(connected_components(inside.astype(np.int8)), min_size=settings.min_size)))
    with warnings.catch_warnings():
        # A climb that is cut off still ends near a mode, and its pixels get that code.
        warnings.filterwarnings("ignore", message="mean shift did not come to rest")
        return instances(output[..., 1:], bandwidth=settings.bandwidth, foreground=inside, min_size=settings.min_size)


def probability(logit: Array | np.ndarray) -> np.ndarray:
    """Logits as probabilities, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logit, np.float32))))
