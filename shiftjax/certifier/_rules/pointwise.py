"""Operations that look at one index at a time, and the joining of several images at the same index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, Flat, Tag
from shiftjax.certifier._domain.values import Image, Known, Unknown, Value
from shiftjax.certifier._rules.table import Equation, rule, split_operands

UNARY = (
    "abs acos acosh asin asinh atan atanh bessel_i0e bessel_i1e cbrt ceil clz conj copy cos cosh digamma erf erf_inv "
    "erfc exp exp2 expm1 floor imag is_finite lgamma log log1p logistic neg not population_count real rsqrt sign sin "
    "sinh sqrt square stop_gradient tan tanh"
)
BINARY = (
    "add add_any and atan2 complex div eq eq_to ge gt igamma igamma_grad_a igammac le le_to lt lt_to max min mul mulhi "
    "ne nextafter or polygamma pow rem shift_left shift_right_arithmetic shift_right_logical sub xor zeta"
)
OTHER = "clamp convert_element_type integer_pow name reduce_precision regularized_incomplete_beta round select_n"
PARAMS = (
    "accuracy new_dtype weak_type sharding y name exponent_bits mantissa_bits rounding_method input_dtype out_dtype"
)

SPREAD = "Every output would read that one pixel; use a window around each output instead."
CONSTANT = "Make the constant uniform over the image, or drop it: a tile cannot know its absolute position."
PARAMETER = "What varies over space is a positional embedding or noise; use one value per channel."


@rule(f"{UNARY} {BINARY} {OTHER}", params=PARAMS)
def pointwise(eqn: Equation, *values: Value) -> Image:
    axes, names = together(eqn, values, eqn.shape)
    key = {k: v for k, v in eqn.params.items() if k not in ("sharding", "weak_type", "name")}
    return eqn.image(axes, names, key, life=_life.pointwise(eqn.name, eqn.params, values, eqn.dtype), moves=True)


def together(
    eqn: Equation,
    values: Sequence[Value],
    shape: tuple[int, ...],
    loose: Collection[int] = (),
) -> tuple[list[Tag], list[Image | str]]:
    """The axes of an array of this shape that reads all operands at the same index, and the operands' names.

    Operands may be scalars, may have size 1 where the result has more, and may have any size along the axes `loose`,
    none of which may run along the image.
    """
    images, _ = split_operands(values)
    first = images[0]
    for other in images[1:]:
        if [domain.images([t]) for t in other.axes] != [domain.images([t]) for t in first.axes]:
            eqn.refuse("two arrays meet whose axes run along different image axes", "Transpose one of them first.")
    for image in images:
        if image.void:
            raise image.void.why
        if any(image.axes[k] is not None and (n != image.shape[k] or k in loose) for k, n in enumerate(shape)):
            eqn.refuse("an image axis cut to one pixel is spread over the image again", SPREAD)
    axes = [_joined(eqn, [image.axes[k] for image in images]) for k in range(len(shape))]
    names: list[Image | str] = []
    for value in values:
        if isinstance(value, Image):
            names.append(value)
        elif not value.shape:
            names.append(value.identity())
        else:
            names.append(lay(eqn, axes, value, range(len(shape))))
    if not all(even(axes, value, range(len(shape))) for value in values if not isinstance(value, Image)):
        names = [name.frozen() if isinstance(name, Image) else name for name in names]
    _look_at_centres(eqn, images, concatenated=bool(loose))
    return axes, names


def _joined(eqn: Equation, tags: Sequence[Tag]) -> Tag:
    """One axis out of several at the same place."""
    if all(tag is None for tag in tags):
        return None
    plain = [tag for tag in tags if isinstance(tag, Axis)]
    if len(plain) == len(tags):
        return domain.join(plain)
    flat = [tag for tag in tags if isinstance(tag, Flat)]
    sizes = {tuple(size for size, _ in tag.pieces) for tag in flat}
    if len(flat) != len(tags) or len(sizes) != 1:
        eqn.refuse("an image axis meets a flattened one", "Reshape both the same way before joining them.")
    columns = zip(*(tag.pieces for tag in flat), strict=True)
    return Flat(tuple((column[0][0], _piece(eqn, [axis for _, axis in column])) for column in columns))


def _piece(eqn: Equation, tags: Sequence[Axis | None]) -> Axis | None:
    joined = _joined(eqn, tags)
    assert joined is None or isinstance(joined, Axis)
    return joined


def lay(eqn: Equation, axes: list[Tag], value: Known | Unknown, places: Sequence[int]) -> str:
    """Lays axes `places` of a constant along `axes`: uniform where the image runs, or (by value) periodic, which
    refines the phases of `axes`. Returns the constant's name.
    """
    repeats: dict[int, int] = {}
    for j, k in enumerate(places):
        tag = axes[j]
        if tag is None:
            continue
        if value.uniform(k):
            repeats[k] = 1
        elif isinstance(value, Known) and isinstance(tag, Axis) and (period := recurrence(value, k)):
            repeats[k] = period
            axes[j] = domain.with_phases(tag, period)
            eqn.record.assumptions.append(
                f"`{value.origin or 'a constant'}` of shape {value.shape} at {eqn.source} goes on with period {period} "
                f"along its axis {k} in larger images"
            )
        elif isinstance(value, Known):
            eqn.refuse(f"a constant varies along its axis {k}, which runs along the image", CONSTANT)
        else:
            eqn.refuse(
                f"a parameter, or another unknown value, may vary along its axis {k}, which runs along the image",
                PARAMETER,
            )
    return value.identity(repeats)


def even(axes: Sequence[Tag], value: Known | Unknown, places: Sequence[int]) -> bool:
    """Whether a constant laid along `axes` is uniform there; if not, it does not move along with the image."""
    return not value.shape or all(tag is None or value.uniform(k) for tag, k in zip(axes, places, strict=True))


def recurrence(value: Known, axis: int) -> int | None:
    """The period of a constant along an axis, if it shows at least two full ones."""
    rows = [row.tobytes() for row in np.moveaxis(value.squashed, axis, 0)]
    for period in range(2, len(rows) // 2 + 1):
        if rows[period:] == rows[:-period]:
            return period
    return None


@rule("device_put", params="devices srcs copy_semantics")
@rule("optimization_barrier")
def passed_on(eqn: Equation, *values: Value) -> list[Value]:
    return list(values)


@rule("bitcast_convert_type", params="new_dtype")
def bitcast(eqn: Equation, image: Image) -> Image:
    if eqn.shape != image.shape:
        eqn.refuse("it reads numbers as numbers of another width", "Convert the values instead.")
    return eqn.image(image.axes, [image], eqn.params)


def _look_at_centres(eqn: Equation, images: Sequence[Image], *, concatenated: bool) -> None:
    """Notes branches whose fields are not centred on each other by more than half a step of the joined arrays.

    Shifted slices of one array are no skips, nor are sums of arrays unless one's field lies inside the other's.
    """
    for k, tag in enumerate(images[0].axes):
        if not isinstance(tag, Axis):
            continue
        for other in images[1:]:
            there = other.axes[k]
            if not isinstance(there, Axis) or there == tag or other.map == images[0].map:
                continue
            a, b = domain.centre(tag), domain.centre(there)
            if a is None or b is None or abs(a - b) <= tag.stride / 2:
                continue
            if concatenated or _inside(tag, there) or _inside(there, tag):
                eqn.record.misaligned.append((eqn, tag.image, b - a))


def _inside(inner: Axis, outer: Axis) -> bool:
    whole: Any = domain.join([inner, outer])
    return (whole.lo, whole.hi) == outer.fields(whole.phases)
