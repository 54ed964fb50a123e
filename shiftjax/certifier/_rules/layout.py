"""Operations that move axes or put arrays together: broadcast, transpose, concatenate, reverse, split, stack, tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.assembly import Part, assemble, beside, part
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.tags import AxisTag, Broken, image_axes
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules.pointwise import SPREAD, join_operands
from shiftjax.certifier._rules.table import Equation, rule, split_operands

RESHAPE = "Reshape them back to one axis each first."
MIRROR = "Mirror one axis of the image at a time, before it is flattened."


def broken(eqn: Equation, tag: AxisTag, reason: str, advice: str) -> Broken:
    """An axis that may only become a border; any other use of it raises this refusal."""
    image, *others = image_axes([tag])
    if others:
        eqn.refuse(reason, advice)
    try:
        eqn.refuse(reason, advice)
    except CertificationError as why:
        pixel = tag if isinstance(tag, Axis) and tag.size == 1 else tag.pixel if isinstance(tag, Broken) else None
        return Broken(image, why, pixel)


@rule("broadcast_in_dim", named="broadcast_dimensions", inert="shape sharding", moves_axes_only=True)
def broadcast(eqn: Equation, image: Image, *sizes: Value) -> Image:
    """out[.., i, ..] = a[i]: new axes are channels, whose sizes enter every name anyway."""
    axes: list[AxisTag] = [None] * len(eqn.shape)
    for k, (target, tag) in enumerate(zip(eqn.params["broadcast_dimensions"], image.axes, strict=True)):
        grows = image.shape[k] != eqn.shape[target]
        if grows and tag is not None:
            tag = broken(eqn, tag, "an image axis cut to one pixel is spread over the image again", SPREAD)
        axes[target] = tag
    return eqn.image(axes, [image], moves=True)


@rule("transpose", named="permutation", moves_axes_only=True)
def transpose(eqn: Equation, image: Image) -> Image:
    """out[i, j] = a[j, i]: what an axis reads goes where the axis goes."""
    order = eqn.params["permutation"]
    turned = eqn.image([image.axes[k] for k in order], [image], moves=True)
    if image.resized is None:
        return turned
    resized = replace(image.resized, layout=tuple(image.resized.layout[k] for k in order))
    return replace(turned, offset=image.offset).as_resized(resized)


@rule("squeeze", named="dimensions", moves_axes_only=True)
def squeeze(eqn: Equation, image: Image) -> Image:
    """out[i] = a[i, 0]: an image axis of one pixel is detached, until slices are put together again."""
    rest = image
    for k in sorted((d % len(image.shape) for d in eqn.params["dimensions"]), reverse=True):
        tag = image.axes[k]
        if isinstance(tag, Broken):
            raise tag.why
        if tag is not None and not isinstance(tag, Axis):
            eqn.refuse("flattened image axes of one pixel are dropped", RESHAPE)
        rest = rest.without(k) if tag is None else rest.detach(k)
    return eqn.image(rest.axes, [rest], moves=True)


@rule("concatenate", named="dimension", moves_axes_only=True)
def concatenate(eqn: Equation, *values: Value) -> Image:
    """Along channels, out[i, c] is a[i, c] or b[i, c - n]: pointwise. Along the image, see below."""
    along = eqn.params["dimension"]
    values = tuple(v for v in values if v.shape[along])
    images, _ = split_operands(values)
    if any(image.axes[along] is not None for image in images):
        return _concatenate_along_image(eqn, values, along)
    if slices := _slices(eqn, [None if v.shape[along] != 1 else v.without(along) for v in images], along):
        return _concatenate_along_image(eqn, slices, along)
    axes, operands = join_operands(eqn, values, eqn.shape, free_axes=[along])
    return eqn.image(axes, operands, moves=True)


def _slices(eqn: Equation, images: Sequence[Image | None], along: int) -> list[Image]:
    """Slices of the image, each with the axis along which it was cut; none if these are no slices, or become channels.

    Either reading is sound. Which was meant shows in where they are put: channels come last.
    """
    attached = [image and image.attach(along) for image in images]
    slices = [image for image in attached if image is not None]
    is_channel = along == len(eqn.shape) - 1
    return slices if len(slices) == len(attached) == eqn.shape[along] and not is_channel else []


def _concatenate_along_image(eqn: Equation, values: Sequence[Value], along: int) -> Image:
    """The longest part of the image stays, with the parts that continue it; anything else beside them is a border.

    Sound, because only the indices that the parts fill are taken for exact, and parts of one map that continue each
    other hold at every index what the map holds there.
    """
    lefts = list(accumulate((v.shape[along] for v in values[:-1]), initial=0))
    placed = [_placed(eqn, v, along, left) for v, left in zip(values, lefts, strict=True)]
    parts = [one for one in placed if one is not None]
    if not parts:
        if why := next((v.broken.why for v in values if isinstance(v, Image) and v.broken), None):
            raise why
        eqn.refuse("flattened image axes are put end to end", RESHAPE)
    longest = max(parts, key=lambda one: one.written[1] - one.written[0])
    assert longest.image is not None
    for other in values:
        if isinstance(other, Image) and _directions(other) != _directions(longest.image):
            eqn.refuse("two arrays meet whose axes run along different image axes", "Transpose one of them first.")
    return assemble(
        [
            one if one is not None and one.continues(longest) else beside(v, longest, left)
            for one, v, left in zip(placed, values, lefts, strict=True)
        ]
    )


def _placed(eqn: Equation, value: Value, along: int, left: int) -> Part | None:
    """An image as part of the result, if it follows the image."""
    if not isinstance(value, Image) or value.broken or not isinstance(value.axes[along], Axis):
        return None
    return part(value, eqn.shape, along, left)


def _directions(image: Image) -> tuple[list[int], object]:
    """Which way the axes of an array run along the image."""
    return image_axes(image.axes), image.slice_of


@rule("rev", named="dimensions", moves_axes_only=True)
def reverse(eqn: Equation, image: Image) -> Image:
    """out[i] = a[n - 1 - i]: of an infinite image the map b[i] = a[-i], read from where the array ends."""
    axes = list(image.axes)
    by: dict[int, Fraction] = {}
    for k in eqn.params["dimensions"]:
        tag = axes[k]
        if isinstance(tag, Axis):
            axes[k] = domain.mirrored(tag, image.shape[k])
            by[tag.image] = (image.shape[k] - 1) * tag.stride
        elif tag is not None:
            axes[k] = broken(eqn, tag, "flattened image axes are mirrored", MIRROR)
    mirrored = eqn.image(axes, [image], moves=True)
    return mirrored.shifted(image.shape, mirrored.axes, by)


@rule("split", named="axis", per_axis="sizes")
def split(eqn: Equation, image: Image) -> list[Image]:
    """out_k[i] = a[start_k + i]: slices that follow each other."""
    along, sizes = eqn.params["axis"], eqn.params["sizes"]
    tag = image.axes[along]
    if tag is not None and not isinstance(tag, Axis):
        eqn.refuse("flattened image axes are split", RESHAPE)
    results = []
    for k, start in enumerate(accumulate(sizes[:-1], initial=0)):
        if tag is None:
            results.append(eqn.image(image.axes, [image], start, out=k, moves=True))
        else:
            axes = list(image.axes)
            axes[along] = domain.window(tag, sizes[k], left=-start)
            results.append(image.shifted(eqn.call.out_shapes[k], axes, {tag.image: start * tag.stride}))
    return results


@rule("stack", named="axis")
def stack(eqn: Equation, *values: Value) -> Image:
    """out[i, k] = a_k[i]: pointwise, with a new axis of channels; slices of the image are put together again."""
    along = eqn.params["axis"] % len(eqn.shape)
    images, constants = split_operands(values)
    if not constants and (slices := _slices(eqn, images, along)):
        return _concatenate_along_image(eqn, slices, along)
    axes, operands = join_operands(eqn, values, tuple(n for k, n in enumerate(eqn.shape) if k != along))
    axes.insert(along, None)
    return eqn.image(axes, operands, moves=True)


@rule("unstack", named="axis")
def unstack(eqn: Equation, image: Image) -> list[Image]:
    """out_k[i] = a[i, k]."""
    along = eqn.params["axis"] % len(image.shape)
    if image.axes[along] is not None:
        eqn.refuse("an image axis is unstacked", "Keep the image axis.")
    axes = [tag for k, tag in enumerate(image.axes) if k != along]
    return [eqn.image(axes, [image], out=k, moves=True) for k in range(len(eqn.call.out_shapes))]


@rule("tile", named="reps")
def tile(eqn: Equation, image: Image) -> Image:
    """out[i, c] = a[i, c mod n]: channels may be repeated."""
    if any(tag is not None and n != 1 for tag, n in zip(image.axes, eqn.params["reps"], strict=True)):
        eqn.refuse("the image is repeated side by side", "Repeat along channels only.")
    return eqn.image(image.axes, [image], moves=True)
