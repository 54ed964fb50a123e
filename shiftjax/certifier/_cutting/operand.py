"""The operand of a reduction over the whole image, laid out as an image `(batch, *space, channel)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.tags import AxisTag, Flattened
from shiftjax.certifier._domain.values import Image

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """How an operand becomes an image, at the size of one trace.

    Attributes:
        split: sizes of its axes, once flattened ones are taken apart.
        order: these axes in the order of an image: the batch axis if there is one, those of space, and the others.
        batch: number of images; 1 also where it has no axis for them.
        space: pixels of this layer, per axis.
        others: sizes of the other axes, which become channels.
        reduced: which of the others are reduced too.
    """

    split: Shape
    order: Shape
    batch: int
    space: Shape
    others: Shape
    reduced: tuple[bool, ...]

    def image(self, operand: Any) -> Any:
        """The operand as an image."""
        moved = operand.reshape(self.split).transpose(self.order)
        return moved.reshape(self.batch, *self.space, math.prod(self.others))

    @property
    def count(self) -> int:
        """How many numbers each result is reduced from."""
        return math.prod(self.space) * math.prod(n for n, gone in zip(self.others, self.reduced, strict=True) if gone)

    @property
    def form(self) -> tuple[Any, ...]:
        """The properties that are the same at every size."""
        return self.others, self.reduced


def layout(operand: Image, reduced: Sequence[int], batch: int) -> Layout | None:
    """How the operand of a reduction becomes an image; None where its batch axis is not the first.

    Args:
        operand: what is reduced, over all of its image axes.
        reduced: the axes over which.
        batch: images of the function's input.
    """
    parts: list[tuple[int, AxisTag, bool]] = []
    for k, (n, tag) in enumerate(zip(operand.shape, operand.axes, strict=True)):
        own = tag.parts if isinstance(tag, Flattened) else ((n, tag),)
        parts += [(size, axis, k in reduced) for size, axis in own]
    along = {tag.image: k for k, (_, tag, _) in enumerate(parts) if isinstance(tag, Axis)}
    space = [along[image] for image in sorted(along)]
    first = parts[0]
    lead = [0] if first[1] is None and first[0] == batch and not first[2] else []
    if not lead and batch != 1:
        return None
    others = [k for k in range(len(parts)) if k not in space and k not in lead]
    return Layout(
        split=tuple(n for n, _, _ in parts),
        order=(*lead, *space, *others),
        batch=batch,
        space=tuple(parts[k][0] for k in space),
        others=tuple(parts[k][0] for k in others),
        reduced=tuple(parts[k][2] for k in others),
    )
