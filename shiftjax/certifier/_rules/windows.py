"""Convolution, pooling, padding, slicing: the operations of the window rule."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, Tag
from shiftjax.certifier._domain.values import Image, Reach, Value
from shiftjax.certifier._rules.pointwise import together
from shiftjax.certifier._rules.table import Equation, rule


def slide(eqn: Equation, tag: Tag, out: int, **window: int) -> Tag:
    """The window rule on one axis; nothing to do on a channel."""
    if tag is None:
        return None
    if not isinstance(tag, Axis):
        eqn.refuse("a window slides over flattened image axes", "Reshape them back to one axis each first.")
    return domain.window(tag, out, **window)


@rule(
    "conv_general_dilated",
    params="window_strides padding lhs_dilation rhs_dilation dimension_numbers feature_group_count batch_group_count "
    "precision preferred_element_type out_sharding",
)
def convolution(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    p = eqn.params
    if isinstance(rhs, Image) or not isinstance(lhs, Image):
        eqn.refuse("the kernel of a convolution depends on the image", "Use a kernel made of parameters only.")
    lhs_spec, rhs_spec, out_spec = p["dimension_numbers"]
    batch, feature, *places = lhs_spec
    if lhs.axes[feature] is not None:
        eqn.refuse("a convolution takes an image axis for its channels", "Check the dimension numbers.")
    if lhs.axes[batch] is not None and p["batch_group_count"] != 1:
        eqn.refuse("a convolution groups an image axis as its batch", "Use batch_group_count=1.")
    axes: list[Tag] = [None] * len(eqn.shape)
    axes[out_spec[0]] = lhs.axes[batch]
    key = []
    for k, place in enumerate(places):
        left, right = p["padding"][k]
        size, tag, target = rhs.shape[rhs_spec[2 + k]], lhs.axes[place], out_spec[2 + k]
        window = {
            "size": size,
            "stride": p["window_strides"][k],
            "dilation": p["rhs_dilation"][k],
            "base": p["lhs_dilation"][k],
            "left": left,
        }
        axes[target] = slide(eqn, tag, eqn.shape[target], **window)
        key.append((window, None if tag is not None else right))
    names: list[Image | str] = [lhs, rhs.identity()]
    rest = (p["dimension_numbers"], p["feature_group_count"], p["batch_group_count"], p["preferred_element_type"])
    life = _life.kernel(lhs, rhs, axes, mixes=p["feature_group_count"] == p["batch_group_count"] == 1)
    return eqn.image(axes, names, key, rest, p["precision"], life=life, moves=True)


POOL = "window_dimensions window_strides padding base_dilation window_dilation"


@rule("reduce_window_max reduce_window_min reduce_window_sum", params=POOL)
def pooling(eqn: Equation, image: Image) -> Image:
    axes, key = _pool(eqn, image.axes)
    return eqn.image(axes, [image], key, life=_life.pooling(eqn.name, image, axes, dict(key)), moves=True)


@rule("reduce_window", params=f"{POOL} jaxpr consts")
def general_pooling(eqn: Equation, *values: Value) -> list[Image]:
    count = len(values) // 2
    operands, starts = values[:count], values[count:]
    if any(isinstance(v, Image) for v in starts) or eqn.params["consts"]:
        eqn.refuse(
            "a window reduction depends on more than its window", "Start from a constant and close over nothing."
        )
    tags, names = together(eqn, operands, operands[0].shape)
    axes, key = _pool(eqn, tuple(tags))
    names = [*names, *(v.identity() for v in starts if not isinstance(v, Image))]
    return [eqn.image(axes, names, key, eqn.text("jaxpr"), out=k, moves=True) for k in range(count)]


def _pool(eqn: Equation, tags: tuple[Tag, ...]) -> tuple[list[Tag], list[tuple[int, Any]]]:
    p = eqn.params
    axes: list[Tag] = []
    key: list[tuple[int, Any]] = []
    for k, tag in enumerate(tags):
        left, right = p["padding"][k]
        window = {
            "size": p["window_dimensions"][k],
            "stride": p["window_strides"][k],
            "dilation": p["window_dilation"][k],
            "base": p["base_dilation"][k],
            "left": left,
        }
        still = window == {"size": 1, "stride": 1, "dilation": window["dilation"], "base": 1, "left": 0}
        axes.append(tag if still and right == 0 else slide(eqn, tag, eqn.shape[k], **window))
        key.append((k, (window, None if tag is not None else right)))
    return axes, key


@rule("pad", params="padding_config")
def padding(eqn: Equation, image: Value, fill: Value) -> Image:
    if isinstance(fill, Image) or not isinstance(image, Image):
        eqn.refuse("the padding value depends on the image", "Pad with a constant.")
    axes: list[Tag] = []
    key = []
    for k, (left, right, interior) in enumerate(eqn.params["padding_config"]):
        tag = image.axes[k]
        still = left == right == interior == 0
        axes.append(tag if still else slide(eqn, tag, eqn.shape[k], base=interior + 1, left=left))
        key.append((left, interior, right if tag is None else None))
    channels = _channels_move(image, key)
    life = _life.moved(image, axes, every=channels)
    if not channels and all(isinstance(tag, Axis) and not interior for tag, (_, interior, _) in _spatial(image, key)):
        by = {tag.image: -left * tag.stride for tag, (left, _, _) in _spatial(image, key) if isinstance(tag, Axis)}
        return image.elsewhere(eqn.shape, axes, by, life)
    life = _life.limited(life, Reach.SOME if channels else Reach.EACH)
    return eqn.image(axes, [image, fill.identity()], key, life=life, moves=True)


def _spatial(image: Image, key: list[Any]) -> list[tuple[Tag, Any]]:
    return [(tag, entry) for tag, entry in zip(image.axes, key, strict=True) if tag is not None]


def _channels_move(image: Image, key: list[tuple[int, int, int | None]]) -> bool:
    """Whether the padding adds or drops channels."""
    return any(tag is None and entry != (0, 0, 0) for tag, entry in zip(image.axes, key, strict=True))


@rule("slice", params="start_indices limit_indices strides", void=True)
def slicing(eqn: Equation, image: Image) -> Image:
    p = eqn.params
    return cut(eqn, image, p["start_indices"], p["strides"] or (1,) * len(image.shape))


def cut(eqn: Equation, image: Image, starts: Any, strides: Any) -> Image:
    """A slice: a window of size 1 with negative padding. Its start along the image is a shift, no map of its own."""
    axes: list[Tag] = []
    by: dict[int, Fraction] = {}
    for k, tag in enumerate(image.axes):
        start, stride = int(starts[k]), int(strides[k])
        still = (start, stride) == (0, 1)
        if tag is None or isinstance(tag, domain.Void) or (still and eqn.shape[k] == image.shape[k]):
            axes.append(tag)
            continue
        axes.append(slide(eqn, tag, eqn.shape[k], stride=stride, left=-start))
        assert isinstance(tag, Axis)
        by[tag.image] = start * tag.stride
    whole = all(tag is not None or eqn.shape[k] == image.shape[k] for k, tag in enumerate(image.axes))
    life = _life.sliced(image, axes, strides, every=not whole)
    if whole and all(int(stride) == 1 for stride in strides) and not image.void:
        return image.elsewhere(eqn.shape, axes, by, life)
    key = [
        (0 if isinstance(tag, Axis) else int(a), int(t)) for tag, a, t in zip(image.axes, starts, strides, strict=True)
    ]
    return eqn.image(axes, [image.elsewhere(image.shape, image.axes, by, life)], key, life=life, moves=True)
