"""Looks for witnesses, when first asked for one, at a small shape of the image and with bounded work.

Minimal periods. Along one axis let p input pixels be the period and q output pixels the phases, for fixed parameters.
The shifts s that the function commutes with, so that s pixels of input move the output by s q / p, form a group. It
holds p, so it consists of the multiples of a divisor g of p. If g < p, then some prime r divides p / g, and p / r is in
the group. So p is minimal once each prime r that divides p has a counterexample to p / r, all at the same parameters:
an image and its shift by p / r where outputs i + q / r of the one and i of the other differ. Where r does not divide q,
none is needed: a shift by p / r that moves the output by t whole pixels would, done r times, move it by r t, which is
not q; and an output that reads a bounded field and does not change when moved by r t - q pixels depends on no pixel.
Hence one more witness, of reading something, at the same parameters.

Parameters. Arrays that the function holds count as they are, so that a claim is about the very function. Parameters of
which it holds only the shape are drawn, and the claim is about some parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shiftjax.certifier._witnesses.float_error import apart
from shiftjax.certifier._witnesses.witness import Difference, Drawing, KnownWitnesses, Runner, Witness

if TYPE_CHECKING:
    from shiftjax.certifier._axis_certificate import AxisCertificate
    from shiftjax.certifier._certificate import Certificate

TRIALS = 32  # images drawn for each thing to be shown, before a search ends
TOGETHER = 8  # trials with the same parameters, where these are drawn
IMAGES = 1000  # computed in one search, at most
LARGEST = 2**20  # elements of an image; a larger one is not tried
WORK = 2.0**35  # floating-point operations of one search, at most
MORE = (0, 1, 2, 4)  # periods above the smallest size, tried in turn: not every size is legal, or of the same map


class Requirement(NamedTuple):
    """What one difference has to show: the second image, and which outputs may differ.

    Attributes:
        shows: what that is, in words.
        shift: input pixels by which the second image is moved along the axis.
        anew: the coordinate along the axis at which the pixels of the second image are drawn anew; None for none.
        move: output pixels from an output of the second image to the one of the first that it is compared with.
        outputs: of the second image, a range along the axis.
    """

    shows: str
    shift: int
    anew: int | None
    move: int
    outputs: range


def requirements(axis: AxisCertificate, kind: str) -> list[Requirement]:
    """All that must be shown for the claim to hold; empty where the exact window is too small to show it."""
    found = _of_minimal(axis) if kind == "minimal" else _of_attained(axis)
    return found if all(requirement.outputs for requirement in found) else []


def _of_minimal(axis: AxisCertificate) -> list[Requirement]:
    start, stop = axis.exact
    primes = [r for r in range(2, axis.period + 1) if axis.period % r == 0 and all(r % s for s in range(2, r))]
    found = [Requirement("an output reads the image", axis.period // primes[0], None, 0, range(start, stop))]
    for r in primes:
        if axis.phases % r == 0:
            shift, move = axis.period // r, axis.phases // r
            shows = f"moving the image by {shift} px does not move the output by {move} px"
            found.append(Requirement(shows, shift, None, move, range(start, stop - move)))
    return found


def _of_attained(axis: AxisCertificate) -> list[Requirement]:
    """For one exact output of each phase, next to each other, chosen so that their fields share many ends."""
    start, stop = axis.exact

    def fields(first: int) -> list[tuple[int, int]]:
        turns = [divmod(i, axis.phases) for i in range(first, first + axis.phases)]
        return [(axis.period * m + axis.lo[r], axis.period * m + axis.hi[r]) for m, r in turns]

    firsts = range(start, min(start + axis.phases, stop - axis.phases + 1))
    first = min(firsts, key=lambda i: len({pixel for field in fields(i) for pixel in field}), default=None)
    if first is None or any(lo > hi for lo, hi in fields(first)):
        return []
    ends = [
        (pixel, i, end)
        for i, field in enumerate(fields(first), first)
        for end, pixel in zip(("first", "last"), field, strict=True)
    ]
    return [
        Requirement(f"phase {i % axis.phases} reads the {end} pixel of its field", 0, pixel, 0, range(i, i + 1))
        for pixel, i, end in sorted(ends)  # so that neighbours share an image
    ]


@dataclass(frozen=True, eq=False)
class Source:
    """What witnesses of a certificate are made of.

    Attributes:
        fn: the function.
        certificate: of the function.
        certify: makes one at another shape of the image.
    """

    fn: Callable[[Any], Any]
    certificate: Certificate
    certify: Callable[[tuple[int, ...]], Certificate]

    @cached_property
    def smallest(self) -> Certificate:
        """The certificate of the same map at a shape hardly larger than one exact output of every phase needs."""
        cert = self.certificate
        shapes = dict.fromkeys(_shape(cert, more) for more in MORE)
        return next((found for shape in shapes if (found := self._same(shape))), cert)

    def _same(self, shape: tuple[int, ...]) -> Certificate | None:
        """The certificate at a shape, if it is one of the same map with the same numbers."""
        if math.prod(shape) > LARGEST:
            return None
        try:
            found = self.certify(shape)
        except Exception:  # a function may say in any way that it does not take this size
            return None
        axes = [a for leaf in found.leaves for a in leaf.axes]
        own = [a for leaf in self.certificate.leaves for a in leaf.axes]
        same = found.same_map(self.certificate) and list(map(_numbers, axes)) == list(map(_numbers, own))
        return found if same and all(a.exact[1] - a.exact[0] >= a.phases for a in axes) else None

    @cached_property
    def runner(self) -> Runner | None:
        """The function at that shape; None where the shape is too large, or the function does not run in float64."""
        cert = self.smallest
        if math.prod(cert.shape) > LARGEST:
            return None
        try:
            runner = Runner(self.fn, cert.shape, cert.dtype)
            return runner if runner.work <= WORK and runner.compiled else None
        except Exception:  # any operation may fail in its own way; then nothing is shown
            return None

    @cached_property
    def blank(self) -> Witness:
        """A witness that shows nothing yet."""
        assert self.runner is not None
        cert = self.smallest
        axes = cert.leaves[0].axes
        margin = tuple(max(leaf.axes[k].period for leaf in cert.leaves) for k in range(len(axes)))
        spatial = tuple(axis.input_axis for axis in axes)
        return Witness("", 0, cert.shape, cert.dtype, spatial, margin, 0, self.runner.drawn, ())

    @cached_property
    def results(self) -> Callable[[int, Drawing, int], list[np.ndarray]]:
        """Gives what the function returns for the first or second image of a pair, with parameters of a seed."""
        runner, blank = self.runner, self.blank
        assert runner is not None
        parameters = lru_cache(maxsize=1)(lambda seed: replace(blank, seed=seed).parameters)
        return lru_cache(maxsize=4)(lambda seed, drawing, n: runner(parameters(seed), blank.image(drawing), n))


def _shape(cert: Certificate, more: int) -> tuple[int, ...]:
    """A shape that holds an exact output of every phase, as far as one can tell, and `more` periods per axis."""
    shape = list(cert.shape)
    for same in zip(*(leaf.axes for leaf in cert.leaves), strict=True):
        step = math.lcm(*(axis.period for axis in same))
        spare = min(_spare(axis, step) for axis in same)
        shape[same[0].input_axis] -= step * (spare - more if spare < 0 else max(0, spare - more))
    return tuple(shape)


def _spare(axis: AxisCertificate, step: int) -> int:
    """How many times `step` pixels the image could be smaller; below 0 if it must be larger."""
    exact = axis.exact[1] - axis.exact[0]
    if exact >= axis.phases:
        return (exact - axis.phases) // int(step / axis.stride)
    return min(-1, (axis.size - axis.field - axis.period) // step)


def _numbers(axis: AxisCertificate) -> tuple[Any, ...]:
    return axis.period, axis.phases, axis.lo, axis.hi, axis.input_axis, axis.output_axis


class Search:
    """Witnesses about one axis of one output, looked for when first asked for."""

    def __init__(self, source: Source, output: int, axis: int) -> None:
        self._source, self._output, self._axis = source, output, axis
        self._place = source.certificate.places[output]
        self._looked: dict[str, Witness | None] = {}

    def __call__(self, kind: str) -> Witness | None:
        if kind not in self._looked:
            self._looked[kind] = self._look(kind)
        return self._looked[kind]

    def __reduce__(self) -> tuple[type[KnownWitnesses], tuple[Any, ...]]:
        """A copy in another process knows the witnesses that are known by now, and does not have the function."""
        return KnownWitnesses, (tuple(filter(None, self._looked.values())),)

    def _look(self, kind: str) -> Witness | None:
        source, cert = self._source, self._source.certificate
        if kind == "minimal" and cert.leaves[self._output].axes[self._axis].period == 1:  # there is no smaller one
            return Witness(kind, self._place, cert.shape, cert.dtype, (), (), 0, (), ())
        needed = requirements(source.smallest.leaves[self._output].axes[self._axis], kind)
        if not needed or source.runner is None:
            return None
        witness = replace(source.blank, kind=kind, output=self._place)
        shown: dict[Requirement, Difference] = {}
        images = min(IMAGES, WORK / max(1.0, source.runner.work))
        for trial in range(TRIALS):
            if trial % TOGETHER == 0 and any(witness.drawn):
                witness, shown = replace(witness, seed=trial // TOGETHER), {}
            images -= 1 + len({(r.shift, r.anew) for r in needed if r not in shown})
            if images < 0:
                break
            for requirement in needed:
                if requirement not in shown:
                    difference = self._compare(witness, trial, requirement)
                    shown |= {} if difference is None else {requirement: difference}
            if len(shown) == len(needed):
                return replace(witness, differences=tuple(shown[requirement] for requirement in needed))
        return None

    def _compare(self, witness: Witness, trial: int, needed: Requirement) -> Difference | None:
        """The largest difference that shows what is needed, on the images of one trial."""
        axes = self._source.smallest.leaves[self._output].axes
        k, still = self._axis, (0,) * len(axes)
        start = tuple(needed.shift if j == k else 0 for j in range(len(axes)))
        anew = None if needed.anew is None else (k, needed.anew)
        images = Drawing(trial, still), Drawing(trial, start, anew)
        outputs = [self._source.results(witness.seed, image, n)[self._place] for n, image in enumerate(images)]
        begin = [[0] * (outputs[0].ndim - 1) for _ in images]
        for result, move in enumerate((needed.move, 0)):
            for j, axis in enumerate(axes):
                first, stop = axis.exact if j != k else (needed.outputs.start + move, needed.outputs.stop + move)
                outputs[result] = np.take(outputs[result], range(first, stop), axis.output_axis + 1)
                begin[result][axis.output_axis] = first
        gaps = apart(*outputs)
        if not gaps.max(initial=0.0):
            return None
        at = np.unravel_index(int(gaps.argmax()), gaps.shape)
        pixels = tuple(tuple(int(i) + b for i, b in zip(at, first, strict=True)) for first in begin)
        values = tuple(result[(0, *at)].item() for result in outputs)
        return Difference(needed.shows, images, pixels, values)  # type: ignore[arg-type]


def with_witnesses(
    certificate: Certificate, fn: Callable[[Any], Any], certify: Callable[[tuple[int, ...]], Certificate]
) -> Certificate:
    """The certificate, able to look for witnesses; `certify` makes certificates of the function at other shapes."""
    source = Source(fn, certificate, certify)
    leaves = [
        replace(leaf, axes=tuple(replace(axis, search=Search(source, n, k)) for k, axis in enumerate(leaf.axes)))
        for n, leaf in enumerate(certificate.leaves)
    ]
    return replace(certificate, leaves=tuple(leaves))
