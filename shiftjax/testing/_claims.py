"""The claims that apply to any function of an image, examined for one function and one shape.

What holds is the certificate's to say; arithmetic on random images tries to contradict it (see `evidence`). The claims
are examined on the whole output, as a user takes it: where padding reaches the output, they fail, although they may
hold in the certificate's exact window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import jax
import numpy as np

from shiftjax._typing import PRNGKeyArray, Shaped
from shiftjax.certifier import Certificate, certify
from shiftjax.testing import _comparison as evidence
from shiftjax.testing._asserts import (
    broken_shift,
    certificate_of,
    exact_windows,
    period_multiples,
)

HOLDS, FAILS, OPEN = "holds", "fails", "does not apply"
SEARCHED = 16  # pixels: shifts tried along each axis where no period is known
PIXELS_TRIED = 6


@dataclass(frozen=True)
class Verdict:
    """What was found about one claim."""

    claim: str
    verdict: str
    detail: str


class Given:
    """A function of an image, at one shape, with its certificate or the refusal."""

    def __init__(self, fn: Callable[[Any], Any], x: jax.ShapeDtypeStruct, *, key: PRNGKeyArray | None = None) -> None:
        self.fn, self.x, self.key = fn, x, key
        self.run = evidence.runner(fn)
        self.space = tuple(x.shape[1:-1])
        self.axes = tuple(range(1, len(x.shape) - 1))
        found = certificate_of(fn, x)
        self.certificate = found if isinstance(found, Certificate) else None
        self.refusal = "" if isinstance(found, Certificate) else str(found)

    def image(self, space: tuple[int, ...] | None = None) -> np.ndarray:
        shape = (self.x.shape[0], *(self.space if space is None else space), self.x.shape[-1])
        return evidence.random_image(self.key, shape, self.x.dtype)


def examine(fn: Callable[[Any], Any], x: jax.ShapeDtypeStruct, *, key: PRNGKeyArray | None = None) -> list[Verdict]:
    """All claims that apply.

    Args:
        fn: function of one image with one output, whose spatial axes lie where the image's do.
        x: shape and type of the image, `(batch, *space, channel)`.
        key: draws the images; a fixed one by default.
    """
    given = Given(fn, x, key=key)
    return [Verdict(claim, *check(given)) for claim, check in CHECKS.items()]


def certificate(given: Given) -> tuple[str, str]:
    """Whether there is a proof at all."""
    found = given.certificate
    if found is None:
        return OPEN, f"no certificate: {given.refusal}"
    return HOLDS, f"period {found.period}, capacity {found.capacity}{exact_windows(found)}"


def periodic_equivariance(given: Given) -> tuple[str, str]:
    """Whole periods move the whole output along."""
    if given.certificate is None:
        return _without_a_period(given)
    period = given.certificate.period
    try:
        found = broken_shift(given.fn, given.x, period, period_multiples(len(period)), key=given.key)
    except AssertionError as error:
        return OPEN, str(error)
    if found is not None:
        shift, where = found
        window = exact_windows(given.certificate)
        return FAILS, f"the smallest shift that breaks it is {shift} px: the output differs at {where}{window}"
    if exact_windows(given.certificate):
        return OPEN, f"no violation seen{exact_windows(given.certificate)}; the proof holds inside only"
    return HOLDS, f"proved; shifts by one period of {period} px agree"


def _without_a_period(given: Given) -> tuple[str, str]:
    """If every small shift along an axis changes the output, there is no small period."""
    for k in range(len(given.space)):
        unit = tuple(int(j == k) for j in range(len(given.space)))
        reach = range(1, min(SEARCHED, given.space[k] - 1) + 1)
        try:
            kept = [
                n for n in reach if broken_shift(given.fn, given.x, (n,) * len(unit), [unit], key=given.key) is None
            ]
        except (AssertionError, ValueError) as error:
            return OPEN, f"no certificate, and {error}"
        if reach and not kept:
            return (
                FAILS,
                f"the smallest shift that breaks it is {unit} px, and so does every one along it up to {reach[-1]}",
            )
    return OPEN, "no certificate, so no period is known; some small shifts move the output along"


def period_is_minimal(given: Given) -> tuple[str, str]:
    """No smaller shift along an axis moves the exact output along."""
    found = given.certificate
    if found is None:
        return OPEN, "no certificate, so no period is known"
    inside = Given(lambda x: given.fn(x)[_exact(found)], given.x, key=given.key)
    for k, axis in enumerate(found.axes):
        unit = [int(j == k) for j in range(len(found.axes))]
        for shift in range(1, axis.period):
            if shift % axis.stride:
                continue  # the output's pixels come to lie between the old ones
            by = tuple(shift * u for u in unit)
            try:
                broken = broken_shift(inside.fn, given.x, tuple(max(1, n) for n in by), [tuple(unit)], key=given.key)
            except (AssertionError, ValueError) as error:
                return OPEN, str(error)
            if broken is None:
                exact = np.issubdtype(given.x.dtype, np.integer)
                return (FAILS if exact else OPEN), f"a shift by {by} px moves the output along, as far as can be seen"
    return HOLDS, f"every shift along an axis below the period of {found.period} px changes the output"


def _exact(found: Certificate) -> tuple[slice, ...]:
    return (slice(None), *(slice(*axis.exact) for axis in found.axes))


def receptive_field(given: Given) -> tuple[str, str]:
    """Outputs in the exact window do not change with the input outside their fields."""
    found = given.certificate
    if found is None:
        return OPEN, "no certificate, so no receptive field is known"
    image = given.image()
    other = evidence.random_image(jax.random.key(1), image.shape, given.x.dtype)
    wanted = given.run(image)
    for pixel in _pixels(found):
        box = tuple(slice(*axis.reads(i, i + 1)) for axis, i in zip(found.axes, pixel, strict=True))
        mixed = other.copy()
        mixed[(slice(None), *box)] = image[(slice(None), *box)]
        at: Any = (slice(None), *pixel)
        if np.abs(given.run(mixed)[at] - wanted[at]).max() > evidence.tolerance(wanted):
            return FAILS, f"output {pixel} reads input outside {[(s.start, s.stop) for s in box]}"
    if not any(_pixels(found)):
        return OPEN, "no output is exact at this size: enlarge the image"
    return HOLDS, f"proved; at most {tuple(axis.field for axis in found.axes)} px per output"


def _pixels(found: Certificate) -> Iterator[tuple[int, ...]]:
    """A few exact output pixels of different phases."""
    starts = [axis.exact[0] for axis in found.axes]
    room = [axis.exact[1] - axis.exact[0] for axis in found.axes]
    if min(room) > 0:
        for turn in range(PIXELS_TRIED):
            yield tuple(a + (turn * (2 * k + 3)) % n for k, (a, n) in enumerate(zip(starts, room, strict=True)))


def stitching(given: Given) -> tuple[str, str]:
    """Tiles of whole periods, their output cropped from its first pixel on, equal the image in one piece."""
    found = given.certificate
    if found is None:
        return OPEN, "no certificate, so no legal tile is known"
    turns = [axis.out // axis.phases for axis in found.axes]
    if min(turns) == 0:
        return OPEN, f"the output is smaller than a period of {found.period} px: enlarge the image"
    grown = tuple(n + t * p for n, t, p in zip(given.space, turns, found.period, strict=True))
    try:
        larger = certify(given.fn, jax.ShapeDtypeStruct((given.x.shape[0], *grown, given.x.shape[-1]), given.x.dtype))
    except (ValueError, TypeError) as error:
        return OPEN, f"the function does not take a larger image, {grown} px: {error}"
    image = given.image(grown)
    whole = given.run(image)
    for multiple in product(*(range(1, t + 1) for t in turns)):
        stride = tuple(m * p for m, p in zip(multiple, found.period, strict=True))
        kept = tuple(m * axis.phases for m, axis in zip(multiple, found.axes, strict=True))
        bad = _seam(given, image, whole, stride, kept)
        if bad is not None:
            return (
                FAILS,
                f"the smallest tile that breaks it keeps {kept} px: the output differs at {bad}{exact_windows(found)}",
            )
    if not found.same_map(larger):
        return OPEN, f"no violation seen, but at {grown} px the function is computed in another way"
    if exact_windows(found):
        return OPEN, f"no violation seen{exact_windows(found)}; the proof holds inside only"
    return HOLDS, f"proved for tiles of multiples of {found.period} px; tiles of up to {kept} px agree"


def _seam(
    given: Given, image: np.ndarray, whole: np.ndarray, stride: tuple[int, ...], kept: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Where the output of the first or second tile along every axis differs from that of the whole image."""
    for tile in product((0, 1), repeat=len(stride)):
        part = given.run(
            evidence.moved(image, [t * s for t, s in zip(tile, stride, strict=True)], given.space, given.axes)
        )
        begin = [t * k for t, k in zip(tile, kept, strict=True)]
        wanted = evidence.moved(whole, begin, kept, given.axes)
        bad = evidence.differing(part[(slice(None), *map(slice, kept))], wanted)
        if bad is not None:
            return tuple(i + o for i, o in zip(bad, [0, *begin, 0], strict=True))
    return None


def capacity_bound(given: Given) -> tuple[str, str]:
    """On a constant image, where all pixels look the same, there are no more embeddings than phases."""
    found = given.certificate
    if found is None:
        return OPEN, "no certificate, so no bound is known"
    output = given.run(np.ones(given.x.shape, given.x.dtype))
    count = _clusters(output.reshape(-1, output.shape[-1]), evidence.tolerance(output), most=found.capacity)
    if count > found.capacity:
        return FAILS, f"a constant image gets more than {found.capacity} embeddings{exact_windows(found)}"
    bound = prod(axis.phases for axis in found.axes)
    return HOLDS, f"proved: at most {bound}; a constant image gets {count}"


def _clusters(embeddings: Shaped[np.ndarray, "pixel channel"], radius: float, *, most: int) -> int:
    """How many embeddings differ by more than `radius`, counting no further than `most + 1`."""
    left, count = embeddings.astype(np.float64), 0
    while len(left) and count <= most:
        left = left[np.abs(left - left[0]).max(axis=1) > radius]
        count += 1
    return count


CHECKS: dict[str, Callable[[Given], tuple[str, str]]] = {
    "certificate": certificate,
    "periodic-equivariance": periodic_equivariance,
    "period-is-minimal": period_is_minimal,
    "receptive-field": receptive_field,
    "stitching": stitching,
    "capacity-bound": capacity_bound,
}
