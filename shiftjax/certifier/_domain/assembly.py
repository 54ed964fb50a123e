"""Arrays assembled from parts along an image axis.

Parts of one map, each at its own indices, are that map again, however many there are and however each was computed.
Anything else that lies beside them is a border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shiftjax.certifier._domain.axis import Axis, Run, longest_run, window
from shiftjax.certifier._domain.values import Image


@dataclass(frozen=True)
class Part:
    """An image as part of a larger array.

    Attributes:
        image: the larger array, were nothing else in it: the map of the part, exact at most where the part lies.
        along: the array axis.
        written: the indices that the part fills.
        exact: those of them that are exact.
    """

    image: Image
    along: int
    written: Run
    exact: Run

    @property
    def _map(self) -> tuple[object, ...]:
        """All that two parts of one map have in common."""
        image = self.image
        return image.map, dict(image.offset), _with_exact(image, self.along, (0, 0)).axes, image.detached

    def continues(self, other: Part) -> bool:
        """Whether both are parts of one map, each at its own indices."""
        return self._map == other._map


def part(image: Image, shape: Sequence[int], along: int, left: int) -> Part:
    """`image` at the indices from `left` on of an array of this shape."""
    axis = _axis(image, along)
    axes = list(image.axes)
    larger = axes[along] = window(axis, shape[along], left=left)
    shifted = image.shifted(shape, axes, {axis.image: -left * axis.stride})
    return Part(shifted, along, (left, left + image.shape[along]), (larger.start, larger.stop))


def border(beside: Part, written: Run) -> Part:
    """Anything that covers these indices, beside or above a part of an image; none of it is exact."""
    return Part(beside.image, beside.along, written, (0, 0))


def assemble(parts: Sequence[Part]) -> Image:
    """The array that parts of one map make, written in this order: exact on the longest run without a gap."""
    runs: list[Run] = []
    for one in parts:  # a later part overwrites what earlier ones wrote, also where it is not exact itself
        start, stop = one.written
        runs = [rest for a, b in runs for rest in ((a, min(b, start)), (max(a, stop), b)) if rest[0] < rest[1]]
        runs.append(one.exact)
    exact = longest_run(sorted(run for run in runs if run[0] < run[1]))
    return _with_exact(parts[0].image, parts[0].along, exact)


def _axis(image: Image, along: int) -> Axis:
    axis = image.axes[along]
    assert isinstance(axis, Axis)
    return axis


def _with_exact(image: Image, along: int, exact: Run) -> Image:
    axes = list(image.axes)
    axes[along] = replace(_axis(image, along), start=exact[0], stop=exact[1])
    return replace(image, axes=tuple(axes), zero=False)
