"""Operations that mix a whole axis: contractions, reductions, sorts. Channels may be mixed, image axes may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from shiftjax.certifier._domain import offset as offsets
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.gathered import gathered
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.pattern import banded
from shiftjax.certifier._domain.tags import AxisTag, following, image_axes
from shiftjax.certifier._domain.values import Image, Resized, Value
from shiftjax.certifier._rules.pointwise import align_constant, join_operands
from shiftjax.certifier._rules.table import Equation, rule

WHOLE = "Its output reads the whole tile, so tiles never equal the whole image; use a window of fixed size instead."

FREEZE = (
    "If it is spread over the image again, as by a norm or squeeze-and-excite, measure it once over the whole image: "
    "`shiftjax.freeze_statistics(fn, image)`. Otherwise use a window of fixed size."
)
MEASURED = ("reduce_sum", "reduce_max", "reduce_min")
SOME = "Reduce over all of them: only such a statistic can be measured once, by `shiftjax.freeze_statistics`."


@rule("dot_general", named="dimension_numbers precision preferred_element_type", inert="out_sharding")
def contraction(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    """out[i, c] = sum_k a[i, k] w[k, c]: pointwise along the image if only channels are summed over."""
    contracted, batch = eqn.params["dimension_numbers"]
    free: list[list[AxisTag]] = []
    for side, summed, shared in ((lhs, contracted[0], batch[0]), (rhs, contracted[1], batch[1])):
        if isinstance(side, Image) and any(side.axes[k] is not None for k in summed):
            return _banded_product(eqn, lhs, rhs)
        rest = [k for k in range(len(side.shape)) if k not in summed and k not in shared]
        free.append([side.axes[k] if isinstance(side, Image) else None for k in rest])
    if isinstance(lhs, Image) and isinstance(rhs, Image):
        if any(tag is not None for tags in free for tag in tags):
            eqn.refuse("every pixel is multiplied with every other (attention)", WHOLE)
        return eqn.image([*_shared_axes(eqn, lhs, rhs, batch), *free[0], *free[1]], [lhs, rhs], moves=True)
    image, constant, own, others = (lhs, rhs, *batch) if isinstance(lhs, Image) else (rhs, lhs, batch[1], batch[0])
    assert isinstance(image, Image)
    assert not isinstance(constant, Image)
    tags = [image.axes[k] for k in own]
    aligned = align_constant(eqn, tags, constant, others)
    moving = image if aligned.uniform else image.with_fixed_offset()
    operands: list[Image | str] = [moving, aligned.name] if image is lhs else [aligned.name, moving]
    return eqn.image([*tags, *free[0], *free[1]], operands, moves=True)


def _banded_product(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    """out[j] = sum_i a[i] M[i, j] along the image, with a known matrix M whose columns move along with the image.

    Linear resizing is such a product: M[i + step, j + period] = M[i, j] away from the borders.
    """
    (left, right), batch = eqn.params["dimension_numbers"]
    image, matrix, summed, rows = (lhs, rhs, left, right) if isinstance(lhs, Image) else (rhs, lhs, right, left)
    assert isinstance(image, Image)
    tag = image.axes[summed[0]]
    plain = len(summed) == 1 and not any(batch) and len(matrix.shape) == 2
    if not isinstance(matrix, Known) or not plain or not isinstance(tag, Axis):
        eqn.refuse("a product sums over an image axis", WHOLE)
    pattern = banded(*matrix.columns(rows[0]), matrix.key)
    if pattern is None:
        eqn.refuse("a product along an image axis has a matrix that does not move along with the image", WHOLE)
    if pattern.error:
        eqn.record.approximations.append(
            f"the weights of the resizing at {eqn.source} are rounded, so that they repeat only to {pattern.error:.1e}"
        )
    if pattern.ends_error:
        eqn.record.border_approximations.append(
            f"the weights of the resizing at {eqn.source} are rounded at the border, to {pattern.ends_error:.1e}"
        )
    eqn.record.assumptions.append(pattern.assumption("weights", eqn.source))
    own, along = summed[0], tag.image
    turn = pattern.step * tag.stride
    here = image.offset.get(along, Fraction(0))
    whole = offsets.whole_steps({along: here}, {along: turn})
    rest = here - whole.get(along, Fraction(0))
    how = {k: v for k, v in eqn.named_parameters().items() if k != "dimension_numbers"}
    free = [k for k in range(len(image.axes)) if k != own]
    order = [*free, own] if image is lhs else [own, *free]
    before = image.resized
    if before is None or along in dict(before.bands):  # along one axis, the order counts
        own_ends = tuple((axis.image, axis.border) for axis in following(image.axes))
        before = Resized(image.map, (), tuple(range(len(order))), own_ends)
    band = (along, digest(pattern.name, str(rest), how, eqn.dtype))
    ends = dict(before.borders)
    resized = gathered(replace(tag, border=ends[along]), pattern)
    borders = tuple(sorted({**ends, along: resized.border}.items()))
    bands, layout = tuple(sorted([*before.bands, band])), tuple(before.layout[k] for k in order)
    after = Resized(before.map, bands, layout, borders)
    axes = [resized if k == own else image.axes[k] for k in order]
    result = eqn.image(axes, [image])
    others = {k: n for k, n in image.offset.items() if k != along}
    return replace(result, offset=offsets.plus(others, whole)).as_resized(after)


def _shared_axes(eqn: Equation, lhs: Image, rhs: Image, batch: tuple[Sequence[int], ...]) -> list[AxisTag]:
    """Two images that meet along batch dimensions join there as in a pointwise product."""
    slices = [
        replace(side, shape=tuple(side.shape[k] for k in shared), axes=tuple(side.axes[k] for k in shared))
        for side, shared in zip((lhs, rhs), batch, strict=True)
    ]
    return join_operands(eqn, slices, slices[0].shape)[0]


@rule(
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor", named="axes", inert="out_sharding"
)
@rule("argmax argmin", named="axes index_dtype")
def reduction(eqn: Equation, image: Image) -> Image:
    """out[i] = sum_c a[i, c], or maximum, or its index."""
    return _without_axes(eqn, image.axes, image.shape, [image], eqn.params["axes"])


def _without_axes(
    eqn: Equation,
    tags: Sequence[AxisTag],
    shape: Sequence[int],
    operands: Sequence[Image | str],
    reduced: Sequence[int],
    out: int = 0,
) -> Image:
    gone = image_axes(tags[k] for k in reduced)
    if gone:
        advice = SOME if len(gone) < len(image_axes(tags)) else FREEZE
        truth = eqn.name in ("reduce_and", "reduce_or") and eqn.call.in_dtypes[0] == "bool"
        eqn.refuse("it reduces over an image axis", advice if truth or eqn.name in MEASURED else WHOLE)
    axes = [tag for k, tag in enumerate(tags) if k not in reduced]
    return eqn.image(axes, operands, [shape[k] for k in reduced], out=out, moves=True)


@rule("cumsum cumprod cummax cummin cumlogsumexp", named="axis reverse")
def cumulation(eqn: Equation, image: Image) -> Image:
    """out[i, c] = sum of a[i, b] over b <= c."""
    if image.axes[eqn.params["axis"]] is not None:
        eqn.refuse("it accumulates along an image axis", WHOLE)
    return eqn.image(image.axes, [image], moves=True)


@rule("sort", named="dimension is_stable num_keys")
def sort(eqn: Equation, *values: Value) -> list[Image]:
    """out[i, :] = a[i, :] in order."""
    axes, operands = join_operands(eqn, values, eqn.shape)
    if axes[eqn.params["dimension"]] is not None:
        eqn.refuse("it sorts along an image axis", WHOLE)
    return [eqn.image(axes, operands, out=k, moves=True) for k in range(len(values))]


TOP = "k axis is_stable aggregate_to_topk is_max_k recall_target reduction_dimension reduction_input_size_override"


@rule("top_k approx_top_k", named=TOP)
def top_k(eqn: Equation, image: Image) -> list[Image]:
    """out[i, :] = the largest of a[i, :], and their indices."""
    axis = eqn.params.get("axis", eqn.params.get("reduction_dimension", -1)) % len(image.shape)
    if image.axes[axis] is not None:
        eqn.refuse("it sorts along an image axis", WHOLE)
    return [eqn.image(image.axes, [image], image.shape[axis], out=k, moves=True) for k in range(2)]


@rule("reduce", named="dimensions jaxpr", inert="computation")  # `jaxpr` is what `computation` computes
def general_reduction(eqn: Equation, *values: Value) -> list[Image]:
    """out[i] = the reduction of a[i, :], from a constant start, by a function of numbers alone."""
    count = len(values) // 2
    operands, starts = values[:count], values[count:]
    if any(isinstance(v, Image) for v in starts):
        eqn.refuse("a reduction starts from a value of the image", "Start from a constant.")
    shape = operands[0].shape
    tags, names = join_operands(eqn, operands, shape)
    names += [v.key() for v in starts if not isinstance(v, Image)]
    return [_without_axes(eqn, tags, shape, names, eqn.params["dimensions"], k) for k in range(count)]


@rule("fft", named="fft_lengths fft_type")
def fourier(eqn: Equation, image: Image) -> Image:
    """out[i, :] = the transform of a[i, :]."""
    rank = len(image.shape)
    if any(image.axes[k] is not None for k in range(rank - len(eqn.params["fft_lengths"]), rank)):
        eqn.refuse("it transforms along an image axis", WHOLE)
    return eqn.image(image.axes, [image], moves=True)
