"""Operations that move axes about: broadcast, transpose, reshape, concatenate, reverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from shiftjax.certify import _domain as domain
from shiftjax.certify import _life
from shiftjax.certify._domain import Axis, Flat, Tag, Void
from shiftjax.certify._refusal import CertificationError
from shiftjax.certify._values import Image, Value, digest
from shiftjax.certify.rules._table import Equation, rule, split_operands
from shiftjax.certify.rules.pointwise import SPREAD, together

Piece = tuple[int, Tag]


def void(eqn: Equation, tag: Tag, reason: str, advice: str) -> Void:
    """An axis that only a concatenation may bury; any other use of it raises this refusal."""
    (image,) = domain.images([tag])
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
    return eqn.image(axes, [image], tuple(places), life=_life.moved(image, axes))


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
    return eqn.image(axes, [image], tuple(order), life=_life.moved(image, axes))


@rule("squeeze", params="dimensions", void=True)
def squeeze(eqn: Equation, image: Image) -> Image:
    gone = {d % len(image.shape) for d in eqn.params["dimensions"]}
    if any(image.axes[k] is not None for k in gone):
        eqn.refuse("an image axis of one pixel is dropped", "Keep the image axis, or leave it out of `spatial_axes`.")
    axes = [tag for k, tag in enumerate(image.axes) if k not in gone]
    return eqn.image(axes, [image], tuple(sorted(gone)), life=_life.moved(image, axes))


@rule("reshape", params="new_sizes dimensions sharding", void=True)
def reshape(eqn: Equation, image: Image) -> Image:
    if (order := eqn.params["dimensions"]) is not None:  # a transposition that comes first
        shape, tags = (tuple(old[k] for k in order) for old in (image.shape, image.axes))
        image = replace(image, shape=shape, axes=tags, name=digest("order", image.name, order))
    pieces = [list(_pieces(n, tag)) for n, tag in zip(image.shape, image.axes, strict=True)]
    axes: list[Tag] = []
    key: list[object] = []
    inner: list[int] = []
    merged = False
    for old, new in _groups(image.shape, eqn.shape):
        group = [piece for k in old for piece in pieces[k]]
        if all(tag is None for _, tag in group):
            axes += [None] * len(new)
            key.append(tuple(n for n, _ in group))
            continue
        fine, into = _refine(eqn, group, [eqn.shape[k] for k in new])
        axes += [_gathered(eqn, [fine[i] for i in part]) for part in into]
        key.append([(None if tag is not None else n, _owner(into, i)) for i, (n, tag) in enumerate(fine)])
        merged |= any(len(part) > 1 for part in into)
        if len(fine) > len([n for n, tag in group if n != 1 or tag is not None]):
            inner += [k for k in new if axes[k] is None and eqn.shape[k] > 1]
    life = _life.parted(image, axes, inner) if inner else _life.moved(image, axes, every=merged)
    return eqn.image(axes, [image], key, life=_life.DEAD if inner and merged else life)


def _pieces(size: int, tag: Tag) -> Sequence[Piece]:
    return tag.pieces if isinstance(tag, Flat) else ((size, tag),)


def _owner(into: list[list[int]], piece: int) -> int:
    return next(k for k, part in enumerate(into) if piece in part)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of old and new dimensions with equal products, as short as possible; ones join the run before them."""
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        here, there = [], []
        if i < len(old):
            here, i = [i], i + 1
        if j < len(new):
            there, j = [j], j + 1
        while (a := prod(old[k] for k in here)) != (b := prod(new[k] for k in there)):
            if (a < b or j == len(new)) and i < len(old):
                here, i = [*here, i], i + 1
            else:
                there, j = [*there, j], j + 1
        found.append((here, there))
    return found


def _refine(eqn: Equation, group: list[Piece], sizes: list[int]) -> tuple[list[Piece], list[list[int]]]:
    """Splits the pieces at the cuts of the new dimensions, and tells which pieces each new dimension takes."""
    group = [piece for piece in group if piece[0] != 1 or piece[1] is not None]
    total = prod(sizes)
    cuts = {total // prod(sizes[: k + 1]) for k in range(len(sizes))}
    fine: list[Piece] = []
    left = total
    for size, tag in group:
        after = left // size
        inner = sorted((c for c in cuts if after < c < left), reverse=True)
        fine += _parted(eqn, size, tag, [left, *inner, after])
        left = after
    return fine, _assigned(eqn, fine, sizes)


def _parted(eqn: Equation, size: int, tag: Tag, cuts: list[int]) -> list[Piece]:
    """One piece cut in several: the slowest keeps the image axis, the others become channels."""
    if any(a % b for a, b in pairwise(cuts)):
        eqn.refuse("an image axis is cut and joined at sizes that do not divide", "Reshape to multiples of its size.")
    sizes = [a // b for a, b in pairwise(cuts)]
    if len(sizes) == 1:
        return [(size, tag)]
    if tag is None:
        return [(n, None) for n in sizes]
    if not isinstance(tag, Axis):
        assert isinstance(tag, Void)
        raise tag.why
    return [(sizes[0], domain.split(tag, size, size // sizes[0])), *((n, None) for n in sizes[1:])]


def _assigned(eqn: Equation, fine: list[Piece], sizes: list[int]) -> list[list[int]]:
    """Which pieces each new dimension takes, in order."""
    into: list[list[int]] = []
    i = 0
    for n in sizes:
        part: list[int] = []
        while prod(fine[k][0] for k in part) < n:
            part, i = [*part, i], i + 1
        into.append(part)
    waiting = [k for k in range(len(fine)) if not any(k in part for part in into)]
    ones = [k for k, n in enumerate(sizes) if n == 1]
    if len(waiting) > 1 or (waiting and len(ones) != 1):
        eqn.refuse("an image axis of one pixel is moved by a reshape", "Certify with a larger image.")
    if waiting:
        into[ones[0]] = waiting
    return into


def _gathered(eqn: Equation, pieces: list[Piece]) -> Tag:
    """One new dimension out of its pieces, slowest first."""
    tags = [tag for _, tag in pieces if tag is not None]
    if not tags:
        return None
    for tag in tags:
        if isinstance(tag, Void) and len(pieces) > 1:
            raise tag.why
    first = pieces[0][1]
    if len(pieces) == 1:
        return first
    if len(tags) == 1 and isinstance(first, Axis):
        return domain.merge(first, prod(n for n, _ in pieces[1:]))
    return Flat(tuple((n, tag) for n, tag in pieces if tag is None or isinstance(tag, Axis)))


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
    return eqn.image(axes, names, along, life=_life.stacked(values, axes))


def _border(eqn: Equation, values: Sequence[Value], along: int) -> Image:
    """Along an image axis: the longest piece of the image goes on, what is put beside it is a border, not exact."""
    longest = max(
        (k for k, v in enumerate(values) if isinstance(v, Image) and isinstance(v.axes[along], Axis)),
        key=lambda k: values[k].shape[along],
        default=None,
    )
    carrier = values[longest] if longest is not None else values[0]
    if longest is None or not isinstance(carrier, Image) or carrier.void:
        raise next(v.void.why for v in values if isinstance(v, Image) and v.void)
    for other in values:
        if isinstance(other, Image) and domain.images(other.axes) != domain.images(carrier.axes):
            eqn.refuse("two arrays meet whose axes run along different image axes", "Transpose one of them first.")
    left = sum(v.shape[along] for v in values[:longest])
    axes = list(carrier.axes)
    tag = axes[along]
    assert isinstance(tag, Axis)
    axes[along] = domain.window(tag, eqn.shape[along], left=left)
    return eqn.image(axes, [carrier], along, left, life=_life.moved(carrier, axes))


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
    along = eqn.params["axis"]
    starts = [sum(eqn.params["sizes"][:k]) for k in range(len(eqn.params["sizes"]))]
    found = []
    for k, start in enumerate(starts):
        axes = list(image.axes)
        tag = axes[along]
        if tag is not None:
            if not isinstance(tag, Axis):
                eqn.refuse("flattened image axes are split", "Reshape them back to one axis each first.")
            axes[along] = domain.window(tag, eqn.params["sizes"][k], left=-start)
        life = _life.moved(image, axes, every=True)
        found.append(eqn.image(axes, [image], along, start, life=life, out=k))
    return found


@rule("stack", params="axis")
def stack(eqn: Equation, *values: Value) -> Image:
    along = eqn.params["axis"] % len(eqn.shape)
    axes, names = together(eqn, values, tuple(n for k, n in enumerate(eqn.shape) if k != along))
    life = _life.stacked(values, axes)
    axes.insert(along, None)
    return eqn.image(axes, names, along, life=life)


@rule("unstack", params="axis")
def unstack(eqn: Equation, image: Image) -> list[Image]:
    along = eqn.params["axis"] % len(image.shape)
    if image.axes[along] is not None:
        eqn.refuse("an image axis is unstacked", "Keep the image axis.")
    axes = [tag for k, tag in enumerate(image.axes) if k != along]
    life = _life.moved(image, axes, every=True)
    return [eqn.image(axes, [image], along, life=life, out=k) for k in range(len(eqn.call.out_shapes))]


@rule("tile", params="reps")
def tile(eqn: Equation, image: Image) -> Image:
    reps = eqn.params["reps"]
    if any(tag is not None and n != 1 for tag, n in zip(image.axes, reps, strict=True)):
        eqn.refuse("the image is repeated side by side", "Repeat along channels only.")
    return eqn.image(image.axes, [image], tuple(reps), life=_life.moved(image, image.axes))
