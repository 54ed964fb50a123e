"""Operations that mix a whole axis: contractions, reductions, sorts. Channels may be mixed, image axes may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import pattern as _pattern
from shiftjax.certifier._domain.axis import Axis, Tag
from shiftjax.certifier._domain.values import Image, Known, Value
from shiftjax.certifier._rules.pointwise import even, lay, together
from shiftjax.certifier._rules.table import Equation, rule

WHOLE = "Its output reads the whole tile, so tiles never equal the whole image; use a window of fixed size instead."


@rule("dot_general", params="dimension_numbers precision preferred_element_type out_sharding")
def contraction(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    contract, batch = eqn.params["dimension_numbers"]
    key = (eqn.params["dimension_numbers"], eqn.params["precision"], eqn.params["preferred_element_type"])
    sides = [(lhs, contract[0], batch[0]), (rhs, contract[1], batch[1])]
    for side, contracted, _ in sides:
        if isinstance(side, Image) and any(side.axes[k] is not None for k in contracted):
            return _band(eqn, lhs, rhs)
    free: list[list[Tag]] = []
    for side, contracted, shared in sides:
        rest = [k for k in range(len(side.shape)) if k not in contracted and k not in shared]
        free.append([side.axes[k] if isinstance(side, Image) else None for k in rest])
    if isinstance(lhs, Image) and isinstance(rhs, Image):
        if any(tag is not None for tags in free for tag in tags):
            eqn.refuse("every pixel is multiplied with every other (attention)", WHOLE)
        shared_axes, names = _shared(eqn, lhs, rhs, batch)
        return eqn.image([*shared_axes, *free[0], *free[1]], names, key, moves=True)
    image, constant, places, others = (lhs, rhs, *batch) if isinstance(lhs, Image) else (rhs, lhs, batch[1], batch[0])
    if not isinstance(image, Image) or isinstance(constant, Image):
        raise AssertionError("one side depends on the image, the other does not")
    tags = [image.axes[k] for k in places]
    name = lay(eqn, tags, constant, others)
    axes = [*tags, *free[0], *free[1]]
    life = _life.kernel(image, constant, axes, mixes=not any(tag is None for tag in tags))
    if any(
        tag is None
        for k, tag in enumerate(image.axes)
        if k not in places and k not in (contract[0] if image is lhs else contract[1])
    ):
        life = _life.limited(life, image.life.reach)
    moving = image if even(tags, constant, others) else image.frozen()
    names = [moving, name] if image is lhs else [name, moving]
    return eqn.image(axes, names, key, life=life, moves=True)


def _band(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    """A product along an image axis with a known matrix that moves along with the image, as in linear resizing."""
    (left, right), batch = eqn.params["dimension_numbers"]
    image, matrix, mine, others = (lhs, rhs, left, right) if isinstance(lhs, Image) else (rhs, lhs, right, left)
    assert isinstance(image, Image)
    axis, row = mine[0], others[0]
    tag = image.axes[axis]
    alone = len(mine) == 1 and not any(batch) and len(matrix.shape) == 2
    if not isinstance(matrix, Known) or not alone or not isinstance(tag, Axis):
        eqn.refuse("a product sums over an image axis", WHOLE)
    pattern = _pattern.banded(np.moveaxis(np.asarray(matrix.value), row, 0))
    if pattern is None:
        eqn.refuse("a product along an image axis has a matrix that does not move along with the image", WHOLE)
    if pattern.error:
        eqn.record.assumptions.append(
            f"the weights of the resizing at {eqn.source} repeat only to {pattern.error:.1e}; they count as equal"
        )
    turns = (pattern.stop - pattern.start) / len(pattern.first)
    eqn.record.assumptions.append(
        f"the weights read at {eqn.source} go on at other sizes as at this one, which shows {turns:.3g} turns of them"
    )
    reads = list(zip(pattern.first, pattern.last, strict=True))
    new = domain.select(tag, reads, pattern.step, matrix.shape[1 - row], pattern.start, pattern.stop)
    free = [t for k, t in enumerate(image.axes) if k != axis]
    axes = [*free, new] if image is lhs else [new, *free]
    key = (eqn.params["dimension_numbers"], eqn.params["precision"], eqn.params["preferred_element_type"])
    return eqn.image(axes, [image, pattern.name], key)


def _shared(
    eqn: Equation, lhs: Image, rhs: Image, batch: tuple[Sequence[int], ...]
) -> tuple[list[Tag], list[Image | str]]:
    """Two images that meet along batch dimensions join there as in a pointwise product."""
    slices = [
        Image(tuple(i.shape[k] for k in places), tuple(i.axes[k] for k in places), i.map, shift=i.shift)
        for i, places in zip((lhs, rhs), batch, strict=True)
    ]
    axes, _ = together(eqn, slices, slices[0].shape)
    return axes, [lhs, rhs]


@rule("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor", params="axes out_sharding")
def reduction(eqn: Equation, image: Image) -> Image:
    found = _reduced(eqn, image, gone := tuple(eqn.params["axes"]))
    life = _life.reduced(eqn.name, image, gone)
    return replace(found, life=replace(life, base=found.name))


@rule("argmax argmin", params="axes index_dtype")
def arg_reduction(eqn: Equation, image: Image) -> Image:
    return _reduced(eqn, image, tuple(eqn.params["axes"]))


def _reduced(eqn: Equation, image: Image, gone: tuple[int, ...]) -> Image:
    if any(image.axes[k] is not None for k in gone):
        eqn.refuse("it reduces over an image axis", WHOLE)
    axes = [tag for k, tag in enumerate(image.axes) if k not in gone]
    return eqn.image(axes, [image], gone, [image.shape[k] for k in gone], moves=True)


@rule("cumsum cumprod cummax cummin cumlogsumexp", params="axis reverse")
def cumulation(eqn: Equation, image: Image) -> Image:
    if image.axes[eqn.params["axis"]] is not None:
        eqn.refuse("it accumulates along an image axis", WHOLE)
    return eqn.image(image.axes, [image], eqn.params, moves=True)


@rule("sort", params="dimension is_stable num_keys")
def sort(eqn: Equation, *values: Value) -> list[Image]:
    axes, names = together(eqn, values, eqn.shape)
    if axes[eqn.params["dimension"]] is not None:
        eqn.refuse("it sorts along an image axis", WHOLE)
    return [eqn.image(axes, names, eqn.params, out=k, moves=True) for k in range(len(values))]


TOP = "k axis is_stable aggregate_to_topk is_max_k recall_target reduction_dimension reduction_input_size_override"


@rule("top_k approx_top_k", params=TOP)
def top_k(eqn: Equation, image: Image) -> list[Image]:
    axis = eqn.params.get("axis", eqn.params.get("reduction_dimension", -1)) % len(image.shape)
    if image.axes[axis] is not None:
        eqn.refuse("it sorts along an image axis", WHOLE)
    return [eqn.image(image.axes, [image], eqn.params, image.shape[axis], out=k, moves=True) for k in range(2)]


@rule("reduce", params="computation dimensions jaxpr")
def general_reduction(eqn: Equation, *values: Value) -> list[Image]:
    count = len(values) // 2
    operands, starts = values[:count], values[count:]
    if any(isinstance(v, Image) for v in starts):
        eqn.refuse("a reduction starts from a value of the image", "Start from a constant.")
    tags, names = together(eqn, operands, operands[0].shape)
    gone = tuple(eqn.params["dimensions"])
    if any(tags[k] is not None for k in gone):
        eqn.refuse("it reduces over an image axis", WHOLE)
    key = (gone, [operands[0].shape[k] for k in gone], eqn.text("jaxpr"))
    names = [*names, *(v.identity() for v in starts if not isinstance(v, Image))]
    axes = [tag for k, tag in enumerate(tags) if k not in gone]
    return [eqn.image(axes, names, key, out=k) for k in range(count)]


@rule("fft", params="fft_lengths fft_type")
def fourier(eqn: Equation, image: Image) -> Image:
    rank = len(image.shape)
    if any(image.axes[k] is not None for k in range(rank - len(eqn.params["fft_lengths"]), rank)):
        eqn.refuse("it transforms along an image axis", WHOLE)
    return eqn.image(image.axes, [image], eqn.params["fft_lengths"], str(eqn.params["fft_type"]))
