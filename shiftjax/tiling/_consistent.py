"""Whether the entries of a plan that was read fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from shiftjax.tiling._geometry.exact_window import borders, windows
from shiftjax.tiling._padding import PADS

if TYPE_CHECKING:
    from shiftjax.tiling._plan import TilePlan


def _fits_in_windows(plan: TilePlan) -> bool:
    return all(n <= window.width for n, window in zip(plan.tile_output, windows(plan.certificate), strict=True))


def _fits_between_borders(plan: TilePlan) -> bool:
    """Whether every tile lies at phase 0, and delivers only what its border windows allow."""
    known = borders(plan.certificate)
    sizes = zip(plan.axes, known, strict=True)
    # A stream of which the whole image was proved has steps along its axis, and is in one piece all the same.
    in_steps = plan.stream if plan.certificate.shape == plan.image_shape else None
    one_piece = all(along.count == 1 for k, along in enumerate(plan.axes) if k != in_steps)
    return (one_piece or all(border.covered for border in known)) and all(
        along.step % border.period == 0
        and along.tile <= along.image
        and (along.image - along.tile) % border.period == 0
        and (along.count == 1 or along.before + along.step <= along.tile - border.after)
        and (along.count > 1 or along.tile == along.image)
        for k, (along, border) in enumerate(sizes)
        if k != plan.stream
    )


def _fits_as_stream(plan: TilePlan) -> bool:
    """Whether there is such an axis, and its steps are whole periods; the function decides the rest."""
    axis = plan.stream
    if axis is None:
        return plan.leads == ()
    return (
        type(axis) is int
        and 0 <= axis < len(plan.tile_output)
        and all(type(lead) is int for lead in plan.leads)
        and len(plan.leads) == len(plan.certificate.outputs)
        and plan.tile_output[axis] % plan.period[axis] == 0
        and not plan.batchwise
        and (plan.pad is not None or _unpadded(plan, axis))
    )


def _unpadded(plan: TilePlan, axis: int) -> bool:
    """Whether the image may be streamed as it is: whole periods longer than what was proved, its ends included."""
    further = plan.image_shape[1 + axis] - plan.certificate.shape[1 + axis]
    along = borders(plan.certificate)[axis]
    return further >= 0 and further % along.period == 0 and (further == 0 or along.covered)


def consistent(plan: TilePlan) -> bool:
    """Whether `plan_tiles` could have made this plan; any other might have seams and claim to have none."""
    image, tile = plan.image_shape, plan.certificate.shape
    counts = (*image, *plan.tile_output, plan.batch_size, 1 if plan.memory is None else plan.memory)
    return (
        all(type(n) is int and n > 0 for n in counts)
        and (len(image), image[0], image[-1]) == (len(tile), tile[0], tile[-1])
        and (plan.pad in PADS or plan.pad is None)
        and _fits_as_stream(plan)
        and isinstance(plan.unstreamed, str)
        and (_fits_between_borders(plan) if plan.pad is None else _fits_in_windows(plan))
        and all(jnp.dtype(output.dtype).name == output.dtype for output in plan.outputs)
        and isinstance(plan.why, str)
        and (plan.in_phase or not plan.equals_whole)
        and isinstance(plan.batchwise, bool)
        and (plan.batchwise or plan.batch_size == 1)
    )
