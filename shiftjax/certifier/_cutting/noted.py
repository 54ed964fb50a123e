"""Intermediate values of a function, and which of them follow from its statistics alone.

A function with notes returns such values by name beside its outputs. Another library, which computes the tiles, takes
those that the statistics decide in place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._cutting.analysis import Analysis, analyse
from shiftjax.certifier._cutting.cut import Cut, inputs_of, kinds_of


class Noted:
    """Intermediate values of a function that follow from its statistics, for another program to use.

    Attributes:
        names: the names of these values.
        missing: "file:line" of statistics that the outputs depend on in other ways too; None where the function with
            notes has other statistics than the one that was cut.

    Args:
        cut: of the function.
        noting: the function with notes: for an image it gives `(outputs, {name: arrays})`.
    """

    def __init__(self, cut: Cut, noting: Callable[[Any], Any]) -> None:
        self._analysis = here = analyse(noting, jax.ShapeDtypeStruct(cut.shape, cut.dtype))
        outputs, notes = jax.tree_util.tree_unflatten(here.tree, here.flat.program.outputs)
        known = {name: note for name, note in notes.items() if jax.tree.leaves(note) and _constant(here, note)}
        self._notes: dict[str, Any] = known
        self.names: tuple[str, ...] = tuple(known)
        self.missing: tuple[str, ...] | None = None
        if kinds_of(here) == kinds_of(cut.own):
            atoms = set(jax.tree.leaves(list(known.values())))
            calls, _ = here.flat.needed(jax.tree.leaves(outputs), atoms.__contains__)
            taken = {result for call in calls for result in call.results}
            self.missing = tuple(one.source for one in here.statistics if one.result in taken)

    def values(self, fn: Callable[[Any], Any], statistics: Sequence[Any]) -> dict[str, Any]:
        """The values that the statistics decide, by name.

        Args:
            fn: the function that was cut.
            statistics: their values, in the order of the cut.
        """
        here = self._analysis
        given = {one.result: value for one, value in zip(here.statistics, statistics, strict=True)}
        atoms, tree = jax.tree.flatten(self._notes)
        return jax.tree.unflatten(tree, here.flat.run({**inputs_of(here, fn), **given}, atoms))


def _constant(here: Analysis, note: Any) -> bool:
    """Whether all of a note is derived from statistics, and not yet broadcast over the image."""
    return all(
        _jaxpr.literal(atom) is None and atom in here.found.derived and atom not in here.found.spread
        for atom in jax.tree.leaves(note)
    )
