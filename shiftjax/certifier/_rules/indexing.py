"""Slices, gathers and updates at indices that are values: known indices pass, image-dependent ones are refused."""

from __future__ import annotations

from collections.abc import Sequence

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.assembly import assemble, part
from shiftjax.certifier._domain.axis import Axis, AxisTag
from shiftjax.certifier._domain.pattern import regular
from shiftjax.certifier._domain.values import Constant, Image, Known, Value
from shiftjax.certifier._rules.pointwise import align_constant, join_operands
from shiftjax.certifier._rules.table import Equation, rule
from shiftjax.certifier._rules.windows import slice_image, window_along

DEPENDS = "Where a tile is read must not depend on what it shows."
START = "Compute the start from shapes alone, in whole numbers, so that the trace holds its value."
OVERWRITE = (
    "Pad, crop or concatenate instead; or fill an array of zeros by `jax.lax.dynamic_update_slice`, in order, with "
    "parts of one function of the image."
)
GATHER = "Index one image axis at a time with a known, regular list of indices, or use slices."


def _start(eqn: Equation, value: Value, size: int, total: int, *, spatial: bool) -> int | None:
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
    at = [_start(eqn, s, n, total, spatial=image.axes[k] is not None) for k, (s, n, total) in enumerate(sizes)]
    ones = (1,) * len(at)
    if None not in at:
        return slice_image(eqn, image, [a or 0 for a in at], ones)
    known = slice_image(eqn, image, [a or 0 for a in at], ones)  # unknown starts count by name
    names: list[Image | str] = [known, *(s.key() for s in starts if not isinstance(s, Image))]
    return eqn.image(known.axes, names, [a is None for a in at])


@rule("dynamic_update_slice")
def dynamic_update_slice(eqn: Equation, operand: Value, update: Value, *starts: Value) -> Value:
    """out[j] = update[j - start] where that is an element, else a[j].

    Channels may be overwritten: pointwise. Along the image, an array may be filled part by part.
    """
    if update.shape == operand.shape:
        return update
    image = operand if isinstance(operand, Image) else update
    if not isinstance(image, Image) or any(isinstance(start, Image) for start in starts):
        eqn.refuse("the start of a slice depends on the image", DEPENDS)
    shorter = [k for k, tag in enumerate(image.axes) if tag is not None and operand.shape[k] != update.shape[k]]
    if shorter:
        return _filled(eqn, operand, update, starts, shorter[0])
    channels = [k for k, tag in enumerate(image.axes) if tag is None]
    axes, names = join_operands(eqn, [operand, update], eqn.shape, free_axes=channels)
    names += [s.key() for k, s in enumerate(starts) if k in channels and not isinstance(s, Image)]
    return eqn.image(axes, names, [n for k, n in enumerate(update.shape) if k in channels])


def _filled(eqn: Equation, operand: Value, update: Value, starts: Sequence[Value], along: int) -> Image:
    """A part of an image written into an array of constants, or into one that holds other parts of the same map."""
    other = [k for k in range(len(eqn.shape)) if k != along and operand.shape[k] != update.shape[k]]
    at = _start(eqn, starts[along], update.shape[along], eqn.shape[along], spatial=True)
    if other or not isinstance(update, Image) or not isinstance(update.axes[along], Axis) or at is None:
        eqn.refuse("a part of the image is overwritten", OVERWRITE)
    written = part(update, eqn.shape, along, at)
    if not isinstance(operand, Image):
        return written.image
    if not isinstance(operand.axes[along], Axis):
        eqn.refuse("a part of the image is overwritten", OVERWRITE)
    below = part(operand, eqn.shape, along, 0)
    if not written.continues(below):
        eqn.refuse("a part of the image is overwritten by what is not its continuation", OVERWRITE)
    return assemble([below, written])


@rule(
    "scatter scatter_add scatter_sub scatter_mul scatter_min scatter_max",
    named="dimension_numbers mode unique_indices update_jaxpr",
    inert="indices_are_sorted update_consts",  # constants are refused below
)
def scatter(eqn: Equation, operand: Value, indices: Value, update: Value) -> Image:
    """out[i, indices[c]] = f(a[i, indices[c]], update[i, c]): along the image the update is as long as the array."""
    numbers = eqn.params["dimension_numbers"]
    if isinstance(indices, Image):
        eqn.refuse("where an update goes depends on the image", DEPENDS)
    if eqn.params["update_consts"]:
        eqn.refuse("its update closes over values", GATHER)
    collapsed = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    windows = [k for k in range(len(operand.shape)) if k not in collapsed]
    update_axes = dict(zip(windows, numbers.update_window_dims, strict=True))
    if isinstance(update, Image) and not set(update.spatial) <= set(numbers.update_window_dims):
        eqn.refuse("an image axis is scattered", GATHER)
    axes = [_updated_axis(eqn, operand, update, k, update_axes.get(k)) for k in range(len(operand.shape))]
    for value in (operand, update):
        if isinstance(value, Image) and sorted(domain.image_axes(value.axes)) != sorted(domain.image_axes(axes)):
            eqn.refuse("an image axis is scattered", GATHER)
    spatial = [k for k in update_axes if axes[k] is not None]
    names: list[Image | str] = []
    for value, own in ((operand, spatial), (update, [update_axes[k] for k in spatial])):
        along = [axes[k] for k in spatial]
        names.append(value if isinstance(value, Image) else align_constant(eqn, along, value, own))
        if along != [axes[k] for k in spatial]:
            eqn.refuse("a periodic constant is scattered", GATHER)
    return eqn.image(axes, [*names, indices.key()])


def _updated_axis(eqn: Equation, operand: Value, update: Value, k: int, j: int | None) -> AxisTag:
    """Axis `k` of an array after an update whose axis `j` lies along it."""
    old = operand.axes[k] if isinstance(operand, Image) else None
    new = update.axes[j] if isinstance(update, Image) and j is not None else None
    tags = [tag for tag in (old, new) if tag is not None]
    if not tags:
        return None
    indexed = k in eqn.params["dimension_numbers"].scatter_dims_to_operand_dims
    if j is None or indexed or operand.shape[k] != update.shape[j]:
        eqn.refuse("a part of the image is overwritten", OVERWRITE)
    axes = [tag for tag in tags if isinstance(tag, Axis)]
    if len(axes) != len(tags):
        eqn.refuse("flattened image axes are written to", GATHER)
    return domain.join(axes)


@rule(
    "gather",
    named="dimension_numbers mode fill_value",
    per_axis="slice_sizes",
    inert="indices_are_sorted unique_indices",
)
def gather(eqn: Equation, operand: Value, indices: Value) -> Image:
    """out[j] = a[indices[j]]: known indices, or indices that are values of the image into a constant table."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    if isinstance(indices, Image):
        if isinstance(operand, Image) or numbers.operand_batching_dims:
            eqn.refuse("the indices that are read depend on the image", DEPENDS)
        return _table_lookup(eqn, operand, indices)
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
    if not indexed:
        names.append(indices.key())
    else:
        target, axes_of_pattern, pattern = _indexed_axis(eqn, operand, indexed[0], indices)
        axes[target] = axes_of_pattern
        names.append(pattern)
    key = [None if tag is not None else n for n, tag in zip(sizes, operand.axes, strict=True)]
    return eqn.image(axes, names, key)


def _table_lookup(eqn: Equation, table: Constant, indices: Image) -> Image:
    """out[i] = table[a[i]]: pointwise in the indices, whose last axis holds the coordinates."""
    if indices.axes[-1] is not None:
        eqn.refuse("an image axis serves as coordinates", GATHER)
    axes: list[AxisTag] = [None] * len(eqn.shape)
    batch = [k for k in range(len(axes)) if k not in eqn.params["dimension_numbers"].offset_dims]
    for target, tag in zip(batch, indices.axes[:-1], strict=True):
        axes[target] = tag
    return eqn.image(axes, [table.key(), indices], eqn.params["slice_sizes"])


def _indexed_axis(eqn: Equation, image: Image, axis: int, indices: Constant) -> tuple[int, Axis, str]:
    """A known, regular list of indices along one image axis: which axis of the result it becomes, and its name.

    out[m q + r] = a[first[r] + m step], so that moving the image by a turn of the pattern moves the result.
    """
    tag, total = image.axes[axis], image.shape[axis]
    numbers, mode = eqn.params["dimension_numbers"], str(eqn.params["mode"]).upper()
    batch = [k for k in range(len(eqn.shape)) if k not in numbers.offset_dims]
    if not isinstance(indices, Known) or not isinstance(tag, Axis):
        eqn.refuse("the indices that are read along the image are unknown, or rounding decides them", START)
    if len(batch) != 1 or indices.shape[-1] != 1 or axis not in numbers.collapsed_slice_dims:
        eqn.refuse("the image is gathered in blocks or along several axes", GATHER)
    read = [int(i) for i in indices.value[:, 0]]
    if "CLIP" in mode:
        read = [min(max(i, 0), total - 1) for i in read]
    elif "FILL" not in mode and not all(0 <= i < total for i in read):
        eqn.refuse("an index outside the image is read", GATHER)
    pattern = regular(read)
    if pattern is None:
        eqn.refuse("the indices that are read along the image follow no pattern that moves with it", GATHER)
    eqn.record.assumptions.append(pattern.assumption("indices", eqn.source))
    reads = [(first, first) for first in pattern.first]
    new = domain.gathered(tag, reads, pattern.step, len(read), pattern.start, pattern.stop)
    return batch[0], new, pattern.name
