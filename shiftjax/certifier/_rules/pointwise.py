"""Operations that look at one index at a time, and the joining of several operands at the same index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.bordered import Form
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.rounding import is_float
from shiftjax.certifier._domain.tags import AxisTag, Flattened, following, image_axes, mapped
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._rules.lifting import beside, lift, shows_all
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

POINTWISE = frozenset(f"{UNARY} {BINARY} {OTHER}".split())
WRITTEN_OUT = 1 << 20  # elements up to which a constant is computed to see whether it is zero
TAKEN_APART = 1 << 24  # elements up to which a constant along flattened image axes is looked at along each of them
PASSED_ON = frozenset({"device_put", "sharding_constraint", "pvary", "optimization_barrier"})

SPREAD = (
    "Every output would read that one pixel: if it is pooled from all of the image, as squeeze-and-excite is, "
    "measure it once by `shiftjax.freeze_statistics(fn, image)`; else use a window around each output."
)
CONSTANT = "Make the constant uniform over the image, or drop it: a tile cannot know its absolute position."
PARAMETER = "What varies over space is a positional embedding or noise; use one value per channel."


@rule(
    f"{UNARY} {BINARY} {OTHER}",
    named="accuracy new_dtype y exponent_bits mantissa_bits rounding_method input_dtype out_dtype",
    inert="sharding weak_type name",
)
def pointwise(eqn: Equation, *values: Value) -> Value:
    """out[i] = f(a[i], b[i], ...): reads what its operands read at the same index.

    A finite number times zero is zero, of either sign, and a number other than zero does not change when zero is added.
    What is padded or computed, as a logarithm, may be infinite where the image is finite, and so may a parameter be.
    """
    if eqn.name == "add" and (constant := _beside_zero(eqn, values)):
        return constant
    axes, operands = join_operands(eqn, values, eqn.shape)
    result = eqn.image(axes, operands, moves=True)
    zero = eqn.name == "mul" and any(map(_is_zero, values))
    zero = zero and (not is_float(eqn.dtype) or (result.exact_throughout and all(map(_is_finite, values))))
    return replace(result, zero=zero, finite=zero)


def _is_zero(value: Value) -> bool:
    return value.zero if isinstance(value, Image) else _is_read(value) and not value.compact.any()


def _is_finite(value: Value) -> bool:
    return value.finite if isinstance(value, Image) else _is_read(value) and bool(np.isfinite(value.compact).all())


def _is_read(value: Known | Unknown) -> TypeGuard[Known]:
    """Whether the elements of a constant are known to the bit, and not too many to be computed for this."""
    if not isinstance(value, Known):
        return False
    if value.made and value.made[0].name != "broadcast_in_dim" and prod(value.shape) > WRITTEN_OUT:
        return False
    return value.exact


def _beside_zero(eqn: Equation, values: Sequence[Value]) -> Known | None:
    """The constant that is the result, where everything else that is added is zero and it has no zeros itself."""
    zeros = [v for v in values if isinstance(v, Image) and v.zero]
    others = [v for v in values if isinstance(v, Known)]
    if len(zeros) != 1 or len(others) != 1 or not others[0].exact or not (others[0].compact != 0).all():
        return None
    eqn.record.assumptions.append(f"the image is finite where it is multiplied by zero, before {eqn.source}")
    return Known.of(np.broadcast_to(others[0].value, eqn.shape), others[0].origin)


def join_operands(
    eqn: Equation, values: Sequence[Value], shape: tuple[int, ...], free_axes: Collection[int] = ()
) -> tuple[list[AxisTag], list[Image | str]]:
    """Joins operands that are read at the same index.

    Args:
        eqn: the equation.
        values: the operands. They may be scalars, may have size 1 where the result has more, and may have any size
            along `free_axes`.
        shape: of the result.
        free_axes: axes of the result along which the sizes of operands may differ; none may run along the image.

    Returns:
        What the axes of the result run along, and the operands as `eqn.image` takes them.
    """
    images, _ = split_operands(values)
    first = images[0]
    for other in images[1:]:
        if [image_axes([t]) for t in other.axes] != [image_axes([t]) for t in first.axes]:
            eqn.refuse("two arrays meet whose axes run along different image axes", "Transpose one of them first.")
    for image in images:
        if image.broken:
            raise image.broken.why
        if any(image.axes[k] is not None and (n != image.shape[k] or k in free_axes) for k, n in enumerate(shape)):
            eqn.refuse("an image axis cut to one pixel is spread over the image again", SPREAD)
    axes = [_join_axis(eqn, [image.axes[k] for image in images]) for k in range(len(shape))]
    everywhere = range(len(shape))
    aligned = [v if isinstance(v, Image) else align_constant(eqn, axes, v, everywhere) for v in values]
    operands: list[Image | str] = [v if isinstance(v, Image) else v.name for v in aligned]
    # A constant that varies along the image stays where it is when the image moves: offsets then matter.
    if not all(v.uniform for v in aligned if not isinstance(v, Image)):
        operands = [o.with_fixed_offset() if isinstance(o, Image) else o for o in operands]
        axes = [mapped(tag, Axis.settled) for tag in axes]
    _note_misalignment(eqn, images, concatenated=bool(free_axes))
    return axes, operands


def _join_axis(eqn: Equation, tags: Sequence[AxisTag]) -> AxisTag:
    """One axis of the result, from the same axis of all images."""
    if all(tag is None for tag in tags):
        return None
    plain = [tag for tag in tags if isinstance(tag, Axis)]
    if len(plain) == len(tags):
        return domain.join(plain)
    flattened = [tag for tag in tags if isinstance(tag, Flattened)]
    sizes = {tuple(size for size, _ in tag.parts) for tag in flattened}
    if len(flattened) != len(tags) or len(sizes) != 1:
        eqn.refuse("an image axis meets a flattened one", "Reshape both the same way before joining them.")
    columns = zip(*(tag.parts for tag in flattened), strict=True)
    return Flattened(tuple((column[0][0], _join_part(eqn, [axis for _, axis in column])) for column in columns))


def _join_part(eqn: Equation, axes: Sequence[Axis | None]) -> Axis | None:
    joined = _join_axis(eqn, axes)
    assert joined is None or isinstance(joined, Axis)
    return joined


class Aligned(NamedTuple):
    """The name of a constant beside an image, and whether it is the same all along the image but for its ends."""

    name: str
    uniform: bool


def align_constant(eqn: Equation, axes: list[AxisTag], value: Known | Unknown, own_axes: Sequence[int]) -> Aligned:
    """Checks that a constant can be read at the same index as an image.

    Sound, because a tile meets the same constant wherever it lies: along the image the constant is uniform, or repeats
    with a period that its values show at least twice; `axes` then get as many phases. Where only its ends differ, as in
    a mask of the border, the windows leave the ends out, and the names of the image's ends contain them.

    Args:
        eqn: the equation.
        axes: of the image; changed in place where the constant is periodic, or differs at its ends.
        value: the constant.
        own_axes: for each of `axes`, the constant's axis that lies along it.
    """
    if not value.shape:
        return Aligned(value.key(), True)
    pairs = list(zip(axes, own_axes, strict=True))
    along = {k: tag for tag, k in pairs if isinstance(tag, Axis) and value.shape[k] == tag.size}
    flattened = {k: following([tag])[0] for tag, k in pairs if isinstance(tag, Flattened) and value.shape[k] > 1}
    lifted = None if shows_all(value, along) else lift(eqn, value, {**along, **flattened}, POINTWISE)
    if lifted is None or not all(map(_is_uniform, (lifted.axes[k] for k in flattened))):
        return _by_value(eqn, axes, value, own_axes)
    for j, k in enumerate(own_axes):
        tag, constant = axes[j], lifted.axes[k]
        if isinstance(tag, Axis) and isinstance(constant, Axis):
            axes[j] = beside(tag, constant)
    uniform = all(tag.phases == 1 for tag in lifted.axes if isinstance(tag, Axis))
    return Aligned(lifted.map if uniform else lifted.name, uniform)


def _is_uniform(constant: AxisTag) -> bool:
    """Whether a lifted constant is the same all along an axis."""
    return isinstance(constant, Axis) and constant.phases == 1 and constant.exact == (0, constant.size)


def _by_value(eqn: Equation, axes: list[AxisTag], value: Known | Unknown, own_axes: Sequence[int]) -> Aligned:
    """The same, as far as the values show."""
    varies = any(isinstance(tag, Flattened) and not value.uniform(k) for tag, k in zip(axes, own_axes, strict=True))
    if varies and isinstance(value, Known) and prod(value.shape) <= TAKEN_APART and value.exact:
        return _unflattened(eqn, axes, value, own_axes)
    repeats: dict[int, int | tuple[int, int]] = {}
    forms: dict[int, Form] = {}
    for j, k in enumerate(own_axes):
        tag = axes[j]
        if tag is None:
            continue
        if value.uniform(k):
            repeats[k] = 1
        elif isinstance(value, Known) and isinstance(tag, Axis) and (form := value.form(k)):
            forms[k], repeats[k] = form, form.middle
            axes[j] = domain.with_phases(tag, form.period)
            ends = f", but for {form.left} elements at its beginning and {form.right} at its end,"
            eqn.record.assumptions.append(
                f"`{value.origin or 'a constant'}` of shape {value.shape} at {eqn.source} continues with period "
                f"{form.period} along its axis {k}{ends if form.left + form.right else ''} in larger images"
            )
        elif isinstance(value, Unknown) and isinstance(tag, Axis) and (period := value.period(k)):
            repeats[k] = period
            axes[j] = domain.with_phases(tag, period)
            eqn.record.assumptions.append(
                f"the parameter that is repeated before {eqn.source} is so with period {period} in larger images"
            )
        elif isinstance(value, Known):
            rounded = "" if value.exact else ", as far as its rounded values tell"
            eqn.refuse(f"a constant varies along its axis {k}, which runs along the image{rounded}", CONSTANT)
        else:
            reason = f"a parameter, or another unknown value, may vary along its axis {k}, which runs along the image"
            eqn.refuse(reason, PARAMETER)
    if forms:
        assert isinstance(value, Known)
        _leave_out_ends(axes, value, own_axes, forms)
    return Aligned(value.key(repeats), all(n == 1 for n in repeats.values()))


def _unflattened(eqn: Equation, axes: list[AxisTag], value: Known, own_axes: Sequence[int]) -> Aligned:
    """The same where image axes are flattened into one, as rows and columns of windows are: along each of them."""
    parts = {k: tag.parts for tag, k in zip(axes, own_axes, strict=True) if isinstance(tag, Flattened)}
    sizes = [[n for n, _ in parts[k]] if k in parts else [n] for k, n in enumerate(value.shape)]
    first = [0, *accumulate(map(len, sizes))]  # which of the finer axes each axis begins with
    fine: list[AxisTag] = []
    for tag in axes:
        fine += [axis for _, axis in tag.parts] if isinstance(tag, Flattened) else [tag]
    own = [j for k in own_axes for j in range(first[k], first[k + 1])]
    finer = Known.of(value.value.reshape([n for each in sizes for n in each]), value.origin)
    found = _by_value(eqn, fine, finer, own)
    rest = iter(fine)
    for j, tag in enumerate(axes):
        if isinstance(tag, Flattened):
            flattened = [(n, next(rest)) for n, _ in tag.parts]
            axes[j] = Flattened(tuple((n, axis) for n, axis in flattened if axis is None or isinstance(axis, Axis)))
        else:
            axes[j] = next(rest)
    layout = [tuple(None if axis is not None else n for n, axis in parts[k]) if k in parts else () for k in own_axes]
    return Aligned(digest("unflattened", layout, found.name), found.uniform)


def _leave_out_ends(axes: list[AxisTag], value: Known, own_axes: Sequence[int], forms: dict[int, Form]) -> None:
    """Narrows the windows to where a constant repeats, and puts its ends into the names of the image's ends."""
    spatial = {k: forms.get(k, Form(0, 1, 0, value.shape[k])) for j, k in enumerate(own_axes) if axes[j] is not None}
    name = value.ends(spatial)
    for j, k in enumerate(own_axes):
        tag = axes[j]
        if k in spatial and isinstance(tag, Axis):
            axes[j] = domain.narrowed(tag, spatial[k].left, spatial[k].right, name)


@rule("device_put", inert="devices srcs copy_semantics")
@rule("sharding_constraint", inert="sharding layout context_mesh unconstrained_dims")
@rule("pvary", inert="axes")
@rule("optimization_barrier")
def passed_on(eqn: Equation, *values: Value) -> list[Value]:
    """out = in."""
    return list(values)


@rule("bitcast_convert_type", named="new_dtype")
def bitcast(eqn: Equation, image: Image) -> Image:
    """out[i] = the bits of a[i], read as another type of the same width."""
    if eqn.shape != image.shape:
        eqn.refuse("it reads numbers as numbers of another width", "Convert the values instead.")
    return eqn.image(image.axes, [image])


def _note_misalignment(eqn: Equation, images: Sequence[Image], *, concatenated: bool) -> None:
    """Records branches whose fields are not centred on each other by more than half a step of the joined arrays.

    Shifted slices of one array do not count as branches. Terms of a sum do only if the field of one lies inside that of
    the other, as with a skip connection.
    """
    for k, tag in enumerate(images[0].axes):
        if not isinstance(tag, Axis):
            continue
        for other in images[1:]:
            joined = other.axes[k]
            if not isinstance(joined, Axis) or joined == tag or other.map == images[0].map:
                continue
            a, b = domain.centre(tag), domain.centre(joined)
            if a is None or b is None or abs(a - b) <= abs(tag.stride) / 2:
                continue
            if concatenated or _lies_inside(tag, joined) or _lies_inside(joined, tag):
                eqn.record.misaligned.append((eqn, tag.image, b - a))


def _lies_inside(inner: Axis, outer: Axis) -> bool:
    hull: Any = domain.join([inner, outer])
    own = domain.with_phases(outer, hull.phases)
    return (hull.lo, hull.hi) == (own.lo, own.hi)
