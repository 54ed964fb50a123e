"""What claims are tested on: random networks with integer weights, and moved images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from proofs_tests.support.exact import BATCH, Subject, cut
from shiftjax import UNet
from shiftjax.testing.strategies import architectures, seeds, shifts

Shift = tuple[int, ...]


@st.composite
def subjects(draw: Any, **options: Any) -> Subject:
    """A network with weights; the options are those of `architectures`."""
    return Subject(draw(architectures(**options)), draw(st.integers(1, 2)), draw(seeds()))


@dataclass(frozen=True)
class Shifted:
    """An image of two periods of output or more, and the shifts to move it by."""

    subject: Subject
    shifts: tuple[Shift, ...]

    def images(self) -> np.ndarray:
        """The image, then the moved ones; the last one is repeated to fill a batch."""
        size = self.subject.size()
        reach = np.abs(np.array(self.shifts)).max(axis=0)
        big = self.subject.image(size + 2 * reach)
        starts = [reach, *(reach - np.array(s) for s in self.shifts)]
        windows = [cut(big, at, size) for at in starts]
        return np.concatenate(windows + windows[-1:] * (BATCH - len(windows)))

    def overlap(self, here: np.ndarray, there: np.ndarray, shift: Shift) -> tuple[np.ndarray, np.ndarray]:
        """The pixels that the outputs `(*space, channel)` of the image and of the moved one share."""
        a = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, here.shape, strict=False))
        b = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, here.shape, strict=False))
        return here[a], there[b]


def shifted(
    subject: Subject, kind: Callable[[Sequence[int], Sequence[int]], st.SearchStrategy[Shift]], *, most: int = BATCH - 1
) -> st.SearchStrategy[Shifted]:
    """Shifts of one kind that leave some output in common; half of it for those that should change it."""
    extent = subject.output(subject.size())
    if kind is not shifts:
        extent = tuple(-(-n // 2) for n in extent)
    some = st.lists(kind(subject.net.period, extent), min_size=min(4, most), max_size=most)
    return some.map(lambda chosen: Shifted(subject, tuple(chosen)))


FLOATS = tuple(
    Subject(UNet(2, features=4, **options), seed=seed)
    for seed, options in enumerate(
        (
            {"ndim": 1, "factors": (2, 2)},
            {"ndim": 1, "factors": (3, 2), "kernel_size": 2, "crop": "every"},
            {"ndim": 2, "factors": (2,), "convs": 1},
        )
    )
)
