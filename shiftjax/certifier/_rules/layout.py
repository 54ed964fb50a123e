"""Operations that move axes about: broadcast, transpose, concatenate, reverse."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from shiftjax.certifier._domain import assembly as _pieces
from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, Tag, Void
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules.pointwise import SPREAD, together
from shiftjax.certifier._rules.table import Equation, rule, split_operands


def void(eqn: Equation, tag: Tag, reason: str, advice: str) -> Void:
    """An axis that only a concatenation may bury; any other use of it raises this refusal."""
    image, *others = domain.images([tag])
    if others:
        eqn.refuse(reason, advice)
    try:
        eqn.refuse(reason, advice)
    except CertificationError as why:
        return Void(image, why)


@rule("broadcast_in_dim", params="shape broadcast_dimensions sharding", void=True)
def broadcast(eqn: Equation, image: Image, *sizes: Value) -> Image:
    places = eqn.params["broadcast_dimensions"]
    axes: list[Tag] = [None] * len(eqn.shape)
    for k, (place, tag) in enumerate(zip(places, image.axes, strict=True)):
        grows = image.shape[k] != eqn.shape[place]
        axes[place] = _stretched(eqn, tag) if grows and tag is not None else tag
    return eqn.image(axes, [image], tuple(places), life=_life.moved(image, axes), moves=True)


def _stretched(eqn: Equation, tag: Tag) -> Tag:
    return void(
        eqn,
        tag,
        "an image axis cut to one pixel is spread over the image again",
        SPREAD,
    )


@rule("transpose", params="permutation", void=True)
def transpose(eqn: Equation, image: Image) -> Image:
    order = eqn.params["permutation"]
    axes = [image.axes[k] for k in order]
    return eqn.image(axes, [image], tuple(order), life=_life.moved(image, axes), moves=True)


@rule("squeeze", params="dimensions", void=True)
def squeeze(eqn: Equation, image: Image) -> Image:
    gone = {d % len(image.shape) for d in eqn.params["dimensions"]}
    if any(image.axes[k] is not None for k in gone):
        eqn.refuse("an image axis of one pixel is dropped", "Keep the image axis, or leave it out of `spatial_axes`.")
    axes = [tag for k, tag in enumerate(image.axes) if k not in gone]
    return eqn.image(axes, [image], tuple(sorted(gone)), life=_life.moved(image, axes), moves=True)


@rule("concatenate", params="dimension", void=True)
def concatenate(eqn: Equation, *values: Value) -> Image:
    along = eqn.params["dimension"]
    values = tuple(v for v in values if v.shape[along])
    images, _ = split_operands(values)
    if any(image.axes[along] is not None for image in images):
        return _border(eqn, values, along)
    for image in images:
        if image.void:
            raise image.void.why
    axes, names = together(eqn, values, eqn.shape, loose=[along])
    return eqn.image(axes, names, along, life=_life.stacked(values, axes), moves=True)


def _border(eqn: Equation, values: Sequence[Value], along: int) -> Image:
    """Along an image axis: the longest piece of the image goes on, with those that continue it; what else is put
    beside it is a border, not exact.
    """
    lefts = accumulate((v.shape[along] for v in values[:-1]), initial=0)
    pieces = [
        _pieces.place(v, eqn.shape, along, left)
        for v, left in zip(values, lefts, strict=True)
        if isinstance(v, Image) and not v.void and isinstance(v.axes[along], Axis)
    ]
    if not pieces:
        if why := next((v.void.why for v in values if isinstance(v, Image) and v.void), None):
            raise why
        eqn.refuse("flattened image axes are put end to end", "Reshape them back to one axis each first.")
    longest = max(pieces, key=lambda piece: piece.written[1] - piece.written[0])
    for other in values:
        if isinstance(other, Image) and domain.images(other.axes) != domain.images(longest.image.axes):
            eqn.refuse("two arrays meet whose axes run along different image axes", "Transpose one of them first.")
    return _pieces.together([piece for piece in pieces if piece.continues(longest)])


@rule("rev", params="dimensions", void=True)
def reverse(eqn: Equation, image: Image) -> Image:
    axes = list(image.axes)
    for k in eqn.params["dimensions"]:
        if axes[k] is not None:
            axes[k] = void(
                eqn, axes[k], "the image is mirrored", "A mirrored image moves against the shift; keep its direction."
            )
    return eqn.image(axes, [image], tuple(eqn.params["dimensions"]), life=_life.moved(image, axes))


@rule("split", params="sizes axis")
def split(eqn: Equation, image: Image) -> list[Image]:
    along, sizes = eqn.params["axis"], eqn.params["sizes"]
    tag = image.axes[along]
    if tag is not None and not isinstance(tag, Axis):
        eqn.refuse("flattened image axes are split", "Reshape them back to one axis each first.")
    found = []
    for k, start in enumerate(accumulate(sizes[:-1], initial=0)):
        axes = list(image.axes)
        if isinstance(tag, Axis):
            axes[along] = domain.window(tag, sizes[k], left=-start)
            by = {tag.image: start * tag.stride}
            found.append(image.elsewhere(eqn.call.out_shapes[k], axes, by, _life.moved(image, axes)))
        else:
            life = _life.moved(image, axes, every=True)
            found.append(eqn.image(axes, [image], along, start, life=life, out=k, moves=True))
    return found


@rule("stack", params="axis")
def stack(eqn: Equation, *values: Value) -> Image:
    along = eqn.params["axis"] % len(eqn.shape)
    axes, names = together(eqn, values, tuple(n for k, n in enumerate(eqn.shape) if k != along))
    life = _life.stacked(values, axes)
    axes.insert(along, None)
    return eqn.image(axes, names, along, life=life, moves=True)


@rule("unstack", params="axis")
def unstack(eqn: Equation, image: Image) -> list[Image]:
    along = eqn.params["axis"] % len(image.shape)
    if image.axes[along] is not None:
        eqn.refuse("an image axis is unstacked", "Keep the image axis.")
    axes = [tag for k, tag in enumerate(image.axes) if k != along]
    life = _life.moved(image, axes, every=True)
    return [eqn.image(axes, [image], along, life=life, out=k, moves=True) for k in range(len(eqn.call.out_shapes))]


@rule("tile", params="reps")
def tile(eqn: Equation, image: Image) -> Image:
    reps = eqn.params["reps"]
    if any(tag is not None and n != 1 for tag, n in zip(image.axes, reps, strict=True)):
        eqn.refuse("the image is repeated side by side", "Repeat along channels only.")
    return eqn.image(image.axes, [image], tuple(reps), life=_life.moved(image, image.axes), moves=True)
