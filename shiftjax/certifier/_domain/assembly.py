"""Arrays put together from pieces along an image axis. Pieces that show one map, each at its own place in it, are that
map again, whatever their number and however they were computed; what else lies beside them is a border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shiftjax.certifier._domain import attained as _life
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.values import DEAD, Image, Life

Run = tuple[int, int]


@dataclass(frozen=True)
class Piece:
    """An image as part of a larger array.

    Attributes:
        image: the whole array, were nothing else in it: the piece's map, exact at most where the piece lies.
        along: the axis.
        written: (start, stop) of the indices that the piece fills.
    """

    image: Image
    along: int
    written: Run

    @property
    def exact(self) -> Run:
        axis = self.image.axes[self.along]
        assert isinstance(axis, Axis)
        return axis.start, axis.stop

    @property
    def _rest(self) -> tuple[object, ...]:
        """All that two pieces of one map have in common."""
        axes = list(self.image.axes)
        axis = axes[self.along]
        assert isinstance(axis, Axis)
        axes[self.along] = replace(axis, start=0, stop=0)
        return self.image.map, dict(self.image.shift), tuple(axes)

    def continues(self, other: Piece) -> bool:
        """Whether both show one map, each at its own place in it."""
        return self._rest == other._rest


def place(image: Image, shape: Sequence[int], along: int, left: int) -> Piece:
    """`image` at the indices from `left` on of an array of this shape."""
    axes = list(image.axes)
    axis = axes[along]
    assert isinstance(axis, Axis)
    size = image.shape[along]
    axes[along] = domain.window(axis, shape[along], left=left)
    whole = image.elsewhere(shape, axes, {axis.image: -left * axis.stride}, _life.moved(image, axes))
    return Piece(whole, along, (left, left + size))


def together(pieces: Sequence[Piece]) -> Image:
    """The array that pieces of one map make, written in this order: exact on the longest run without a gap."""
    runs: list[Run] = []
    for piece in pieces:
        start, stop = piece.written
        runs = [part for a, b in runs for part in ((a, min(b, start)), (max(a, stop), b)) if part[0] < part[1]]
        runs.append(piece.exact)
    first, last = _longest(sorted(run for run in runs if run[0] < run[1]))
    image, along = pieces[0].image, pieces[0].along
    axes = list(image.axes)
    axis = axes[along]
    assert isinstance(axis, Axis)
    axes[along] = replace(axis, start=first, stop=last)
    return replace(image, axes=tuple(axes), life=_common([piece.image.life for piece in pieces]))


def _longest(runs: Sequence[Run]) -> Run:
    """The longest of ascending runs that do not overlap, once neighbours are one."""
    best = here = (0, 0)
    for start, stop in runs:
        here = (here[0] if here[1] == start else start, stop)
        best = max(best, here, key=lambda run: run[1] - run[0])
    return best


def _common(lives: Sequence[Life]) -> Life:
    first, *others = (replace(life, kin=()) for life in lives)
    known = (first.reach, first.leaves, first.gates, first.free, first.form, first.curve is None)
    same = all((o.reach, o.leaves, o.gates, o.free, o.form, o.curve is None) == known for o in others)
    return first if same or not others else DEAD
