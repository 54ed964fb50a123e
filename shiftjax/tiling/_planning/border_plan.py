"""Tiles of an image that is not padded: the outer ones touch its border, and all have one input size.

A tile at the image's left end gives the image's own output before its `stop`, one at the right end from its `start` on,
and an inner one in between. This holds if the function is the same map for tile and image, treats the ends of both
alike, and every tile begins at a multiple of the period. The last tile has to end where the image ends. So the sizes of
tile and image differ by whole periods; then each tile may begin where it should, and the last ones as far right as
possible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import Undivided, fail, told
from shiftjax.certifier import Certificate, CertificationError
from shiftjax.tiling._geometry.exact_window import Borders, LayoutError, borders
from shiftjax.tiling._planning.cheapest import PIXELS, Sizes, candidates, whole_periods
from shiftjax.tiling._planning.problem import Problem
from shiftjax.tiling._words import times

LARGER = 16  # tile sizes that are tried, a period apart, until the function is the same map as for the image
NEAREST = 64  # pixels that are added or taken off to find a size that the function takes


class Tiles(NamedTuple):
    """Image pixels from one tile to the next, input pixels, the certificate there, and what is not proved."""

    step: Sizes
    size: Sizes
    certificate: Certificate
    why: str


def between_borders(problem: Problem, wish: Sizes | None, limit: int | None) -> Tiles:
    """The cheapest tiles, or those wished for; one tile where the image is no larger.

    Raises:
        CertificationError: the function cannot be tiled.
        ValueError: it does not take the image, or treats the border of a tile otherwise than that of the image.
    """
    space = problem.shape[1:-1]
    whole = _whole(problem, space)
    ends = borders(whole)
    period, extent = [end.period for end in ends], [end.extent for end in ends]
    overhead = [end.before + end.after + (n - end.after) % end.period for end, n in zip(ends, space, strict=True)]
    if wish is None:
        step = problem.cheapest(candidates(extent, period, overhead, space), limit)
    else:
        step = whole_periods(wish, period, extent)
    tiles = _tiles(problem, whole, step)
    if tiles is not None:
        return tiles
    wished = wish is not None and all(w >= n for w, n in zip(wish, space, strict=True))
    if limit is None and math.prod(space) > PIXELS and not wished:  # too large to be one tile unasked
        unknown = [k for k, end in enumerate(ends) if not end.known]
        along = f" along axis {unknown[0] + 1}" if unknown else ""
        found = f"None for a function whose output at the image's border{along} is not proved to be that of a tile"
        fail("pad", '"reflect", "edge" or "constant"', found, "or allow one tile for all by `memory_bytes`", Undivided)
    return _one_tile(whole)


def _whole(problem: Problem, space: Sizes) -> Certificate:
    """The certificate of the image as it is."""
    try:
        whole = problem.certificate(space)
        borders(whole)
        return whole
    except (CertificationError, LayoutError):
        raise
    except Exception as error:  # whatever the function raises where it does not take a size
        nearest = list(islice(_taken(problem, space), 2))
        sizes = " or ".join(times(size) for size in nearest)
        mend = f"cut or pad the image to {sizes} px, or let `pad` do it" if nearest else "let `pad` continue the image"
        found = f"{times(space)} px, for which it raises {told(error)}"
        fail("image_shape", "a size that the function takes, as nothing is padded", found, mend)


def _taken(problem: Problem, space: Sizes) -> Iterator[Sizes]:
    """The nearest sizes below and above that the function takes, all axes moved alike."""
    for sign in (-1, 1):
        for by in range(1, NEAREST):
            size = tuple(n + sign * by for n in space)
            try:
                if min(size) > 0:
                    borders(problem.certificate(size))
                    yield size
                    break
            except Exception:  # not this one
                continue


def _tiles(problem: Problem, whole: Certificate, step: Sizes) -> Tiles | None:
    """Tiles of this step that are smaller than the image and of the same map; None if there are none."""
    space, ends, one = problem.shape[1:-1], borders(whole), _one_tile(whole)
    for more in range(LARGER):
        size = tuple(_input(end, n, along, more) for end, n, along in zip(ends, space, step, strict=True))
        if size == space:
            return None
        steps = tuple(
            all_of_it if n == m else along for along, all_of_it, n, m in zip(step, one.step, size, space, strict=True)
        )
        try:
            certificate = problem.certificate(size)
            parts = borders(certificate)
            fit = all(part.covered for part in parts) and all(map(_fits, parts, ends, steps))
        except Exception:  # the function does not take this size
            continue
        if fit and certificate.same_map(whole, borders=True):
            rounded = (*certificate.approximations, *certificate.border_approximations)
            return Tiles(steps, size, certificate, "; ".join(rounded))
    return None


def _input(end: Borders, image: int, step: int, more: int) -> int:
    """Input pixels of a tile, whole periods fewer than the image has; as many where a tile would be no smaller."""
    least = end.before + step + end.after + more * end.period
    if ceil_div(end.extent, step) == 1:
        return image
    return min(image, image - (image - least) // end.period * end.period if least < image else image)


def _fits(small: Borders, large: Borders, step: int) -> bool:
    """Whether a tile delivers a whole step between its borders, and the image has borders of the same width."""
    if small.size == large.size:
        return True
    alike = (small.period, small.before, small.after, small.strides) == (
        large.period,
        large.before,
        large.after,
        large.strides,
    )
    more = large.size - small.size
    longer = all((n - m) * stride == more for n, m, stride in zip(large.sizes, small.sizes, small.strides, strict=True))
    return alike and longer and small.before + step + small.after <= small.size


def _one_tile(whole: Certificate) -> Tiles:
    """The whole image as one tile, whatever the function does at its border."""
    step = tuple(ceil_div(end.extent, end.period) * end.period for end in borders(whole))
    return Tiles(step, whole.shape[1:-1], whole, "")
