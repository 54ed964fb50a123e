"""Two assertions for other people's test suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, per_axis
from shiftjax._typing import PRNGKeyArray
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.testing import _comparison as evidence
from shiftjax.tiling import TilePlan, predict_tiled

Shift = tuple[int, ...]


def assert_periodic_equivariant(
    fn: Callable[[Any], Any],
    x: Any,
    *,
    period: int | Sequence[int] | None = None,
    key: PRNGKeyArray | None = None,
) -> None:
    """Asserts that moving the image by whole periods moves the whole output along.

    Random images are moved by one period along every axis and combination of axes, from the smallest shift on. Integer
    functions must agree bit for bit, others up to rounding (`_comparison` states the threshold), so run
    them in int32 if they can (`integer_variables`): rounding hides what a certificate proves.

    Args:
        fn: function of one image; its output has the image's axes in the same places.
        x: an image, or a `jax.ShapeDtypeStruct` of its shape: `(batch, *space, channel)`.
        period: in input pixels, one integer or one per axis. By default that of the certificate.
        key: draws the image; a fixed one by default.

    Raises:
        AssertionError: the smallest shift that changes the output and where; or no certificate, where `period` is
            needed.
    """
    axes = tuple(range(1, len(x.shape) - 1))
    certificate = certificate_of(fn, x)
    if period is not None:
        steps = per_axis("period", period, len(axes))
    elif isinstance(certificate, Certificate):
        steps = certificate.period
    else:
        raise AssertionError(f"no period is known, for there is no certificate: {certificate}")
    found = broken_shift(fn, x, steps, period_multiples(len(axes)), key=key)
    if found is not None:
        shift, where = found
        window = exact_windows(certificate)
        raise AssertionError(
            f"moving the image by {shift} px does not move the output along: it differs at output {where}{window}"
        )


def certificate_of(fn: Callable[[Any], Any], x: Any) -> Certificate | CertificationError:
    """The certificate, or the refusal."""
    try:
        return certify(fn, jax.ShapeDtypeStruct(x.shape, x.dtype))
    except CertificationError as refusal:
        return refusal


def exact_windows(certificate: Certificate | CertificationError) -> str:
    """What to add about outputs that padding reaches."""
    if isinstance(certificate, CertificationError) or all(a.exact == (0, a.out) for a in certificate.axes):
        return ""
    spans = " x ".join(f"[{a.exact[0]}, {a.exact[1]})" for a in certificate.axes)
    return f"; padding reaches the output outside its exact window {spans}"


def period_multiples(ndim: int) -> list[Shift]:
    """One period along some of the axes, fewest first."""
    steps = [m for m in product((0, 1), repeat=ndim) if any(m)]
    return sorted(steps, key=lambda m: (sum(m), m[::-1]))


def broken_shift(
    fn: Callable[[Any], Any],
    x: Any,
    period: Sequence[int],
    multiples: Sequence[Shift],
    *,
    key: PRNGKeyArray | None = None,
) -> tuple[Shift, tuple[int, ...]] | None:
    """The first shift, `period` times one of the `multiples`, that does not move the output along; and where.

    Raises:
        AssertionError: the output is too small to be compared with itself moved.
        ValueError: output axes that do not match the image's.
    """
    axes = tuple(range(1, len(x.shape) - 1))
    run = evidence.runner(fn)
    size = x.shape[1:-1]
    reach = [p * max(m[k] for m in multiples) for k, p in enumerate(period)]
    grown = [x.shape[0], *(n + r for n, r in zip(size, reach, strict=True)), x.shape[-1]]
    big = evidence.random_image(key, grown, x.dtype)
    here = run(evidence.moved(big, reach, size, axes))
    strides = output_strides(fn, x, here.shape)
    for multiple in multiples:
        shift = tuple(m * p for m, p in zip(multiple, period, strict=True))
        there = run(evidence.moved(big, [r - s for r, s in zip(reach, shift, strict=True)], size, axes))
        steps = [Fraction(s) / a for s, a in zip(shift, strides, strict=True)]
        if any(step.denominator != 1 for step in steps):
            fail("period", "a multiple of the output's stride", tuple(period))
        a, b, begin = evidence.overlap(here, there, [int(step) for step in steps], axes)
        if a.size == 0:
            raise AssertionError(f"the output, {here.shape}, is too small to be moved by {shift} px: enlarge the image")
        bad = evidence.differing(b, a)
        if bad is not None:
            return shift, tuple(i + o for i, o in zip(bad, begin, strict=True))
    return None


def output_strides(fn: Callable[[Any], Any], x: Any, shape: Sequence[int]) -> tuple[Fraction, ...]:
    """Input pixels per output pixel: from the certificate, else 1."""
    if len(shape) != len(x.shape):
        fail("fn", f"an output of rank {len(x.shape)}, (batch, *space, channel)", f"shape {tuple(shape)}")
    certificate = certificate_of(fn, x)
    if isinstance(certificate, Certificate):
        return tuple(axis.stride for axis in certificate.axes)
    return (Fraction(1),) * (len(x.shape) - 2)


def assert_stitches(fn: Callable[[Any], Any], plan: TilePlan, *, key: PRNGKeyArray | None = None) -> None:
    """Asserts that tiles predicted by the plan stitch to the output of the whole image.

    Args:
        fn: the function that was planned for; it must take the padded image in one piece.
        plan: from `plan_tiles`.
        key: draws the image; a fixed one by default.

    Raises:
        AssertionError: the plan itself says that stitching differs, or a random image shows it, and where.
    """
    assert plan.equals_whole, f"tiles do not stitch: {plan.why}"
    image = evidence.random_image(key, plan.image_shape, np.dtype(plan.certificate.dtype))
    stitched = predict_tiled(fn, image, plan)
    whole = evidence.runner(fn)(np.asarray(jnp.pad(image, plan.pad_width, mode=plan.pad)))[plan.whole_crop]
    bad = evidence.differing(stitched, whole)
    if bad is not None:
        raise AssertionError(
            f"tiles do not stitch: the output differs from that of the whole image at {bad}, "
            f"where tiles of {plan.tile_output} px meet the image's origin {plan.origin}"
        )
