"""Reshapes: image axes are split, merged with channels, or flattened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, Flat, Tag, Void
from shiftjax.certifier._domain.values import Image, digest
from shiftjax.certifier._rules.table import Equation, rule

Piece = tuple[int, Tag]  # size, and the image axis that runs along it


@rule("reshape", params="new_sizes dimensions sharding", void=True)
def reshape(eqn: Equation, image: Image) -> Image:
    if (order := eqn.params["dimensions"]) is not None:  # a transposition that comes first
        shape, tags = (tuple(old[k] for k in order) for old in (image.shape, image.axes))
        image = replace(image, shape=shape, axes=tags, map=digest("order", image.map, order))
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
    return eqn.image(axes, [image], key, life=_life.DEAD if inner and merged else life, moves=True)


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
    single = sizes.count(1) == sum(n == 1 for n, _ in fine)  # then pieces of one pixel keep dimensions of their own
    for n in sizes:
        part: list[int] = []
        if single and n == 1 and i < len(fine) and fine[i][0] == 1:
            part, i = [i], i + 1
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
