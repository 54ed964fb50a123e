"""Checks of what `predict_volume` and `segment_volume` share."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from shiftjax._checks import fail, shown, switch
from shiftjax.tiling import TilePlan
from shiftjax.volume._sources.parts import reading_note
from shiftjax.volume._sources.source import Source
from shiftjax.volume._targets.new_target import NewTarget, as_new_target


def check_arguments(plan: Any, target: Any, **switches: Any) -> NewTarget:
    """The target, as all libraries read its path alike.

    Raises:
        ValueError: an argument of the wrong type.
    """
    if not isinstance(plan, TilePlan):
        fail("plan", "a plan from `plan_tiles`", shown(plan))
    for name, value in switches.items():
        switch(name, value)
    return as_new_target(target)


def fitting(source: Source, plan: TilePlan) -> Source:
    """The source as the plan's images: with z among their axes, or plane by plane.

    Raises:
        ValueError: a plan for other images.
    """
    source = source.for_network(len(plan.image_shape) - 2)
    shape, planned = (1, *source.space, source.channels), tuple(plan.image_shape)
    if planned != shape:
        mend = f"plan for {shape}, or name the axes of the source, now {source.axes!r}"
        if planned == (*shape[:-1], 1):
            mend = f"plan for {shape}, or choose one of the source's channels with `channel=`"
        fail("plan", f"a plan for images {shape}, as the source has them", f"one for {planned}", mend)
    return source


def announce(source: Source, plan: TilePlan, progress: bool) -> None:
    """Prints what a user should know of a source before it is read."""
    for note in (source.note(), reading_note(source, plan.tile_output)) if progress else ():
        with suppress(OSError, ValueError):  # a closed terminal stops no run
            if note and sys.stderr is not None:  # else it would go to the standard output
                print(note, file=sys.stderr, flush=True)


def check_verify(verify: Any) -> None:
    """Refuses what says nothing about looking again at what is finished."""
    if verify is not None and not isinstance(verify, bool):
        fail("verify", "True, False or None", shown(verify))
