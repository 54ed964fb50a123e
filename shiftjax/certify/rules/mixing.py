"""Operations that mix a whole axis: contractions, reductions, sorts. Channels may be mixed, image axes may not."""

from __future__ import annotations

from collections.abc import Sequence

from shiftjax.certify import _reach
from shiftjax.certify._domain import Tag
from shiftjax.certify._values import Image, Reach, Value
from shiftjax.certify.rules._table import Equation, rule
from shiftjax.certify.rules.pointwise import lay, together

WHOLE = "Its output reads the whole tile, so tiles never equal the whole image; use a window of fixed size instead."


@rule("dot_general", params="dimension_numbers precision preferred_element_type out_sharding")
def contraction(eqn: Equation, lhs: Value, rhs: Value) -> Image:
    contract, batch = eqn.params["dimension_numbers"]
    key = (eqn.params["dimension_numbers"], eqn.params["precision"], eqn.params["preferred_element_type"])
    sides = [(lhs, contract[0], batch[0]), (rhs, contract[1], batch[1])]
    for side, contracted, _ in sides:
        if isinstance(side, Image) and any(side.axes[k] is not None for k in contracted):
            eqn.refuse("a product sums over an image axis", WHOLE)
    free: list[list[Tag]] = []
    for side, contracted, shared in sides:
        rest = [k for k in range(len(side.shape)) if k not in contracted and k not in shared]
        free.append([side.axes[k] if isinstance(side, Image) else None for k in rest])
    if isinstance(lhs, Image) and isinstance(rhs, Image):
        if any(tag is not None for tags in free for tag in tags):
            eqn.refuse("every pixel is multiplied with every other (attention)", WHOLE)
        shared_axes, names = _shared(eqn, lhs, rhs, batch)
        return eqn.image([*shared_axes, *free[0], *free[1]], names, key)
    image, constant, places, others = (lhs, rhs, *batch) if isinstance(lhs, Image) else (rhs, lhs, batch[1], batch[0])
    assert isinstance(image, Image) and not isinstance(constant, Image)
    tags = [image.axes[k] for k in places]
    name = lay(eqn, tags, constant, others)
    axes = [*tags, *free[0], *free[1]]
    reach = _reach.kernel(image, constant, axes, mixes=not any(tag is None for tag in tags))
    if any(tag is None for k, tag in enumerate(image.axes) if k not in places and k not in (contract[0] if image is lhs else contract[1])):
        reach = reach if image.reach is Reach.EACH else min(reach, Reach.SOME)
    names = [image, name] if image is lhs else [name, image]
    return eqn.image(axes, names, key, reach=reach, leaves=_reach.leaves([constant]))


def _shared(eqn: Equation, lhs: Image, rhs: Image, batch: tuple[Sequence[int], ...]) -> tuple[list[Tag], list[Image | str]]:
    """Two images that meet along batch dimensions join there as in a pointwise product."""
    slices = [
        Image(tuple(i.shape[k] for k in places), tuple(i.axes[k] for k in places), i.name)
        for i, places in zip((lhs, rhs), batch, strict=True)
    ]
    axes, _ = together(eqn, slices)
    return axes, [lhs, rhs]


@rule("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor", params="axes out_sharding")
def reduction(eqn: Equation, image: Image) -> Image:
    reach = image.reach if eqn.name in ("reduce_max_p", "reduce_max", "reduce_min") else Reach.NO
    return _reduced(eqn, image, tuple(eqn.params["axes"]), Reach.EACH if reach else Reach.NO)


@rule("argmax argmin", params="axes index_dtype")
def arg_reduction(eqn: Equation, image: Image) -> Image:
    return _reduced(eqn, image, tuple(eqn.params["axes"]), Reach.NO)


def _reduced(eqn: Equation, image: Image, gone: tuple[int, ...], reach: Reach) -> Image:
    if any(image.axes[k] is not None for k in gone):
        eqn.refuse("it reduces over an image axis", WHOLE)
    axes = [tag for k, tag in enumerate(image.axes) if k not in gone]
    return eqn.image(axes, [image], gone, [image.shape[k] for k in gone], reach=reach)


@rule("cumsum cumprod cummax cummin cumlogsumexp", params="axis reverse")
def cumulation(eqn: Equation, image: Image) -> Image:
    if image.axes[eqn.params["axis"]] is not None:
        eqn.refuse("it accumulates along an image axis", WHOLE)
    return eqn.image(image.axes, [image], eqn.params)


@rule("sort", params="dimension is_stable num_keys")
def sort(eqn: Equation, *values: Value) -> list[Image]:
    axes, names = together(eqn, values)
    if axes[eqn.params["dimension"]] is not None:
        eqn.refuse("it sorts along an image axis", WHOLE)
    return [eqn.image(axes, names, eqn.params, out=k) for k in range(len(values))]


@rule("top_k", params="k axis operand recall_target is_max_k")
def top_k(eqn: Equation, image: Image) -> list[Image]:
    axis = eqn.params.get("axis", -1) % len(image.shape)
    if image.axes[axis] is not None:
        eqn.refuse("it sorts along an image axis", WHOLE)
    return [eqn.image(image.axes, [image], eqn.params, image.shape[axis], out=k) for k in range(2)]
