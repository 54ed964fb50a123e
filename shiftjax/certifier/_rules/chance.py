"""Operations whose results do not follow from their operands alone, wherever in a program they are.

A loop over constants is computed once, to know its values. What draws a number in it, asks the machine or has effects
may give something else when the network runs.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._jaxpr import Call

CHANCE = frozenset({"rng_uniform", "pure_callback"})  # every call may give something else
# Or may be something else on another machine, alike for all tiles: `devices` are of one platform.
DEPENDENT = CHANCE | {"platform_index", "rng_bit_generator"}


def runs_any(call: Call, names: Container[str]) -> bool:
    """Whether an equation is an operation of one of these names, or runs one at any depth."""
    return call.name in names or any(runs_any(inner, names) for inner in _inside(call))


def has_effects(call: Call) -> bool:
    """Whether an equation has effects, or runs one that has; a print, which gives no results, does not count."""
    inside = list(_inside(call))
    return any(map(has_effects, inside)) if inside else bool(call.effects and call.results)


def _inside(call: Call) -> Iterator[Call]:
    for program in _jaxpr.programs(call.params):
        yield from _jaxpr.program(program).calls
