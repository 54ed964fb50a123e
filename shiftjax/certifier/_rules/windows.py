"""Convolution, pooling, padding, slicing: the operations of the window rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.assembly import Part, part
from shiftjax.certifier._domain.axis import Axis, End
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import AxisTag, Broken
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._rules.pointwise import join_operands
from shiftjax.certifier._rules.table import Equation, rule


def window_along(eqn: Equation, tag: AxisTag, out: int, **window: int) -> AxisTag:
    """The window rule on one axis; channels have nothing to follow."""
    if tag is None:
        return None
    if not isinstance(tag, Axis):
        eqn.refuse("a window slides over flattened image axes", "Reshape them back to one axis each first.")
    return domain.window(tag, out, **window)


@rule(
    "conv_general_dilated",
    named="dimension_numbers feature_group_count batch_group_count precision preferred_element_type",
    per_axis="window_strides padding lhs_dilation rhs_dilation",
    inert="out_sharding",
)
def convolution(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    """out[j] = sum_k w[k] a[(j s - b + k r) / t]: a window with weights that are the same for every j."""
    p = eqn.params
    if isinstance(rhs, Image) or not isinstance(lhs, Image):
        eqn.refuse("the kernel of a convolution depends on the image", "Use a kernel made of parameters only.")
    lhs_spec, rhs_spec, out_spec = p["dimension_numbers"]
    batch, feature, *space = lhs_spec
    if lhs.axes[feature] is not None:
        eqn.refuse("a convolution takes an image axis for its channels", "Check the dimension numbers.")
    if lhs.axes[batch] is not None and p["batch_group_count"] != 1:
        eqn.refuse("a convolution groups an image axis as its batch", "Use batch_group_count=1.")
    axes: list[AxisTag] = [None] * len(eqn.shape)
    axes[out_spec[0]] = lhs.axes[batch]
    key = []
    for k, source in enumerate(space):
        left, right = p["padding"][k]
        size, tag, target = rhs.shape[rhs_spec[2 + k]], lhs.axes[source], out_spec[2 + k]
        window = {
            "size": size,
            "stride": p["window_strides"][k],
            "dilation": p["rhs_dilation"][k],
            "base": p["lhs_dilation"][k],
            "left": left,
        }
        axes[target] = window_along(eqn, tag, eqn.shape[target], **window)
        key.append((window, None if tag is not None else right))  # padding on the right changes the size, not the map
    return eqn.image(axes, [lhs, rhs.key()], key, moves=True)


POOL = "window_dimensions window_strides padding base_dilation window_dilation"


@rule("reduce_window_max reduce_window_min reduce_window_sum", per_axis=POOL)
def pooling(eqn: Equation, image: Image) -> Image:
    """out[j] = max_k a[(j s - b + k r) / t], or min, or sum."""
    axes, key = _pool(eqn, image.axes)
    return eqn.image(axes, [image], key, moves=True)


@rule("reduce_window", named="jaxpr", per_axis=POOL, inert="consts")  # constants are refused below
def general_pooling(eqn: Equation, *values: Value) -> list[Image]:
    """out[j] = the reduction of a window, from a constant start, by a function of numbers alone."""
    count = len(values) // 2
    operands, starts = values[:count], values[count:]
    if any(isinstance(v, Image) for v in starts) or eqn.params["consts"]:
        eqn.refuse(
            "a window reduction depends on more than its window", "Start from a constant and close over nothing."
        )
    tags, names = join_operands(eqn, operands, operands[0].shape)
    axes, key = _pool(eqn, tags)
    names += [v.key() for v in starts if not isinstance(v, Image)]
    return [eqn.image(axes, names, key, out=k, moves=True) for k in range(count)]


def _pool(eqn: Equation, tags: Sequence[AxisTag]) -> tuple[list[AxisTag], list[Any]]:
    """The axes of the result of a pooling, and what counts of its parameters."""
    p = eqn.params
    axes: list[AxisTag] = []
    key: list[Any] = []
    for k, tag in enumerate(tags):
        left, right = p["padding"][k]
        window = {
            "size": p["window_dimensions"][k],
            "stride": p["window_strides"][k],
            "dilation": p["window_dilation"][k],
            "base": p["base_dilation"][k],
            "left": left,
        }
        trivial = window == {"size": 1, "stride": 1, "dilation": window["dilation"], "base": 1, "left": 0}
        axes.append(tag if trivial and right == 0 else window_along(eqn, tag, eqn.shape[k], **window))
        key.append((window, None if tag is not None else right))
    return axes, key


@rule("select_and_scatter_add", named="select_prim", per_axis="padding window_dimensions window_strides")
def unpooling(eqn: Equation, source: Value, operand: Value) -> Image:
    """out[i] = sum of source[j] over the windows j whose chosen element is a[i], where j s - b <= i < j s - b + k.

    Which element window j chooses and what it adds is z[j], pointwise in the pooled a and the source; out is z spread
    over the windows again: a transposed convolution.
    """
    if not isinstance(operand, Image) or not isinstance(source, Image):
        eqn.refuse("what is unpooled, or where to, does not depend on the image", "Compute it outside the function.")
    p = eqn.params
    windows = list(zip(p["window_dimensions"], p["window_strides"], p["padding"], strict=True))
    pooled = [
        window_along(eqn, tag, n, size=size, stride=stride, left=left)
        for tag, n, (size, stride, (left, _)) in zip(operand.axes, source.shape, windows, strict=True)
    ]
    chosen, _ = join_operands(eqn, [replace(operand, shape=source.shape, axes=tuple(pooled)), source], source.shape)
    axes = [
        window_along(eqn, tag, n, size=size, base=stride, left=size - 1 - left)
        for tag, n, (size, stride, (left, _)) in zip(chosen, eqn.shape, windows, strict=True)
    ]
    key = [
        (size, stride, left, None if tag is not None else right)
        for tag, (size, stride, (left, right)) in zip(axes, windows, strict=True)
    ]
    return eqn.image(axes, [operand, source], key, moves=True)


@rule("pad", per_axis="padding_config")
def padding(eqn: Equation, image: Value, fill: Value) -> Image:
    """out[j] = a[(j - left) / (interior + 1)] where that is an element, else the fill value: a window of size 1.

    Without interior padding the map stays the same and is only read from another index on.
    """
    if isinstance(fill, Image) or not isinstance(image, Image):
        eqn.refuse("the padding value depends on the image", "Pad with a constant.")
    axes: list[AxisTag] = []
    key = []
    by: dict[int, Fraction] = {}
    same_map = True
    for k, (left, right, interior) in enumerate(eqn.params["padding_config"]):
        tag = image.axes[k]
        untouched = left == right == interior == 0
        new = tag if untouched else window_along(eqn, tag, eqn.shape[k], base=interior + 1, left=left)
        axes.append(_filled(new, left, right, interior, fill.key()) if isinstance(new, Axis) else new)
        key.append((left, interior, right if tag is None else None))
        if isinstance(tag, Axis):
            by[tag.image] = -left * tag.stride
        same_map &= untouched or (isinstance(tag, Axis) and not interior)
    if same_map:
        return replace(image.shifted(eqn.shape, axes, by), parts=_padded_parts(eqn, image, fill.key()))
    return eqn.image(axes, [image, fill.key()], key, moves=True)


def _padded_parts(eqn: Equation, image: Image, fill: str) -> tuple[Part, ...]:
    """An image and what lies at its ends, if it is padded along one axis; else none."""
    widths = [(k, left, right) for k, (left, right, _) in enumerate(eqn.params["padding_config"]) if left or right]
    if len(widths) != 1 or min(widths[0]) < 0:
        return ()
    ((along, left, right),) = widths
    n, end = eqn.shape[along], End(digest("fill", fill))
    beside = [(a, b) for a, b in ((0, left), (n - right, n)) if a < b]
    padded = [Part(None, along, (a, b), (0, 0), start=a, stop=b, border=(end, end)) for a, b in beside]
    return part(image, eqn.shape, along, left), *padded


def _filled(axis: Axis, left: int, right: int, interior: int, fill: str) -> Axis:
    """The axis with what it was padded with in the names of those ends at which that lies."""
    name = digest("fill", fill)
    ends = [end.after(name) if n > 0 or interior else end for end, n in zip(axis.border, (left, right), strict=True)]
    return replace(axis, border=(ends[0], ends[1]))


@rule("slice", per_axis="start_indices limit_indices strides", moves_axes_only=True)
def slicing(eqn: Equation, image: Image) -> Image:
    """out[j] = a[start + j * stride]."""
    p = eqn.params
    return slice_image(eqn, image, p["start_indices"], p["strides"] or (1,) * len(image.shape))


def slice_image(eqn: Equation, image: Image, starts: Sequence[int], strides: Sequence[int]) -> Image:
    """A slice: a window of size 1 with negative padding. Its start along the image is an offset, not another map."""
    axes: list[AxisTag] = []
    by: dict[int, Fraction] = {}
    for k, tag in enumerate(image.axes):
        start, stride = int(starts[k]), int(strides[k])
        whole = (start, stride) == (0, 1) and eqn.shape[k] == image.shape[k]
        if whole or tag is None or isinstance(tag, Broken):
            axes.append(tag)
            continue
        axes.append(window_along(eqn, tag, eqn.shape[k], stride=stride, left=-start))
        assert isinstance(tag, Axis)
        by[tag.image] = start * tag.stride
    all_channels = all(tag is not None or eqn.shape[k] == image.shape[k] for k, tag in enumerate(image.axes))
    if all_channels and all(int(stride) == 1 for stride in strides) and not image.broken:
        return image.shifted(eqn.shape, axes, by)
    key = [
        (0 if isinstance(tag, Axis) else int(start), int(stride))
        for tag, start, stride in zip(image.axes, starts, strides, strict=True)
    ]
    return eqn.image(axes, [image.shifted(image.shape, image.axes, by)], key, moves=True)
