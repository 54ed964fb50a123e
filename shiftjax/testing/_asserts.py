"""Two assertions for other people's test suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, images, per_axis, room, shown, single_key
from shiftjax._network import network
from shiftjax._typing import PRNGKeyArray
from shiftjax._windows import window
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.testing._comparison import ONE, TAKE, first_difference, on_host, overlap, random_image
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
    functions must agree bit for bit, others up to 128 units in the last place of the largest output; rounding can hide
    a violation, so run networks in int32 where you can (`integer_variables`).

    Args:
        fn: function of one image; its output has the same axes as the image, in the same order.
        x: an image `(batch, *space, channel)`, or a `jax.ShapeDtypeStruct` of its shape.
        period: in input pixels, one integer or one per axis. By default that of the certificate.
        key: draws the image; a fixed one by default.

    Raises:
        AssertionError: the smallest shift that changes the output, and where; or that there is no certificate, where
            `period` is not given.
        ValueError: a `period` that is no multiple of the output's stride, or an output of another rank.
    """
    fn = check_subject(fn, x, key)
    axes = tuple(range(1, len(x.shape) - 1))
    certificate = certificate_of(fn, x)
    if period is not None:
        steps = per_axis("period", period, len(axes))
        moved = [n + p for n, p in zip(x.shape[1:-1], steps, strict=True)]
        room("period", (x.shape[0], *moved, x.shape[-1]), np.dtype(x.dtype).itemsize, copies=4)
    elif isinstance(certificate, Certificate):
        steps = certificate.period
    else:
        raise AssertionError(f"no period is known, for there is no certificate: {certificate}; give `period`")
    violation = broken_shift(fn, x, steps, period_multiples(len(axes)), key=key)
    if violation is not None:
        shift, where = violation
        raise AssertionError(
            f"moving the image by {shift} px does not move the output along: it differs at output {where}"
            f"{exact_windows(certificate)}"
        )


def check_subject(fn: Any, x: Any, key: Any) -> Callable[[Any], Any]:
    """The function; refuses what is none, or no image, no key and not None, and images that no machine holds."""
    fn = network("fn", fn)
    images("x", x)
    room("x", x.shape, np.dtype(x.dtype).itemsize, copies=4)
    if key is not None:
        single_key(key)
    return fn


def certificate_of(fn: Callable[[Any], Any], x: Any) -> Certificate | CertificationError:
    """The certificate, or the refusal.

    Raises:
        ValueError: a function of several outputs.
    """
    try:
        certificate = certify(fn, jax.ShapeDtypeStruct(x.shape, x.dtype))
    except CertificationError as refusal:
        return refusal
    _check_one(certificate)
    return certificate


def _check_one(certificate: Certificate) -> None:
    count = len(certificate.leaves) + len(certificate.left_out)
    if count != 1:
        fail("fn", ONE, f"one that returns {count}", TAKE)


def exact_windows(certificate: Certificate | CertificationError) -> str:
    """A clause about the outputs that padding reaches; empty where there are none."""
    if isinstance(certificate, CertificationError) or all(a.exact == (0, a.out) for a in certificate.axes):
        return ""
    spans = " x ".join(f"[{a.exact[0]}, {a.exact[1]})" for a in certificate.axes)
    return f"; padding reaches the output outside its exact window {spans}"


def period_multiples(ndim: int) -> list[Shift]:
    """One period along some of the axes, fewest first."""
    steps = [m for m in product((0, 1), repeat=ndim) if any(m)]
    # By the number of axes, then from the first axis on: the first violation is the simplest.
    return sorted(steps, key=lambda m: (sum(m), m[::-1]))


def broken_shift(
    fn: Callable[[Any], Any],
    x: Any,
    period: Sequence[int],
    multiples: Sequence[Shift],
    *,
    key: PRNGKeyArray | None = None,
) -> tuple[Shift, tuple[int, ...]] | None:
    """The first shift, `period` times one of `multiples`, that does not move the output along; and where it differs.

    Raises:
        AssertionError: the output is too small to be compared with itself moved.
        ValueError: output axes that do not match the image's.
    """
    run = on_host(fn)
    size = x.shape[1:-1]
    # All images are windows of one larger image, so that they agree wherever they overlap.
    largest = [p * max(m[k] for m in multiples) for k, p in enumerate(period)]
    space = [n + s for n, s in zip(size, largest, strict=True)]
    image = random_image(key, [x.shape[0], *space, x.shape[-1]], x.dtype)
    output = run(window(image, largest, size))
    strides = output_strides(fn, x, output.shape)
    for multiple in multiples:
        shift = tuple(m * p for m, p in zip(multiple, period, strict=True))
        shifted = run(window(image, [r - s for r, s in zip(largest, shift, strict=True)], size))
        steps = [Fraction(s) / stride for s, stride in zip(shift, strides, strict=True)]
        if any(step.denominator != 1 for step in steps):
            fail("period", "a multiple of the output's stride", tuple(period))
        expected, part, begin = overlap(output, shifted, [int(step) for step in steps])
        if part.size == 0:
            raise AssertionError(
                f"the output, {output.shape}, is too small to be moved by {shift} px: enlarge the image"
            )
        where = first_difference(part, expected)
        if where is not None:
            return shift, tuple(i + o for i, o in zip(where, begin, strict=True))
    return None


def output_strides(fn: Callable[[Any], Any], x: Any, shape: Sequence[int]) -> tuple[Fraction, ...]:
    """Input pixels per output pixel, per axis: from the certificate, else 1."""
    if len(shape) != len(x.shape):
        fail("fn", f"an output of rank {len(x.shape)}, (batch, *space, channel)", f"shape {tuple(shape)}")
    certificate = certificate_of(fn, x)
    if isinstance(certificate, Certificate):
        return tuple(axis.stride for axis in certificate.axes)
    return (Fraction(1),) * (len(x.shape) - 2)


def assert_stitches(fn: Callable[[Any], Any], plan: TilePlan, *, key: PRNGKeyArray | None = None) -> None:
    """Asserts that tiles predicted by the plan stitch to the output of the whole image.

    Args:
        fn: the function that was planned for; it must also take the whole padded image.
        plan: from `plan_tiles`.
        key: draws the image; a fixed one by default.

    Raises:
        AssertionError: the plan itself says that stitching differs, or a random image shows it, and where.
        ValueError: no plan, no function or no key.
    """
    if not isinstance(plan, TilePlan):
        fail("plan", "a plan from `plan_tiles`", shown(plan))
    fn = check_subject(fn, jax.ShapeDtypeStruct(plan.image_shape, plan.dtype), key)
    _check_one(plan.certificate)
    if not plan.equals_whole:
        raise AssertionError(f"tiles do not stitch: {plan.why}")
    image = random_image(key, plan.image_shape, np.dtype(plan.certificate.dtype))
    stitched = predict_tiled(fn, image, plan)
    padded = image if plan.pad is None else jnp.pad(image, plan.pad_width, mode=plan.pad)
    whole = on_host(fn)(np.asarray(padded))[plan.whole_crop]
    where = first_difference(stitched, whole)
    if where is not None:
        raise AssertionError(
            f"tiles of {plan.tile_output} px do not stitch: the output differs from that of the whole image at {where}"
        )
