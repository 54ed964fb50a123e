"""Slices and gathers at indices that are values. Along the image, indices must be known."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.gathered import gathered
from shiftjax.certifier._domain.pattern import Pattern, regular
from shiftjax.certifier._domain.tags import AxisTag
from shiftjax.certifier._domain.values import Constant, Image, Value
from shiftjax.certifier._rules.pointwise import join_operands
from shiftjax.certifier._rules.table import Equation, rule
from shiftjax.certifier._rules.windows import slice_image, window_along

DEPENDS = "Where a tile is read must not depend on what it shows."
START = "Compute the start from shapes alone, in whole numbers, so that the trace holds its value."
GATHER = "Index one image axis at a time with a known, regular list of indices, or use slices."


def clamped_start(eqn: Equation, value: Value, size: int, total: int, *, spatial: bool) -> int | None:
    """A start, clamped into the array as JAX does; None for an unknown one among channels."""
    if isinstance(value, Image):
        eqn.refuse("the start of a slice depends on the image", DEPENDS)
    if isinstance(value, Known):
        return int(min(max(int(value.value), 0), total - size))
    if size == total:
        return 0
    if spatial:
        eqn.refuse("the start of a slice along the image is unknown", START)
    return None


@rule("dynamic_slice", per_axis="slice_sizes")
def dynamic_slice(eqn: Equation, image: Value, *starts: Value) -> Image:
    """out[j] = a[start + j], where the start is a value."""
    if not isinstance(image, Image):
        eqn.refuse("the start of a slice depends on the image", DEPENDS)
    sizes = zip(starts, eqn.params["slice_sizes"], image.shape, strict=True)
    at = [clamped_start(eqn, s, n, total, spatial=image.axes[k] is not None) for k, (s, n, total) in enumerate(sizes)]
    ones = (1,) * len(at)
    if None not in at:
        return slice_image(eqn, image, [a or 0 for a in at], ones)
    known = slice_image(eqn, image, [a or 0 for a in at], ones)  # unknown starts count by name
    names: list[Image | str] = [known, *(s.key() for s in starts if not isinstance(s, Image))]
    return eqn.image(known.axes, names, [a is None for a in at])


@rule(
    "gather",
    named="dimension_numbers mode fill_value",
    per_axis="slice_sizes",
    inert="indices_are_sorted unique_indices",
)
def gather(eqn: Equation, operand: Value, indices: Value) -> Image:
    """out[j] = a[indices[j]]: along the image by known indices, among channels by any."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    if isinstance(indices, Image):
        return _image_dependent(eqn, operand, indices)
    assert isinstance(operand, Image)
    indexed = [k for k in operand.spatial if k in numbers.start_index_map and sizes[k] != operand.shape[k]]
    if any(k in numbers.operand_batching_dims for k in operand.spatial) or len(indexed) > 1:
        eqn.refuse("the image is indexed along several axes at once", GATHER)
    dropped = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    remaining = [k for k in range(len(operand.shape)) if k not in dropped]
    axes: list[AxisTag] = [None] * len(eqn.shape)
    for k, target in zip(remaining, numbers.offset_dims, strict=True):
        tag = operand.axes[k]
        axes[target] = tag if sizes[k] == operand.shape[k] else window_along(eqn, tag, sizes[k])
    names: list[Image | str] = [operand]
    turns: dict[int, Fraction] = {}
    if not indexed:
        names.append(indices.key())
    else:
        target, along, pattern = _indexed_axis(eqn, operand, indexed[0], indices)
        axes[target] = along
        turns[along.image] = abs(along.stride) * len(pattern.first)
        names.append(pattern.name)
    key = [None if tag is not None else n for n, tag in zip(sizes, operand.axes, strict=True)]
    return eqn.image(axes, names, key, moves=True, turns=turns)


def _image_dependent(eqn: Equation, operand: Value, indices: Image) -> Image:
    """out[i] = a[i, indices[i]]: pointwise, since only channels are looked up; a table may take the place of a.

    The last axis of the indices holds coordinates. Image axes of the operand must be batching dimensions, along which
    result, indices and operand have the same index.
    """
    numbers = eqn.params["dimension_numbers"]
    batching = dict(zip(numbers.start_indices_batching_dims, numbers.operand_batching_dims, strict=True))
    if isinstance(operand, Image) and not set(operand.spatial) <= set(batching.values()):
        eqn.refuse("the indices that are read depend on the image", DEPENDS)
    if indices.axes[-1] is not None:
        eqn.refuse("an image axis serves as coordinates", GATHER)
    shared = list(range(len(indices.shape) - 1))
    tags = [indices.axes[k] for k in shared]
    if isinstance(operand, Image):
        along = replace(
            operand,
            shape=tuple(operand.shape[batching[k]] if k in batching else indices.shape[k] for k in shared),
            axes=tuple(operand.axes[batching[k]] if k in batching else None for k in shared),
        )
        own = replace(indices, shape=indices.shape[:-1], axes=indices.axes[:-1])
        tags, _ = join_operands(eqn, [own, along], own.shape)
    elif any(tags[k] is not None for k in batching):
        eqn.refuse("a table varies along the image", GATHER)
    axes: list[AxisTag] = [None] * len(eqn.shape)
    batch = [k for k in range(len(axes)) if k not in numbers.offset_dims]
    for target, tag in zip(batch, tags, strict=True):
        axes[target] = tag
    names = [operand if isinstance(operand, Image) else operand.key(), indices]
    key = [None if k in batching.values() else n for k, n in enumerate(eqn.params["slice_sizes"])]
    return eqn.image(axes, names, key, moves=True)


def _indexed_axis(eqn: Equation, image: Image, axis: int, indices: Constant) -> tuple[int, Axis, Pattern]:
    """A known, regular list of indices along one image axis: which axis of the result it becomes, and the pattern.

    out[m q + r] = a[first[r] + m step], so that moving the image by one repetition of the pattern moves the result.
    """
    tag, total = image.axes[axis], image.shape[axis]
    numbers, mode = eqn.params["dimension_numbers"], str(eqn.params["mode"]).upper()
    batch = [k for k in range(len(eqn.shape)) if k not in numbers.offset_dims]
    if not isinstance(indices, Known) or not isinstance(tag, Axis):
        eqn.refuse("the indices that are read along the image are unknown, or rounding decides them", START)
    one_by_one = len(batch) == 1 and indices.shape[-1] == 1 and axis in numbers.collapsed_slice_dims
    if not one_by_one or numbers.operand_batching_dims:  # along these, each output is of another channel
        eqn.refuse("the image is gathered in blocks or along several axes", GATHER)
    read = indices_read(mode, indices, total)
    if "FILL" not in mode and not all(0 <= i < total for i in read):
        eqn.refuse("an index outside the image is read", GATHER)
    pattern = regular(read)
    if pattern is None:
        eqn.refuse("the indices that are read along the image follow no pattern that moves with it", GATHER)
    eqn.record.assumptions.append(pattern.assumption("indices", eqn.source))
    return batch[0], gathered(tag, pattern), pattern


def indices_read(mode: str, indices: Known, total: int) -> list[int]:
    """The indices along one axis of `total` elements that a gather of single ones reads, as far as they lie in it."""
    read = [int(i) for i in indices.value[:, 0]]
    return [min(max(i, 0), total - 1) for i in read] if "CLIP" in mode.upper() else read
