"""A plan in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp

from shiftjax.tiling._words import in_bytes, times

if TYPE_CHECKING:
    from shiftjax.tiling._plan import TilePlan


def explained(plan: TilePlan) -> str:
    """What is computed, what happens at the border, what it costs, and whether it equals the whole."""
    memory = "" if plan.memory is None else f" They take {in_bytes(plan.memory)} at a time."
    return "\n".join(
        [
            *(_tiles(plan, memory) if plan.stream is None else _strips(plan, plan.stream, memory)),
            f"the period is {times(plan.period)} px, so tile origins "
            + ("share one phase." if plan.in_phase else "differ in phase."),
            f"What a tile reads is a multiple of the period{_residues(plan)}.",
            *_border(plan),
            f"Every output pixel costs {plan.redundancy:.2f} input pixels; the result takes {_size(plan)}.",
            *([f"The image is not streamed: {plan.unstreamed}."] if plan.unstreamed else []),
            "Stitching equals the whole image in one piece, exactly."
            if plan.equals_whole
            else f"Stitching differs from the whole image in one piece: {plan.why}.",
        ]
    )


def _tiles(plan: TilePlan, memory: str) -> list[str]:
    """What is computed at a time, and how often."""
    count = math.prod(plan.grid)
    tiles = f"{count} {'tiles' if count > 1 else 'tile'} ({times(plan.grid)})"
    return [
        f"{tiles} over an image of {times(plan.image_shape[1:-1])} px, {plan.batch_size} per call.{memory}",
        f"Each reads {times(plan.tile_input)} px of the image, keeps {times(plan.tile_output)} px of output;",
    ]


def _strips(plan: TilePlan, axis: int, memory: str) -> list[str]:
    """The same for strips."""
    count, steps = math.prod(plan.grid) // plan.grid[axis], plan.grid[axis] + plan.filling
    return [
        f"{count} {'strips' if count > 1 else 'strip'} along spatial axis {axis} of an image of "
        f"{times(plan.image_shape[1:-1])} px, each in {steps} steps, of which {plan.filling} at its beginning "
        f"give nothing yet.{memory}",
        f"A step reads {times(plan.tile_input)} px of the image, gives {times(plan.tile_output)} px of output, and "
        "keeps what the next one reads of every layer, so that nothing is computed twice along a strip;",
    ]


def _residues(plan: TilePlan) -> str:
    """The pixels of a tile beyond whole periods, if there are any."""
    beyond = [n % p for n, p in zip(plan.tile_input, plan.period, strict=True)]
    return f", and {times(beyond)} px more" if any(beyond) else ""


def _border(plan: TilePlan) -> list[str]:
    """What happens at the image's border, and the sizes of outputs that do not have the image's."""
    others = [output for output in plan.outputs if output.size != plan.image_shape[1:-1]]
    lines = [
        f"Output {output.name or 'of the function'} has {times(output.size)} px, one for {times(output.stride)} px of "
        "the image."
        for output in others
    ]
    if plan.pad is None:
        return ["Nothing is padded: the outer tiles touch the image's border.", *lines]
    widths = ", ".join(f"{before} and {after}" for before, after in plan.pad_width[1:-1])
    return [f"The image is padded ({plan.pad}) by {widths} px before and after, per axis.", *lines]


def _size(plan: TilePlan) -> str:
    each = (math.prod(output.size) * output.channels * jnp.dtype(output.dtype).itemsize for output in plan.outputs)
    return f"{in_bytes(plan.image_shape[0] * sum(each))} uncompressed"
