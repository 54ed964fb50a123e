"""The claims that apply to any function of an image, examined for one function and one shape.

Only the certificate proves a claim; arithmetic on random images can contradict it. The claims are examined on the whole
output, as a user takes it: where padding reaches the output they may fail, although they hold in the certificate's
exact window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from math import gcd, prod
from typing import Any

import jax
import numpy as np

from shiftjax._typing import PRNGKeyArray, Shaped
from shiftjax._windows import window
from shiftjax.certifier import Certificate, certify
from shiftjax.testing._asserts import broken_shift, certificate_of, check_subject, exact_windows, period_multiples
from shiftjax.testing._comparison import differ, first_difference, is_rounded, on_host, random_image, tolerance, wide

PROVED = "proved"
CONTRADICTED = "contradicted"
NOT_PROVED = "not proved"  # and no violation seen
NOT_APPLICABLE = "not applicable"  # the claim says nothing here, say about a period that is not known
SHIFTS_TRIED = 16  # pixels along each axis, where no period is known
PERIODS_TRIED = 3  # sizes of tiles along each axis, from one period on, beside the largest
PIXELS_TRIED = 6  # output pixels whose receptive field is examined: one costs a run of the function


@dataclass(frozen=True)
class Verdict:
    """The outcome of one claim.

    Attributes:
        claim: its name.
        verdict: "proved", "contradicted", "not proved" or "not applicable".
        detail: what was proved or seen, in words.
    """

    claim: str
    verdict: str
    detail: str

    @property
    def contradicted(self) -> bool:
        """Whether arithmetic contradicts the claim."""
        return self.verdict == CONTRADICTED


Outcome = tuple[str, str]  # verdict and detail


class Subject:
    """A function of an image `(batch, *space, channel)`, at one shape, with its certificate or the refusal."""

    def __init__(self, fn: Callable[[Any], Any], x: jax.ShapeDtypeStruct, *, key: PRNGKeyArray | None = None) -> None:
        self.fn, self.x, self.key = fn, x, key
        self.run = on_host(fn)
        self.space = tuple(x.shape[1:-1])
        certificate = certificate_of(fn, x)
        self.certificate = certificate if isinstance(certificate, Certificate) else None
        self.refusal = "" if isinstance(certificate, Certificate) else str(certificate)

    def image(self, space: tuple[int, ...] | None = None, *, images: int = 1) -> np.ndarray:
        """A random image, by default of the subject's own size, or several batched together."""
        shape = (images * self.x.shape[0], *(self.space if space is None else space), self.x.shape[-1])
        return random_image(self.key, shape, self.x.dtype)


def examine(fn: Callable[[Any], Any], x: jax.ShapeDtypeStruct, *, key: PRNGKeyArray | None = None) -> list[Verdict]:
    """Examines every claim about one function.

    Args:
        fn: function of one image with one output, whose spatial axes lie where the image's do.
        x: shape and type of the image, `(batch, *space, channel)`.
        key: draws the images; a fixed one by default.

    Returns:
        A verdict per claim.

    Raises:
        ValueError: no function, no image or no key.
    """
    fn = check_subject(fn, x, key)
    subject = Subject(fn, x, key=key)
    return [examine_claim(claim, subject) for claim in CHECKS]


def examine_claim(claim: str, subject: Subject) -> Verdict:
    """One claim, by its name in `CHECKS`."""
    if subject.certificate is not None:
        return Verdict(claim, *CHECKS[claim](subject, subject.certificate))
    if claim == "certificate":
        return Verdict(claim, NOT_PROVED, f"no certificate: {subject.refusal}")
    if claim == "periodic-equivariance":
        return Verdict(claim, *_without_a_period(subject))
    return Verdict(claim, NOT_APPLICABLE, "no certificate, so neither a period nor a receptive field is known")


def certificate(subject: Subject, certificate: Certificate) -> Outcome:
    """Whether there is a proof at all."""
    return PROVED, f"period {certificate.period}, capacity {certificate.capacity}{exact_windows(certificate)}"


def periodic_equivariance(subject: Subject, certificate: Certificate) -> Outcome:
    """Whole periods move the whole output along."""
    period, inexact = certificate.period, exact_windows(certificate)
    try:
        violation = broken_shift(subject.fn, subject.x, period, period_multiples(len(period)), key=subject.key)
    except AssertionError as too_small:
        return NOT_APPLICABLE, str(too_small)
    if violation is not None:
        shift, where = violation
        return CONTRADICTED, f"the smallest shift that breaks it is {shift} px: the output differs at {where}{inexact}"
    if inexact:
        return NOT_PROVED, f"no violation seen{inexact}; the proof holds inside only"
    return PROVED, f"shifts by one period of {period} px agree"


def _without_a_period(subject: Subject) -> Outcome:
    """If every small shift along an axis changes the output, there is no small period."""
    for k, size in enumerate(subject.space):
        unit = tuple(int(j == k) for j in range(len(subject.space)))
        shifts = range(1, min(SHIFTS_TRIED, size - 1) + 1)
        try:
            broken = [
                broken_shift(subject.fn, subject.x, (n,) * len(unit), [unit], key=subject.key) is not None
                for n in shifts
            ]
        except (AssertionError, ValueError) as error:
            return NOT_PROVED, f"no certificate, and {error}"
        if broken and all(broken):
            return (
                CONTRADICTED,
                f"the smallest shift that breaks it is {unit} px, and so does every one along it up to {shifts[-1]}",
            )
    return NOT_PROVED, "no certificate, so no period is known; some small shifts move the output along"


def period_is_minimal(subject: Subject, certificate: Certificate) -> Outcome:
    """No smaller shift along an axis moves the exact output along."""
    # In the exact window only: elsewhere padding makes outputs change with every shift, which would show nothing.
    exact = (slice(None), *(slice(*axis.exact) for axis in certificate.axes))

    def exact_output(x: Any) -> Any:
        return subject.fn(x)[exact]

    for k, axis in enumerate(certificate.axes):
        unit = tuple(int(j == k) for j in range(len(certificate.axes)))
        for n in range(1, axis.period):
            if n % axis.stride:
                continue  # the output's pixels come to lie between the old ones
            shift = tuple(n * u for u in unit)
            steps = tuple(max(1, s) for s in shift)
            try:
                violation = broken_shift(exact_output, subject.x, steps, [unit], key=subject.key)
            except (AssertionError, ValueError) as error:
                return NOT_APPLICABLE, str(error)
            if violation is None:
                # Between floats, equality up to rounding is no counterexample.
                verdict = NOT_PROVED if is_rounded(subject.run(subject.image()).dtype) else CONTRADICTED
                return verdict, f"a shift by {shift} px moves the output along, as far as can be seen"
    return PROVED, f"every shift along an axis below the period of {certificate.period} px changes the output"


def receptive_field(subject: Subject, certificate: Certificate) -> Outcome:
    """Outputs in the exact window do not change with the input outside their fields."""
    pixels = list(_exact_pixels(certificate))
    if not pixels:
        return NOT_APPLICABLE, "no output is exact at this size: enlarge the image"
    image, other = np.split(subject.image(images=2), 2)
    expected = subject.run(image)
    for pixel in pixels:
        field = [axis.reads(i, i + 1) for axis, i in zip(certificate.axes, pixel, strict=True)]
        inside = (slice(None), *(slice(*span) for span in field))
        mixed = other.copy()  # the field of this output from one image, all else from another
        mixed[inside] = image[inside]
        at: Any = (slice(None), *pixel)
        different = differ(subject.run(mixed)[at], expected[at], tolerance(expected))
        if (different & (expected[at] == expected[at])).any():  # what is no number shows nothing
            return CONTRADICTED, f"output {pixel} reads input outside {field}"
    return PROVED, f"at most {tuple(axis.field for axis in certificate.axes)} px per output"


def _exact_pixels(certificate: Certificate) -> Iterator[tuple[int, ...]]:
    """A few output pixels in the exact window, of different phases."""
    starts = [axis.exact[0] for axis in certificate.axes]
    sizes = [axis.exact[1] - axis.exact[0] for axis in certificate.axes]
    # Another step per axis, so that phases are met in different combinations; prime to their number, to meet all.
    steps = [
        next(n for n in count(2 * k + 3, 2) if gcd(n, axis.phases) == 1) for k, axis in enumerate(certificate.axes)
    ]
    if min(sizes) > 0:
        for turn in range(PIXELS_TRIED):
            yield tuple(a + (turn * step) % n for a, step, n in zip(starts, steps, sizes, strict=True))


def stitching(subject: Subject, certificate: Certificate) -> Outcome:
    """Tiles of whole periods, their output cropped from its first pixel on, equal the image in one piece."""
    inexact, period = exact_windows(certificate), certificate.period
    periods = [axis.out // axis.phases for axis in certificate.axes]  # of output, per axis
    if min(periods) == 0:
        return NOT_APPLICABLE, f"the output is smaller than a period of {period} px: enlarge the image"
    # So large that two tiles lie side by side along every axis, whatever multiple of the period they have.
    space = tuple(n + m * p for n, m, p in zip(subject.space, periods, period, strict=True))
    shape = (subject.x.shape[0], *space, subject.x.shape[-1])
    try:
        of_larger = certify(subject.fn, jax.ShapeDtypeStruct(shape, subject.x.dtype))
    except (ValueError, TypeError) as error:
        return NOT_APPLICABLE, f"the function does not take a larger image, {space} px: {error}"
    image = subject.image(space)
    whole = subject.run(image)
    for multiple in product(*(_tried(m) for m in periods)):
        stride = tuple(m * p for m, p in zip(multiple, period, strict=True))
        tile = tuple(m * axis.phases for m, axis in zip(multiple, certificate.axes, strict=True))
        where = _seam(subject, image, whole, stride, tile)
        if where is not None:
            return (
                CONTRADICTED,
                f"the smallest tile that breaks it keeps {tile} px: the output differs at {where}{inexact}",
            )
    # A function may compute another map at another size; what holds for tiles says nothing about the whole then.
    if not certificate.same_map(of_larger):
        return NOT_PROVED, f"no violation seen, but at {space} px the function is computed in another way"
    if inexact:
        return NOT_PROVED, f"no violation seen{inexact}; the proof holds inside only"
    return PROVED, f"for tiles of multiples of {period} px; tiles of up to {tile} px agree"


def _tried(most: int) -> Sequence[int]:
    """Numbers of periods per tile that are tried: the smallest and the largest; all would take hours."""
    return [n for n in range(1, most + 1) if n <= PERIODS_TRIED or n == most]


def _seam(
    subject: Subject, image: np.ndarray, whole: np.ndarray, stride: Sequence[int], tile: Sequence[int]
) -> tuple[int, ...] | None:
    """Where the output of the first or second tile along every axis differs from that of the whole image.

    Tiles begin `stride` input pixels apart and give `tile` output pixels each.
    """
    for number in product((0, 1), repeat=len(stride)):
        start = [i * s for i, s in zip(number, stride, strict=True)]
        output = subject.run(window(image, start, subject.space))
        begin = [i * t for i, t in zip(number, tile, strict=True)]
        where = first_difference(window(output, [0] * len(tile), tile), window(whole, begin, tile))
        if where is not None:
            return tuple(i + o for i, o in zip(where, [0, *begin, 0], strict=True))
    return None


def capacity_bound(subject: Subject, certificate: Certificate) -> Outcome:
    """On a constant image, where all pixels look the same, there are no more embeddings than phases."""
    output = subject.run(np.ones(subject.x.shape, subject.x.dtype))
    bound, inexact = prod(axis.phases for axis in certificate.axes), exact_windows(certificate)
    found = _clusters(output.reshape(-1, output.shape[-1]), tolerance(output), most=bound)
    if found > bound:
        return CONTRADICTED, f"a constant image gets more than {bound} embeddings{inexact}"
    if inexact:
        return NOT_PROVED, f"no violation seen{inexact}; the proof holds inside only"
    return PROVED, f"at most {bound}; a constant image gets {found}"


def _clusters(embeddings: Shaped[np.ndarray, "pixel channel"], radius: float, *, most: int) -> int:
    """How many embeddings differ by more than `radius`, counting no further than `most + 1`."""
    remaining, found = wide(embeddings), 0
    while len(remaining) and found <= most:
        remaining = remaining[np.abs(remaining - remaining[0]).max(axis=1) > radius]
        found += 1
    return found


CHECKS: dict[str, Callable[[Subject, Certificate], Outcome]] = {
    "certificate": certificate,
    "periodic-equivariance": periodic_equivariance,
    "period-is-minimal": period_is_minimal,
    "receptive-field": receptive_field,
    "stitching": stitching,
    "capacity-bound": capacity_bound,
}
