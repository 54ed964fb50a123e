"""Reshapes: image axes are split, merged with channels, or flattened.

A reshape keeps the order of the elements. Its old and new dimensions are cut into their finest common factors, each of
which is either a channel or runs along one image axis; every new dimension is made of some of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, Mismatch
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import AxisTag, Broken, Flattened
from shiftjax.certifier._domain.values import Image
from shiftjax.certifier._rules.table import Equation, rule

Factor = tuple[int, AxisTag]  # a size, and what runs along it


@rule("reshape", per_axis="new_sizes dimensions", inert="sharding", moves_axes_only=True)
def reshape(eqn: Equation, image: Image) -> Image:
    """(n) -> (n / f, f): out[i, c] = a[i f + c]; (n, f) -> (n f): out[i f + c] = a[i, c]."""
    if (order := eqn.params["dimensions"]) is not None:  # a transposition that comes first
        shape, tags = (tuple(old[k] for k in order) for old in (image.shape, image.axes))
        image = replace(image, shape=shape, axes=tags, map=digest("order", image.map, order))
    factors = [factor for n, tag in zip(image.shape, image.axes, strict=True) for factor in _factors(n, tag)]
    factors = [factor for factor in factors if factor != (1, None)]
    factors, pixels = _single_pixels(factors, eqn.shape)
    image, pixels = _reattached(image, eqn.shape, pixels)
    axes: dict[int, AxisTag] = dict(pixels)
    key: dict[int, object] = {k: [(None, 0)] for k, tag in pixels.items() if tag is not None}
    larger = [k for k, n in enumerate(eqn.shape) if n != 1]
    for old, new in _groups([n for n, _ in factors], [eqn.shape[k] for k in larger]):
        group, own = [factors[k] for k in old], [larger[k] for k in new]
        if all(tag is None for _, tag in group):
            key[own[0]] = tuple(n for n, _ in group)
            continue
        fine, dimensions = _refine(eqn, group, [eqn.shape[k] for k in own])
        axes.update((k, _merged([fine[i] for i in dimension])) for k, dimension in zip(own, dimensions, strict=True))
        owners = [next(k for k, dimension in enumerate(dimensions) if i in dimension) for i in range(len(fine))]
        key[own[0]] = [(None if tag is not None else n, owner) for (n, tag), owner in zip(fine, owners, strict=True)]
    entries = [key[k] for k in sorted(key)]
    return eqn.image([axes.get(k) for k in range(len(eqn.shape))], [image], entries, moves=True)


def _single_pixels(factors: list[Factor], shape: Sequence[int]) -> tuple[list[Factor], dict[int, AxisTag]]:
    """Image axes of one pixel, by the new dimension of size 1 that each becomes; and the other factors.

    One for which there is no such dimension stays a factor.
    """
    places = _matched([n for n, _ in factors], shape)
    rest = [factor for k, factor in enumerate(factors) if k not in places]
    return rest, {new: factors[old][1] for old, new in places.items()}


def _matched(old: Sequence[int], new: Sequence[int]) -> dict[int, int]:
    """For old dimensions of size 1, new ones with as many elements behind them, matched from the last on."""
    places: dict[int, int] = {}
    for behind in {prod(old[k + 1 :]) for k, n in enumerate(old) if n == 1}:
        before, after = (
            [k for k, n in enumerate(shape) if n == 1 and prod(shape[k + 1 :]) == behind] for shape in (old, new)
        )
        places.update(zip(reversed(before), reversed(after), strict=False))
    return places


def _reattached(image: Image, shape: Sequence[int], pixels: dict[int, AxisTag]) -> tuple[Image, dict[int, AxisTag]]:
    """A detached axis gets a new dimension of size 1: of those at the front the last, since a batch comes first."""
    behind = [prod(shape[k + 1 :]) for k in range(len(shape))]
    free = [k for k, n in enumerate(shape) if n == 1 and k not in pixels]
    for k, (n, tag) in enumerate(zip(image.shape, image.axes, strict=True)):  # channels of size 1 keep the first places
        if n == 1 and tag is None:
            own = next((j for j in free if behind[j] == prod(image.shape[k + 1 :])), None)
            free = [j for j in free if j != own]
    back = image.attach(0) if free else None
    if back is None:
        return image, pixels
    foremost = max(behind[k] for k in free)
    chosen = max(k for k in free if behind[k] == foremost)
    return back.without(0), {**pixels, chosen: back.axes[0]}


def _factors(size: int, tag: AxisTag) -> Sequence[Factor]:
    return tag.parts if isinstance(tag, Flattened) else ((size, tag),)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of old and new dimensions with equal products, as short as possible."""
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
        if after:
            groups.append((before, after))
        elif groups:
            groups[-1][0].extend(before)  # only dimensions of size 1 are left
        else:
            raise Mismatch("an image axis of one pixel is dropped by a reshape")
    return groups


def _refine(eqn: Equation, group: list[Factor], sizes: list[int]) -> tuple[list[Factor], list[list[int]]]:
    """Cuts the factors where the new dimensions begin, and tells which of them each new dimension is made of."""
    total = prod(sizes)
    cuts = {total // prod(sizes[: k + 1]) for k in range(len(sizes))}
    fine: list[Factor] = []
    left = total
    for size, tag in group:
        after = left // size
        inner = sorted((c for c in cuts if after < c < left), reverse=True)
        fine += _cut(eqn, size, tag, [left, *inner, after])
        left = after
    return fine, _assigned(fine, sizes)


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


def _assigned(fine: list[Factor], sizes: list[int]) -> list[list[int]]:
    """Which factors each new dimension is made of, in order."""
    dimensions: list[list[int]] = []
    i = 0
    for n in sizes:
        dimension: list[int] = []
        while prod(fine[k][0] for k in dimension) < n:
            dimension, i = [*dimension, i], i + 1
        dimensions.append(dimension)
    dimensions[-1] += range(i, len(fine))  # of one pixel each
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
