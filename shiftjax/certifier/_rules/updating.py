"""Arrays of which a part is overwritten: along the image, by the continuation of one map, or else by a border."""

from __future__ import annotations

from dataclasses import replace

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.assembly import assemble, beside, laid, part, unknown
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.tags import AxisTag, image_axes
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._rules.indexing import DEPENDS, GATHER, clamped_start
from shiftjax.certifier._rules.pointwise import align_constant, join_operands
from shiftjax.certifier._rules.table import Equation, rule

COMPUTED = "overwritten"  # the name of what is computed from both operands of a scatter
OVERWRITE = (
    "Pad, crop or concatenate instead; or fill an array of zeros by `jax.lax.dynamic_update_slice`, in order, with "
    "parts of one function of the image."
)


@rule("dynamic_update_slice")
def dynamic_update_slice(eqn: Equation, operand: Value, update: Value, *starts: Value) -> Value:
    """out[j] = update[j - start] where that is an element, else a[j]."""
    if update.shape == operand.shape:
        return update
    if any(isinstance(start, Image) for start in starts):
        eqn.refuse("where an update goes depends on the image", DEPENDS)
    update = _with_its_axis(operand, update)
    image = operand if isinstance(operand, Image) else update
    assert isinstance(image, Image)
    shorter = [k for k, tag in enumerate(image.axes) if tag is not None and operand.shape[k] != update.shape[k]]
    if shorter:
        at = {k: clamped_start(eqn, starts[k], update.shape[k], eqn.shape[k], spatial=True) for k in shorter}
        return _overwritten(eqn, operand, update, {k: start or 0 for k, start in at.items()})
    channels = [k for k, tag in enumerate(image.axes) if tag is None]
    axes, names = join_operands(eqn, [operand, update], eqn.shape, free_axes=channels)
    names += [s.key() for k, s in enumerate(starts) if k in channels and not isinstance(s, Image)]
    return eqn.image(axes, names, [n for k, n in enumerate(update.shape) if k in channels])


def _with_its_axis(operand: Value, update: Value) -> Value:
    """A slice of the image that goes into an array, with the axis along which it was cut put back."""
    if not isinstance(update, Image):
        return update
    ones = [k for k, n in enumerate(update.shape) if n == 1 != operand.shape[k] and update.axes[k] is None]
    if len(ones) != 1 or (isinstance(operand, Image) and operand.axes[ones[0]] is None):
        return update
    return update.without(ones[0]).attach(ones[0]) or update


def _overwritten(eqn: Equation, operand: Value, update: Value, starts: dict[int, int]) -> Image:
    """An array with a part along the image overwritten, from `starts` on along these axes.

    Parts of one map, each at its own indices, fill it. Anything else is a border: what it covers is not exact.
    """
    if framed := _framed(eqn, operand, update, starts):
        return framed
    along = min(starts, key=lambda k: update.shape[k])  # a block covers least along its shortest side
    covered = (starts[along], starts[along] + update.shape[along])
    other = any(k != along and n != update.shape[k] for k, n in enumerate(operand.shape))
    written = None
    if isinstance(update, Image) and isinstance(update.axes[along], Axis) and not other:
        written = part(update, eqn.shape, along, starts[along])
    if not isinstance(operand, Image):
        if written is None:
            eqn.refuse("a part of an array is written to", OVERWRITE)
        return assemble([beside(operand, written, 0), written])
    if not isinstance(operand.axes[along], Axis):
        eqn.refuse("a part of flattened image axes is overwritten", OVERWRITE)
    parts = laid(operand, along)
    below = next((one for one in parts if one.image is not None), None)
    if written is not None and below is not None and written.continues(below):
        return assemble([*parts, written])
    if written is not None and (below is None or covered[1] - covered[0] > operand.shape[along] // 2):
        return assemble([beside(operand, written, 0), written])
    if below is None:  # nothing of the image is left to write over
        eqn.refuse("a part of an array is written to", OVERWRITE)
    of_no_known_value = other or (isinstance(update, Unknown) and update.name == COMPUTED)
    above = unknown(along, covered) if of_no_known_value else beside(update, below, starts[along])
    return _without_borders(assemble([*parts, above]), operand, update, along)


def _framed(eqn: Equation, operand: Value, update: Value, starts: dict[int, int]) -> Image | None:
    """A block of the image written into a uniform array, along several axes: that is the block, padded."""
    if len(starts) < 2 or isinstance(operand, Image) or not isinstance(update, Image):
        return None
    block = [k for k, n in enumerate(update.shape) if n != operand.shape[k]]
    tags = {k: tag for k, tag in enumerate(update.axes) if isinstance(tag, Axis)}
    if set(block) != set(starts) or set(update.spatial) != set(tags) or not all(map(operand.uniform, tags)):
        return None
    fill, axes = operand.key(dict.fromkeys(tags, 1)), list(update.axes)
    for k, start in starts.items():
        axes[k] = domain.window(tags[k], eqn.shape[k], left=start).named("fill", fill)
    return update.shifted(eqn.shape, axes, {tags[k].image: -start * tags[k].stride for k, start in starts.items()})


def _without_borders(image: Image, operand: Value, update: Value, along: int) -> Image:
    """The image, with nothing said of the ends of axes that a block covers in part, except the axis `along`.

    Within the block, which is a border on that axis, the values change along the others at fixed indices, where those
    of a larger image do not.
    """
    axes = [
        tag.without_borders() if isinstance(tag, Axis) and k != along and operand.shape[k] != update.shape[k] else tag
        for k, tag in enumerate(image.axes)
    ]
    return replace(image, axes=tuple(axes))


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
    if block := _block(eqn, operand, indices, update):
        return _overwritten(eqn, operand, *block)
    if eqn.params["update_consts"]:
        eqn.refuse("its update closes over values", GATHER)
    collapsed = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    windows = [k for k in range(len(operand.shape)) if k not in collapsed]
    update_axes = dict(zip(windows, numbers.update_window_dims, strict=True))
    if isinstance(update, Image) and not set(update.spatial) <= set(numbers.update_window_dims):
        eqn.refuse("an image axis is scattered", GATHER)
    axes = [_updated_axis(eqn, operand, update, k, update_axes.get(k)) for k in range(len(operand.shape))]
    for value in (operand, update):
        if isinstance(value, Image) and sorted(image_axes(value.axes)) != sorted(image_axes(axes)):
            eqn.refuse("an image axis is scattered", GATHER)
    spatial = [k for k in update_axes if axes[k] is not None]
    names: list[Image | str] = []
    for value, own in ((operand, spatial), (update, [update_axes[k] for k in spatial])):
        along = [axes[k] for k in spatial]
        names.append(value if isinstance(value, Image) else align_constant(eqn, along, value, own).name)
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


def _block(eqn: Equation, operand: Value, indices: Value, update: Value) -> tuple[Value, dict[int, int]] | None:
    """One block that a scatter writes along the image: what is written, and from where on; None if it is no block."""
    numbers = eqn.params["dimension_numbers"]
    image = operand if isinstance(operand, Image) else update
    if not isinstance(indices, Known) or indices.value.size != indices.shape[-1] or numbers.operand_batching_dims:
        return None
    if isinstance(update, Image) and not set(update.spatial) <= set(numbers.update_window_dims):
        return None
    shape, tags = list(operand.shape), [None] * len(operand.shape)
    windows = [k for k in range(len(shape)) if k not in numbers.inserted_window_dims]
    for k, j in zip(windows, numbers.update_window_dims, strict=True):
        shape[k] = update.shape[j]
        tags[k] = update.axes[j] if isinstance(update, Image) else None
    for k in numbers.inserted_window_dims:
        shape[k] = 1
    content: Value = Unknown(tuple(shape), COMPUTED)
    if isinstance(update, Image) and eqn.name == "scatter":
        content = _with_its_axis(operand, replace(update, shape=tuple(shape), axes=tuple(tags)))
    elif isinstance(update, Known) and update.exact and eqn.name == "scatter":
        content = Known.of(update.value.reshape(shape))
    image = operand if isinstance(operand, Image) else content
    if not isinstance(image, Image):
        return None
    at = dict(zip(numbers.scatter_dims_to_operand_dims, indices.value.reshape(-1).tolist(), strict=True))
    if any(not 0 <= start <= operand.shape[k] - shape[k] for k, start in at.items()):
        return None
    starts = {k: at.get(k, 0) for k in image.spatial if shape[k] != operand.shape[k]}
    return (content, starts) if starts else None
