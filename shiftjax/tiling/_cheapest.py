"""Which legal tile costs least: the fewest input pixels computed, within a bound on a tile's pixels or bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shiftjax._checks import fail

TRIALS = 8
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Candidates:
    """Output tiles that cut an image evenly, by axis, the cheapest first.

    Attributes:
        outputs: `(candidate, axis)` pixels a tile delivers, multiples of the period.
        inputs: `(candidate, axis)` pixels it reads.
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


def candidates(space: Sequence[int], period: Sequence[int], halo: Sequence[int]) -> Candidates:
    """All tiles worth considering: per axis, the smallest tile that needs a given number of them."""
    axes = [_even(n, p) for n, p in zip(space, period, strict=True)]
    outputs = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(np.int64)
    inputs = outputs + np.array(halo)
    cost = (-(-np.array(space) // outputs) * inputs).prod(axis=1)
    order = np.lexsort((-inputs.prod(axis=1), cost))  # of two that compute as much, the one with fewer tiles
    return Candidates(outputs[order], inputs[order])


def _even(size: int, period: int) -> np.ndarray:
    periods = -(-size // period)
    return period * np.unique(-(-periods // np.arange(1, periods + 1)))


def within_pixels(found: Candidates, most: int) -> Sizes:
    """The cheapest output tile that reads at most so many pixels; the smallest of all if none does."""
    fitting = np.flatnonzero(found.pixels <= most)
    return found.output(int(fitting[0] if len(fitting) else found.pixels.argmin()))


def within_bytes(found: Candidates, account: Callable[[Sizes], int], fixed: int, most: int) -> Sizes:
    """The cheapest output tile whose account, taken by at most 8 trial compilations, is at most so many bytes.

    Args:
        found: the candidates.
        account: bytes for a tile of this input size.
        fixed: bytes that do not depend on the tile: the parameters.
        most: bytes.

    Raises:
        ValueError: even the smallest tile takes more.
    """
    taken: dict[int, int] = {}
    for k in _trials(found, taken, fixed, most):
        taken[k] = account(found.input(k))
    fitting = [k for k, used in taken.items() if used <= most]
    if not fitting:
        least = min(taken.values())
        fail("memory_bytes", f"at least {least}, which the smallest tile takes", most, "allow more, or cut the network")
    return found.output(min(fitting))


def _trials(found: Candidates, taken: dict[int, int], fixed: int, most: int) -> Iterator[int]:
    """Which candidate to compile next: the cheapest that should fit, judged by the trials so far.

    Bytes grow with the pixels a tile reads; the share beyond the parameters is taken to be proportional to them, as in
    the trial that came closest to the bound. No guess goes beyond 64 times the pixels of a trial that fitted, or half
    the pixels of one that took twice the bound.
    """
    pixels = found.pixels
    yield int(pixels.argmin())
    while len(taken) < TRIALS:
        nearest = min(taken, key=lambda k: abs(math.log(taken[k] / most)))
        rate = max(1, taken[nearest] - fixed) / pixels[nearest]
        fitting = [k for k, used in taken.items() if used <= most]
        if not fitting:
            return
        least = max(pixels[k] for k in fitting)
        ceiling = min(
            (pixels[k] / (2 if used > 2 * most else 1) for k, used in taken.items() if used > most), default=np.inf
        )
        hopeful = (fixed + rate * pixels <= most) & (pixels < ceiling) & (pixels <= 64 * least)
        fresh = [int(k) for k in np.flatnonzero(hopeful[: min(fitting)]) if k not in taken]
        if not fresh:
            return
        yield fresh[0]
