"""Reshapes: image axes are split, merged with channels, or flattened.

A reshape keeps the order of the elements. Its old and new dimensions are cut into the finest common factors, each of
which is either a channel or runs along one image axis; a new dimension is then made of some of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, AxisTag, Broken, Flattened
from shiftjax.certifier._domain.values import Image, digest
from shiftjax.certifier._rules.table import Equation, rule

Factor = tuple[int, AxisTag]  # a size, and what runs along it


@rule("reshape", per_axis="new_sizes dimensions", inert="sharding", moves_axes_only=True)
def reshape(eqn: Equation, image: Image) -> Image:
    """(n) -> (n / f, f): out[i, c] = a[i f + c]; (n, f) -> (n f): out[i f + c] = a[i, c]."""
    if (order := eqn.params["dimensions"]) is not None:  # a transposition that comes first
        shape, tags = (tuple(old[k] for k in order) for old in (image.shape, image.axes))
        image = replace(image, shape=shape, axes=tags, map=digest("order", image.map, order))
    factors = [_factors(n, tag) for n, tag in zip(image.shape, image.axes, strict=True)]
    axes: list[AxisTag] = []
    key: list[object] = []
    for old, new in _groups(image.shape, eqn.shape):
        group = [factor for k in old for factor in factors[k]]
        if all(tag is None for _, tag in group):
            axes += [None] * len(new)
            key.append(tuple(n for n, _ in group))
            continue
        fine, dimensions = _refine(eqn, group, [eqn.shape[k] for k in new])
        axes += [_merged([fine[i] for i in dimension]) for dimension in dimensions]
        owners = [next(k for k, dimension in enumerate(dimensions) if i in dimension) for i in range(len(fine))]
        key.append([(None if tag is not None else n, owner) for (n, tag), owner in zip(fine, owners, strict=True)])
    return eqn.image(axes, [image], key, moves=True)


def _factors(size: int, tag: AxisTag) -> Sequence[Factor]:
    return tag.parts if isinstance(tag, Flattened) else ((size, tag),)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of old and new dimensions with equal products, as short as possible; ones join the run before them."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        before, after = [], []
        if i < len(old):
            before, i = [i], i + 1
        if j < len(new):
            after, j = [j], j + 1
        while (a := prod(old[k] for k in before)) != (b := prod(new[k] for k in after)):
            if (a < b or j == len(new)) and i < len(old):
                before, i = [*before, i], i + 1
            else:
                after, j = [*after, j], j + 1
        groups.append((before, after))
    return groups


def _refine(eqn: Equation, group: list[Factor], sizes: list[int]) -> tuple[list[Factor], list[list[int]]]:
    """Cuts the factors where the new dimensions begin, and tells which of them each new dimension is made of."""
    group = [factor for factor in group if factor[0] != 1 or factor[1] is not None]
    total = prod(sizes)
    cuts = {total // prod(sizes[: k + 1]) for k in range(len(sizes))}
    fine: list[Factor] = []
    left = total
    for size, tag in group:
        after = left // size
        inner = sorted((c for c in cuts if after < c < left), reverse=True)
        fine += _cut(eqn, size, tag, [left, *inner, after])
        left = after
    return fine, _assigned(eqn, fine, sizes)


def _cut(eqn: Equation, size: int, tag: AxisTag, cuts: list[int]) -> list[Factor]:
    """One factor cut into several: the slowest keeps the image axis, the others become channels."""
    if any(a % b for a, b in pairwise(cuts)):
        eqn.refuse("an image axis is cut and joined at sizes that do not divide", "Reshape to multiples of its size.")
    sizes = [a // b for a, b in pairwise(cuts)]
    if len(sizes) == 1:
        return [(size, tag)]
    if tag is None:
        return [(n, None) for n in sizes]
    if not isinstance(tag, Axis):
        assert isinstance(tag, Broken)
        raise tag.why
    return [(sizes[0], domain.split(tag, size, size // sizes[0])), *((n, None) for n in sizes[1:])]


def _assigned(eqn: Equation, fine: list[Factor], sizes: list[int]) -> list[list[int]]:
    """Which factors each new dimension is made of, in order."""
    dimensions: list[list[int]] = []
    i = 0
    # Image axes of one pixel keep a dimension of their own where there are as many new dimensions of size 1.
    ones_match = sizes.count(1) == sum(n == 1 for n, _ in fine)
    for n in sizes:
        dimension: list[int] = []
        if ones_match and n == 1 and i < len(fine) and fine[i][0] == 1:
            dimension, i = [i], i + 1
        while prod(fine[k][0] for k in dimension) < n:
            dimension, i = [*dimension, i], i + 1
        dimensions.append(dimension)
    unassigned = [k for k in range(len(fine)) if not any(k in dimension for dimension in dimensions)]
    ones = [k for k, n in enumerate(sizes) if n == 1]
    if len(unassigned) > 1 or (unassigned and len(ones) != 1):
        eqn.refuse("an image axis of one pixel is moved by a reshape", "Certify with a larger image.")
    if unassigned:
        dimensions[ones[0]] = unassigned
    return dimensions


def _merged(factors: list[Factor]) -> AxisTag:
    """One new dimension out of its factors, slowest first."""
    tags = [tag for _, tag in factors if tag is not None]
    if not tags:
        return None
    for tag in tags:
        if isinstance(tag, Broken) and len(factors) > 1:
            raise tag.why
    first = factors[0][1]
    if len(factors) == 1:
        return first
    if len(tags) == 1 and isinstance(first, Axis):
        return domain.merge(first, prod(n for n, _ in factors[1:]))
    return Flattened(tuple((n, tag) for n, tag in factors if tag is None or isinstance(tag, Axis)))
