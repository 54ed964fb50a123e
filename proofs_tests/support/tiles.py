"""Tile-and-stitch by hand, so that origins and crops may be legal or not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from hypothesis import strategies as st

from proofs_tests.support.networks import Run, Subject, cut
from shiftjax._arithmetic import ceil_div
from shiftjax.testing.strategies import Tiling, input_for, tilings

IMAGES = 3
WIDTH = 4  # pixels of an irregular tile, at least: a single one may be its block's maximum in both phases
MOST = {1: 4, 2: 2, 3: 2}  # tiles per axis


@dataclass(frozen=True)
class Cut:
    """How a few images are cut: tiles at `origins`, of each output `crop` pixels from output pixel `start` on."""

    subject: Subject
    crop: tuple[int, ...]
    start: tuple[int, ...]
    origins: tuple[tuple[int, ...], ...]  # per axis

    @property
    def tile(self) -> tuple[int, ...]:
        """Input pixels of a tile."""
        return input_for(self.subject.net, [s + c for s, c in zip(self.start, self.crop, strict=True)])

    @property
    def extent(self) -> tuple[int, ...]:
        """Output pixels of the stitched image."""
        return tuple(o[-1] - o[0] + c for o, c in zip(self.origins, self.crop, strict=True))

    @property
    def first(self) -> tuple[int, ...]:
        """The origin of the first tile."""
        return tuple(o[0] for o in self.origins)

    def images(self, *, extra: int = 0) -> np.ndarray:
        """Of a legal size that holds all tiles, and so many periods more."""
        period = self.subject.net.period
        last = [max(o) for o in self.origins]
        whole = input_for(self.subject.net, [o + s + c for o, s, c in zip(last, self.start, self.crop, strict=True)])
        lacking = [max(0, o + t - n) for o, t, n in zip(last, self.tile, whole, strict=True)]
        size = [n + p * (extra + ceil_div(lack, p)) for n, lack, p in zip(whole, lacking, period, strict=True)]
        return self.subject.image(size, batch=IMAGES)

    def stitched(self, run: Run, images: np.ndarray) -> np.ndarray:
        """The outputs of the tiles side by side; a later tile overwrites an earlier one."""
        origins = list(product(*self.origins))
        outputs = np.split(run(np.concatenate([cut(images, o, self.tile) for o in origins])), len(origins))
        canvas = np.zeros((len(images), *self.extent, outputs[0].shape[-1]), outputs[0].dtype)
        for origin, output in zip(origins, outputs, strict=True):
            window = tuple(slice(o - f, o - f + c) for o, f, c in zip(origin, self.first, self.crop, strict=True))
            canvas[(slice(None), *window)] = cut(output, self.start, self.crop)
        return canvas

    def whole(self, run: Run, images: np.ndarray) -> np.ndarray:
        """The same pixels of the outputs of the images in one piece."""
        return cut(run(images), [f + s for f, s in zip(self.first, self.start, strict=True)], self.extent)


def regular(subject: Subject, tiling: Tiling) -> Cut:
    """Tiles of whole periods, side by side, all cropped at the same place."""
    crop = tuple(n * p for n, p in zip(tiling.periods, subject.net.period, strict=True))
    origins = tuple(tuple(i * c for i in range(n)) for c, n in zip(crop, tiling.tiles, strict=True))
    return Cut(subject, crop, tiling.start, origins)


def regular_cuts(subject: Subject) -> st.SearchStrategy[Cut]:
    """Legal ones."""
    return tilings(subject.net, most=MOST[subject.net.ndim]).map(lambda tiling: regular(subject, tiling))


@st.composite
def irregular_cuts(draw: st.DrawFn, subject: Subject) -> Cut:
    """Tiles whose stride along one axis (of a period above 1) is no multiple of the period."""
    period = subject.net.period
    axis = draw(st.sampled_from([k for k, p in enumerate(period) if p > 1]))
    p = period[axis]
    turns = ceil_div(WIDTH, p)
    stride = draw(st.integers(turns, 1 + turns)) * p + draw(st.integers(1, p - 1))
    crop = tuple(stride if k == axis else p for k, p in enumerate(period))
    count = tuple(draw(st.integers(2, 3)) if k == axis else 1 for k in range(len(period)))
    origins = tuple(tuple(i * c for i in range(n)) for c, n in zip(crop, count, strict=True))
    return Cut(subject, crop, tuple(draw(st.integers(0, p)) for p in period), origins)


def check(run: Run, case: Cut) -> None:
    """Stitching equals the image in one piece, bit for bit."""
    images = case.images()
    stitched, whole = case.stitched(run, images), case.whole(run, images)
    assert stitched.shape == whole.shape
    assert np.array_equal(stitched, whole), f"tiles at {case.origins} cropped to {case.crop} differ from the whole"


def check_differs(run: Run, case: Cut) -> None:
    """Stitching gives another result for some of the images."""
    images = case.images()
    differs = not np.array_equal(case.stitched(run, images), case.whole(run, images))
    assert differs, f"tiles at {case.origins} cropped to {case.crop} equal the whole"
