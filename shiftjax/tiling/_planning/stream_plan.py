"""Strips that are streamed along one axis: how wide they are, and how long a step is.

A strip reads no halo along the streamed axis, except at its start. So the cheapest plan has the largest cross-section
that the memory allows, with steps just long enough that joining and copying at every step costs little beside the
computation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shiftjax.certifier import Certificate
from shiftjax.tiling._geometry.exact_window import borders, exact_throughout, windows
from shiftjax.tiling._planning.border_plan import between_borders
from shiftjax.tiling._planning.cheapest import (
    Candidates,
    Sizes,
    candidates,
    moderate,
    whole_periods,
    within_bytes,
    within_pixels,
)
from shiftjax.tiling._planning.legal_inputs import smallest_input
from shiftjax.tiling._planning.problem import Problem

STEP = {1: 4096, 2: 128}  # most pixels of a step, by the number of axes (else 8); whole periods, at least one
JOINED = (8, 1)  # pixels along the axis whose computation takes as long as what a step joins and copies: 2-D, 3-D


class Strips(NamedTuple):
    """What a step delivers, what a tile as wide as the strip reads, the certificate there, and what is not proved."""

    output: Sizes
    size: Sizes
    certificate: Certificate
    why: str


def over_padded_image(
    problem: Problem, axis: int, wish: Sizes | None, limit: int | None, start: tuple[Sizes, Certificate]
) -> Strips:
    """Strips over a padded image, the cheapest or those wished for.

    Args:
        problem: the function and its image.
        axis: of the stream, from 0.
        wish: image pixels that a step delivers, per axis; None for no wish.
        limit: bytes.
        start: a legal size and the certificate there.

    Raises:
        NotStreamable: the function cannot be streamed along this axis.
        ValueError: no strip fits in so many bytes.
    """
    size, certificate = start
    along = windows(certificate)
    period = _whole_steps(problem, axis, [window.period for window in along], start)
    if wish is None:
        space, overhead = problem.shape[1:-1], [window.overhead for window in along]
        output = _cheapest(problem, axis, limit, period, _across(space, period, overhead, axis), overhead[axis])
    else:
        output = whole_periods(wish, period, problem.shape[1:-1])
    return Strips(output, *smallest_input(problem.certificate, output, size, certificate), "")


def over_image_as_it_is(problem: Problem, axis: int, wish: Sizes | None, limit: int | None) -> Strips:
    """Strips over an image that is not padded.

    Raises:
        NotStreamable: the function cannot be streamed along this axis.
        ValueError: no strip fits in so many bytes, or the function does not take the image.
    """
    space = problem.shape[1:-1]
    whole = between_borders(problem, space, None).certificate
    ends = borders(whole)
    small = between_borders(problem, tuple(end.period for end in ends), None)
    along = None if exact_throughout(whole, axis) else space[axis]
    period = _whole_steps(problem, axis, [end.period for end in ends], (small.size, small.certificate), along)
    extent = [end.extent for end in ends]
    if wish is None:
        overhead = [end.before + end.after + (n - end.after) % end.period for end, n in zip(ends, space, strict=True)]
        across = _across(extent, period, overhead, axis, space)
        output = _cheapest(problem, axis, limit, period, across, overhead[axis], along)
    else:
        output = whole_periods(wish, period, extent)
    tiles = between_borders(problem, output, None)
    step = tuple(own if k == axis else n for k, (n, own) in enumerate(zip(tiles.step, output, strict=True)))
    return Strips(step, tiles.size, tiles.certificate, tiles.why)


def _whole_steps(
    problem: Problem, axis: int, period: Sequence[int], traced: tuple[Sizes, Certificate], whole: int | None = None
) -> tuple[int, ...]:
    """The period per axis; along the streamed one, that of all layers on the way to the outputs together."""
    stream = problem.stream(*traced, axis, whole)
    return tuple(math.lcm(p, stream.period) if k == axis else p for k, p in enumerate(period))


def _across(
    space: Sequence[int], period: Sequence[int], overhead: Sequence[int], axis: int, most: Sequence[int] | None = None
) -> Candidates:
    """The candidates for the cross-section: the tiles along the other axes."""
    sizes = (space, period, overhead, *(() if most is None else (most,)))
    others = [[n for k, n in enumerate(each) if k != axis] for each in sizes]
    if not others[0]:
        return Candidates(np.zeros((1, 0), np.int64), np.zeros((1, 0), np.int64))
    return candidates(*others)


def _cheapest(
    problem: Problem,
    axis: int,
    limit: int | None,
    period: Sequence[int],
    across: Candidates,
    overhead: int,
    whole: int | None = None,
) -> Sizes:
    """The cheapest strip that fits: what counts is the cross-section, and how often a step joins and copies."""
    largest = min(STEP.get(len(period), 8), problem.shape[1 + axis])
    steps = sorted({period[axis] * max(1, largest // part // period[axis]) for part in (1, 2, 4)})
    space = [n for k, n in enumerate(problem.shape[1:-1]) if k != axis]
    cost = (-(-np.array(space) // across.outputs) * across.inputs).prod(axis=1)
    order = np.argsort(np.concatenate([cost * (1 + JOINED[len(period) > 2] / step) for step in steps]), kind="stable")
    tiles = Candidates(
        *(
            np.concatenate([np.insert(each, axis, step + more, axis=1) for step in steps])[order]
            for each, more in ((across.outputs, 0), (across.inputs, overhead))
        )
    )
    if limit is None:
        return within_pixels(tiles, moderate(tiles, problem.shape[0]))

    def estimate(size: Sizes) -> int:
        traced = tuple(min(n, whole) if k == axis and whole else n for k, n in enumerate(size))
        return problem.strip_memory(traced, axis, size[axis] - overhead, whole)

    return within_bytes(tiles, estimate, problem.compiled.nbytes, limit)
