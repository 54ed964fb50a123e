"""Whether a witness shows what it claims to show, seen without the library's own arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from shiftjax._parameters import put_together, take_apart
from shiftjax.certifier import AxisCertificate, Certificate, Witness, certify
from shiftjax.certifier._witnesses.witness import Difference

ROUNDING = 1e-4  # of the larger value: float32 after some dozen operations


def objections(fn: Callable[[Any], Any], cert: Certificate) -> list[str]:
    """What is wrong with the witnesses of one output: with what they should show, and with what the function does."""
    found = []
    for k, axis in enumerate(cert.axes):
        for kind in ("minimal", "attained"):
            if getattr(axis, kind):
                found += [f"axis {k}, {kind}: {text}" for text in _objections(fn, cert, k, axis.witness(kind))]
    return found


def _objections(fn: Callable[[Any], Any], cert: Certificate, k: int, witness: Witness) -> list[str]:
    axis = cert.axes[k]
    if axis.period == 1 and witness.kind == "minimal":
        return []
    small = certify(
        fn,
        jax.ShapeDtypeStruct(witness.shape, witness.dtype),
        spatial_axes=[a.input_axis for a in cert.axes],
    )
    small = small.outputs[small.places.index(witness.output)]
    found = (
        []
        if [(a.period, a.phases, a.lo, a.hi) for a in small.axes]
        == [(a.period, a.phases, a.lo, a.hi) for a in cert.axes]
        else ["the witness is about another map"]
    )
    check = _missing_shifts if witness.kind == "minimal" else _missing_ends
    found += check(small.axes[k], witness)
    run = _plain(fn, witness)
    return found + [text for difference in witness.differences for text in _wrong(run, small, difference, witness)]


def _plain(fn: Callable[[Any], Any], witness: Witness) -> Callable[[np.ndarray], np.ndarray]:
    """The function with the witness's parameters, as users run it."""
    parts = take_apart(fn)
    arrays = [own if drawn is None else drawn for own, drawn in zip(parts.arrays, witness.parameters, strict=True)]
    run = jax.jit(put_together(arrays, parts.leaves, parts.tree)) if arrays else jax.jit(fn)
    return lambda image: np.asarray(jax.tree_util.tree_leaves(run(image))[witness.output])


def _wrong(run: Any, cert: Certificate, difference: Difference, witness: Witness) -> list[str]:
    """The values differ, at exact pixels."""
    found = [
        f"{pixel} is not exact"
        for pixel in difference.pixels
        for axis in cert.axes
        if not axis.exact[0] <= pixel[axis.output_axis] < axis.exact[1]
    ]
    one, two = (run(witness.image(d))[pixel] for d, pixel in zip(difference.images, difference.pixels, strict=True))
    largest = max(abs(v) for v in difference.values)
    if jax.numpy.issubdtype(one.dtype, np.floating):  # half floats of both kinds among them
        rounding = max(ROUNDING, 8 * float(jax.numpy.finfo(one.dtype).eps))
        for value, told in zip((one, two), difference.values, strict=True):
            if abs(float(value) - told) > rounding * largest:
                found.append(f"{difference.shows}: the value is {value}, not {told}")
    elif one == two:
        found.append(f"{difference.shows}: both values are {one}")
    if difference.values[0] == difference.values[1]:
        found.append(f"{difference.shows}: both values are said to be {one}")
    return found


def _along(images: list[np.ndarray], axis: int) -> list[int]:
    """The pixels along an axis at which two images differ."""
    differs = np.moveaxis(images[0] != images[1], axis, 0)
    return np.flatnonzero(differs.reshape(len(differs), -1).any(1)).tolist()


def _missing_shifts(axis: AxisCertificate, witness: Witness) -> list[str]:
    """Every smaller period that could be one by its numbers is refuted, and something is read."""
    refuted, reads = set(), False
    for difference in witness.differences:
        one, two = (witness.image(d) for d in difference.images)
        a, b = (pixel[axis.output_axis] for pixel in difference.pixels)
        same_place = [tuple(np.delete(pixel, axis.output_axis)) for pixel in difference.pixels]
        if same_place[0] != same_place[1]:
            return [f"{difference.pixels} differ along other axes"]
        reads |= a == b
        for shift in range(1, axis.period):
            ahead = one.take(range(shift, axis_size := one.shape[axis.input_axis]), axis.input_axis)
            back = two.take(range(axis_size - shift), axis.input_axis)
            if np.array_equal(ahead, back) and a - b == Fraction(shift * axis.phases, axis.period):
                refuted.add(shift)
    # The shifts that move the output by whole pixels; those that are not refuted must not divide the period.
    whole = [s for s in range(1, axis.period) if axis.period % s == 0 and s * axis.phases % axis.period == 0]
    left = [s for s in whole if not any(r % s == 0 for r in refuted)]
    return [f"periods {left} are not excluded"] * bool(left) + ["nothing is read"] * (not reads)


def _missing_ends(axis: AxisCertificate, witness: Witness) -> list[str]:
    ends = set()
    for difference in witness.differences:
        pixels = _along([witness.image(d) for d in difference.images], axis.input_axis)
        if difference.pixels[0] != difference.pixels[1] or len(pixels) != 1:
            return [f"the images differ at {pixels}, the outputs lie at {difference.pixels}"]
        turns, phase = divmod(difference.pixels[0][axis.output_axis], axis.phases)
        ends.add((phase, pixels[0] - axis.period * turns))
    wanted = {(r, bound[r]) for r in range(axis.phases) for bound in (axis.lo, axis.hi)}
    return [f"ends {wanted - ends} are not shown"] * bool(wanted - ends)
