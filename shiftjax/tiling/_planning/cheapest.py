"""Which legal tile costs least: the fewest input pixels computed, within a bound on a tile's pixels or bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail

Sizes = tuple[int, ...]
PIXELS = 2**20  # input pixels of a tile when neither a tile nor a memory is given
ROOM, MOST = 8, 2**25  # so many times those of the smallest tile where that is more, as in 3-D, and at most so many
MAX_TRIALS = 8  # compilations; one takes seconds for a large network
MAX_GROWTH = 64  # most pixels of a trial over those of the largest that fitted: further away, a guess says little


@dataclass(frozen=True)
class Candidates:
    """Output tiles that cut an image evenly, the cheapest first.

    Attributes:
        outputs: `(candidate, axis)` pixels that a tile delivers, multiples of the period.
        inputs: `(candidate, axis)` pixels that it reads.
    """

    outputs: np.ndarray
    inputs: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """`(candidate,)` input pixels of a tile."""
        return self.inputs.prod(axis=1)

    def output(self, k: int) -> Sizes:
        return tuple(map(int, self.outputs[k]))

    def input(self, k: int) -> Sizes:
        return tuple(map(int, self.inputs[k]))


def whole_periods(wish: Sequence[int], period: Sequence[int], space: Sequence[int]) -> Sizes:
    """The wished tile, rounded down to a legal one, and no wider than the image, beyond which there is only padding."""
    return tuple(p * max(1, min(w // p, ceil_div(n, p))) for w, p, n in zip(wish, period, space, strict=True))


def candidates(
    space: Sequence[int], period: Sequence[int], overhead: Sequence[int], most: Sequence[int] | None = None
) -> Candidates:
    """All tiles worth considering: per axis, the smallest tile of whole periods for every number of tiles.

    Args:
        space: pixels of the image, per axis.
        period: of the function, in pixels.
        overhead: input pixels that a tile reads beyond those that it delivers, per axis.
        most: input pixels that a tile can read, per axis: where a tile would read more, a single one covers the axis.
    """
    axes = [_even_tiles(n, p) for n, p in zip(space, period, strict=True)]
    outputs = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(np.int64)
    inputs = outputs + np.array(overhead)
    if most is not None:
        single = inputs >= np.array(most)
        inputs = np.where(single, np.array(most), inputs)
        outputs = np.where(single, [axis[-1] for axis in axes], outputs)
    cost = (-(-np.array(space) // outputs) * inputs).prod(axis=1)
    order = np.lexsort((-inputs.prod(axis=1), cost))  # of two that compute as much, first the one with fewer tiles
    return Candidates(outputs[order], inputs[order])


def _even_tiles(size: int, period: int) -> np.ndarray:
    periods = ceil_div(size, period)
    return period * np.unique(-(-periods // np.arange(1, periods + 1)))


def moderate(tiles: Candidates, batch: int) -> int:
    """Input pixels that a tile of so many images may read where nobody says what it may take.

    The smallest tile of a deep network in 3-D reads millions for one period. One that is twice as wide along each axis
    computes every pixel 8 times; the smallest one, thousands of times.
    """
    return max(PIXELS // batch, min(ROOM * int(tiles.pixels.min()), MOST // batch))


def within_pixels(tiles: Candidates, limit: int) -> Sizes:
    """The cheapest output tile that reads at most `limit` pixels; the smallest of all if none does."""
    fitting = np.flatnonzero(tiles.pixels <= limit)
    return tiles.output(int(fitting[0] if len(fitting) else tiles.pixels.argmin()))


def within_bytes(tiles: Candidates, estimate: Callable[[Sizes], int], fixed: int, limit: int) -> Sizes:
    """The cheapest output tile that fits in `limit` bytes, as measured by at most 8 trial compilations.

    Args:
        tiles: the candidates.
        estimate: bytes for a tile of this input size.
        fixed: bytes that do not depend on the tile: the parameters.
        limit: bytes.

    Raises:
        ValueError: even the smallest tile takes more.
    """
    trials: dict[int, int] = {}
    for k in _next_trials(tiles, trials, fixed, limit):
        trials[k] = estimate(tiles.input(k))
    fitting = [k for k, used in trials.items() if used <= limit]
    if not fitting:
        expected = f"at least {min(trials.values())}, which the smallest tile takes"
        fail("memory_bytes", expected, limit, "allow more, or cut the network")
    return tiles.output(min(fitting))


def _next_trials(tiles: Candidates, trials: dict[int, int], fixed: int, limit: int) -> Iterator[int]:
    """Which candidate to compile next: the cheapest that should fit, judged by the `trials` so far.

    Bytes grow with the pixels that a tile reads; those beyond `fixed` are assumed to be proportional to them, at the
    rate of the trial that came closest to the limit.
    """
    pixels = tiles.pixels
    yield int(pixels.argmin())
    while len(trials) < MAX_TRIALS:
        fitting = [k for k, used in trials.items() if used <= limit]
        if not fitting:
            return
        nearest = min(trials, key=lambda k: abs(math.log(trials[k] / limit)))
        rate = max(1, trials[nearest] - fixed) / pixels[nearest]
        # A trial that took too much rules out all tiles as large; one that took far too much, also those half as large.
        too_large = [pixels[k] / (2 if used > 2 * limit else 1) for k, used in trials.items() if used > limit]
        hopeful = fixed + rate * pixels <= limit
        hopeful &= pixels < min(too_large, default=np.inf)
        hopeful &= pixels <= MAX_GROWTH * max(pixels[k] for k in fitting)
        cheaper = np.flatnonzero(hopeful[: min(fitting)])  # candidates are in order of cost
        untried = [int(k) for k in cheaper if k not in trials]
        if not untried:
            return
        yield untried[0]
