"""Checks of what `predict_volume` and `segment_volume` share."""

from __future__ import annotations

from typing import Any

from shiftjax._checks import fail
from shiftjax.tiling import TilePlan
from shiftjax.volume._storage.new_target import NewTarget, as_new_target


def check_arguments(plan: Any, target: Any, **switches: Any) -> NewTarget:
    """The target, as all libraries read its path alike.

    Raises:
        ValueError: an argument of the wrong type.
    """
    if not isinstance(plan, TilePlan):
        fail("plan", "a plan from `plan_tiles`", repr(plan))
    for name, value in switches.items():
        if not isinstance(value, bool):
            fail(name, "True or False", repr(value))
    return as_new_target(target)


def check_verify(verify: Any) -> None:
    """Refuses what says nothing about looking again at what is finished."""
    if verify is not None and not isinstance(verify, bool):
        fail("verify", "True, False or None", repr(verify))
