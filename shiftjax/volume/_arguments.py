"""Checks of what `predict_volume` and `segment_volume` share."""

from __future__ import annotations

from typing import Any

from shiftjax._checks import fail, one_of
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._storage.uri import check_place


def check_arguments(plan: Any, target: Any, *, zarr_format: Any, storage_options: Any, **switches: Any) -> str:
    """The target's name, as all libraries read it alike.

    Raises:
        ValueError: an argument of another kind, or a switch that is neither True nor False.
    """
    if not isinstance(plan, TilePlan):
        fail("plan", "a plan from `plan_tiles`", repr(plan))
    for name, value in switches.items():
        if not isinstance(value, bool):
            fail(name, "True or False", repr(value))
    if zarr_format is not None:
        one_of("zarr_format", zarr_format, (2, 3))
    return check_place("target", target, storage_options)
