"""Slices and gathers whose place is a value: known places pass, image-dependent ones are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shiftjax.certifier._domain import assembly as _pieces
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import pattern as _pattern
from shiftjax.certifier._domain.axis import Axis, Tag
from shiftjax.certifier._domain.values import Constant, Image, Known, Value
from shiftjax.certifier._rules.pointwise import lay, together
from shiftjax.certifier._rules.table import Equation, rule
from shiftjax.certifier._rules.windows import cut, slide

DEPENDS = "Where a tile is read must not depend on what it shows."
PLACE = "Compute the place from shapes alone, in whole numbers, so that the trace holds its value."
OVERWRITE = (
    "Pad, crop or concatenate instead; or fill an array of zeros by `jax.lax.dynamic_update_slice`, in order, with "
    "pieces of one function of the image."
)
GATHER = "Index one image axis at a time with a known, regular list of places, or use slices."


def _start(eqn: Equation, value: Value, size: int, total: int, *, spatial: bool) -> int | None:
    """A start clamped into the array as JAX does; None for an unknown place among channels."""
    if isinstance(value, Image):
        eqn.refuse("the place of a slice depends on the image", DEPENDS)
    if isinstance(value, Known):
        return int(min(max(int(value.value), 0), total - size))
    if size == total:
        return 0
    if spatial:
        eqn.refuse("the place of a slice along the image is unknown", PLACE)
    return None


@rule("dynamic_slice", params="slice_sizes")
def dynamic_slice(eqn: Equation, image: Value, *starts: Value) -> Image:
    if not isinstance(image, Image):
        eqn.refuse("the place of a slice depends on the image", DEPENDS)
    sizes = zip(starts, eqn.params["slice_sizes"], image.shape, strict=True)
    at = [_start(eqn, s, n, total, spatial=image.axes[k] is not None) for k, (s, n, total) in enumerate(sizes)]
    if None not in at:
        return cut(eqn, image, at, (1,) * len(at))
    known = cut(eqn, image, [a or 0 for a in at], (1,) * len(at))
    names: list[Image | str] = [known, *(s.identity() for s in starts if not isinstance(s, Image))]
    return eqn.image(known.axes, names, [a is None for a in at])


@rule("dynamic_update_slice")
def dynamic_update_slice(eqn: Equation, operand: Value, update: Value, *starts: Value) -> Value:
    """Channels may be overwritten; along the image, arrays may be filled piece by piece."""
    if update.shape == operand.shape:
        return update
    image = operand if isinstance(operand, Image) else update
    if not isinstance(image, Image):
        eqn.refuse("the place of a slice depends on the image", DEPENDS)
    for start in starts:
        if isinstance(start, Image):
            eqn.refuse("the place of a slice depends on the image", DEPENDS)
    parts = [k for k, tag in enumerate(image.axes) if tag is not None and operand.shape[k] != update.shape[k]]
    if parts:
        return _filled(eqn, operand, update, starts, parts)
    channels = [k for k, tag in enumerate(image.axes) if tag is None]
    axes, names = together(eqn, [operand, update], eqn.shape, loose=channels)
    places = [s.identity() for k, s in enumerate(starts) if k in channels and not isinstance(s, Image)]
    sizes = [n for k, n in enumerate(update.shape) if k in channels]
    return eqn.image(axes, [*names, *places], sizes)


def _filled(eqn: Equation, operand: Value, update: Value, starts: Sequence[Value], parts: list[int]) -> Image:
    """A piece of the image written into an array of constants, or into one of the same map."""
    along = parts[0]
    other = [k for k in range(len(eqn.shape)) if k != along and operand.shape[k] != update.shape[k]]
    at = _start(eqn, starts[along], update.shape[along], eqn.shape[along], spatial=True)
    if other or not isinstance(update, Image) or not isinstance(update.axes[along], Axis) or at is None:
        eqn.refuse("a part of the image is overwritten", OVERWRITE)
    piece = _pieces.place(update, eqn.shape, along, at)
    if not isinstance(operand, Image):
        return piece.image
    if not isinstance(operand.axes[along], Axis):
        eqn.refuse("a part of the image is overwritten", OVERWRITE)
    below = _pieces.place(operand, eqn.shape, along, 0)
    if not piece.continues(below):
        eqn.refuse("a part of the image is overwritten by what is not its continuation", OVERWRITE)
    return _pieces.together([below, piece])


SCATTER = "dimension_numbers indices_are_sorted mode unique_indices update_consts update_jaxpr"


@rule("scatter scatter_add scatter_sub scatter_mul scatter_min scatter_max", params=SCATTER)
def scatter(eqn: Equation, operand: Value, indices: Value, update: Value) -> Image:
    """Channels may be written to; along the image the update must be as long as the array."""
    numbers = eqn.params["dimension_numbers"]
    if isinstance(indices, Image):
        eqn.refuse("the place of an update depends on the image", DEPENDS)
    if eqn.params["update_consts"]:
        eqn.refuse("its update closes over values", GATHER)
    windows = [k for k in range(len(operand.shape)) if k not in _collapsed(numbers)]
    update_axes = dict(zip(windows, numbers.update_window_dims, strict=True))
    if isinstance(update, Image) and not set(update.spatial) <= set(numbers.update_window_dims):
        eqn.refuse("an image axis is scattered", GATHER)
    tags = [_overwritten(eqn, operand, update, k, update_axes.get(k)) for k in range(len(operand.shape))]
    for value in (operand, update):
        if isinstance(value, Image) and sorted(domain.images(value.axes)) != sorted(domain.images(tags)):
            eqn.refuse("an image axis is scattered", GATHER)
    spatial = [k for k in update_axes if tags[k] is not None]
    names: list[Image | str] = []
    for value, places in ((operand, spatial), (update, [update_axes[k] for k in spatial])):
        laid = [tags[k] for k in spatial]
        names.append(value if isinstance(value, Image) else lay(eqn, laid, value, places))
        if laid != [tags[k] for k in spatial]:
            eqn.refuse("a periodic constant is scattered", GATHER)
    key = (numbers, str(eqn.params["mode"]), eqn.params["unique_indices"], eqn.text("update_jaxpr"))
    return eqn.image(tags, [*names, indices.identity()], key)


def _collapsed(numbers: Any) -> tuple[int, ...]:
    return (*numbers.inserted_window_dims, *numbers.operand_batching_dims)


def _overwritten(eqn: Equation, operand: Value, update: Value, k: int, j: int | None) -> Tag:
    """Axis `k` of an array after an update with its axis `j` there."""
    mine = operand.axes[k] if isinstance(operand, Image) else None
    new = update.axes[j] if isinstance(update, Image) and j is not None else None
    found = [tag for tag in (mine, new) if tag is not None]
    if not found:
        return None
    moves = k in eqn.params["dimension_numbers"].scatter_dims_to_operand_dims
    if j is None or moves or operand.shape[k] != update.shape[j]:
        eqn.refuse("a part of the image is overwritten", OVERWRITE)
    plain = [tag for tag in found if isinstance(tag, Axis)]
    if len(plain) != len(found):
        eqn.refuse("flattened image axes are written to", GATHER)
    return domain.join(plain)


GATHERED = "dimension_numbers slice_sizes indices_are_sorted unique_indices mode fill_value"


@rule("gather", params=GATHERED)
def gather(eqn: Equation, operand: Value, indices: Value) -> Image:
    p = eqn.params
    numbers = p["dimension_numbers"]
    key = (numbers, str(p["mode"]), p["fill_value"])
    if isinstance(indices, Image):
        if isinstance(operand, Image) or numbers.operand_batching_dims:
            eqn.refuse("the places that are read depend on the image", DEPENDS)
        return _table(eqn, operand, indices, numbers, key)
    assert isinstance(operand, Image)
    indexed = [k for k in operand.spatial if k in numbers.start_index_map and p["slice_sizes"][k] != operand.shape[k]]
    if any(k in numbers.operand_batching_dims for k in operand.spatial) or len(indexed) > 1:
        eqn.refuse("the image is indexed along several axes at once", GATHER)
    kept = [k for k in range(len(operand.shape)) if k not in _dropped(numbers)]
    axes: list[Tag] = [None] * len(eqn.shape)
    for k, place in zip(kept, numbers.offset_dims, strict=True):
        whole = p["slice_sizes"][k] == operand.shape[k]
        axes[place] = operand.axes[k] if whole else slide(eqn, operand.axes[k], p["slice_sizes"][k])
    sizes = [None if tag is not None else n for n, tag in zip(p["slice_sizes"], operand.axes, strict=True)]
    names: list[Image | str] = [operand]
    if not indexed:
        names.append(indices.identity())
    else:
        place, tag, pattern = _select(eqn, operand, indexed[0], indices, numbers)
        axes[place] = tag
        names.append(pattern)
    return eqn.image(axes, names, key, sizes)


def _dropped(numbers: Any) -> tuple[int, ...]:
    return (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)


def _table(eqn: Equation, table: Constant, indices: Image, numbers: Any, key: Any) -> Image:
    """A table looked up at each index: pointwise in the indices, whose last axis holds the coordinates."""
    if indices.axes[-1] is not None:
        eqn.refuse("an image axis serves as coordinates", GATHER)
    axes: list[Tag] = [None] * len(eqn.shape)
    batch = [k for k in range(len(axes)) if k not in numbers.offset_dims]
    for place, tag in zip(batch, indices.axes[:-1], strict=True):
        axes[place] = tag
    return eqn.image(axes, [table.identity(), indices], key, eqn.params["slice_sizes"])


def _select(eqn: Equation, image: Image, axis: int, indices: Constant, numbers: Any) -> tuple[int, Axis, str]:
    """A known regular list of places along one image axis: where it lands, its axis, and the pattern's name."""
    tag, total = image.axes[axis], image.shape[axis]
    batch = [k for k in range(len(eqn.shape)) if k not in numbers.offset_dims]
    if not isinstance(indices, Known) or not isinstance(tag, Axis):
        eqn.refuse("the places that are read along the image are unknown, or rounding decides them", PLACE)
    if len(batch) != 1 or indices.shape[-1] != 1 or axis not in numbers.collapsed_slice_dims:
        eqn.refuse("the image is gathered in blocks or along several axes", GATHER)
    at = [int(i) for i in indices.value[:, 0]]
    mode = str(eqn.params["mode"]).upper()
    if "CLIP" in mode:
        at = [min(max(i, 0), total - 1) for i in at]
    elif "FILL" not in mode and not all(0 <= i < total for i in at):
        eqn.refuse("a place outside the image is read", GATHER)
    run = _pattern.regular(at)
    if run is None:
        eqn.refuse("the places that are read along the image follow no pattern that moves with it", GATHER)
    turns = (run.stop - run.start) / len(run.first)
    eqn.record.assumptions.append(
        f"the places read at {eqn.source} go on at other sizes as at this one, which shows {turns:.3g} turns of them"
    )
    reads = [(first, first) for first in run.first]
    return batch[0], domain.select(tag, reads, run.step, len(at), run.start, run.stop), run.name
