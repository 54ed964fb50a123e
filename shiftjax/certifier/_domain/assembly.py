"""Arrays assembled from parts along an image axis.

Parts of one map, each at its own indices, are that map again, however many there are and however each was computed.
Anything else that lies beside them is a border. A border that follows from the image's end next to it alone, such as
reflected pixels or a row of zeros, belongs to the one-sided windows (`start` and `stop`): at the left end it is the
same for every image that begins alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from shiftjax.certifier._domain import offset as offsets
from shiftjax.certifier._domain.axis import UNKNOWN, Axis, Border, End, Run, centre, longest_run, window
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import Broken, mapped
from shiftjax.certifier._domain.values import Constant, Image, Value

Piece = tuple[int, int | None, End]  # of a border: from where to where (None: beyond what is asked), and what it is


@dataclass(frozen=True)
class Part:
    """What fills some indices of a larger array.

    Attributes:
        image: the larger array, were nothing else in it: the map of the part, exact at most where the part lies; None
            for a border.
        along: the array axis.
        written: the indices that the part fills.
        exact: those of them that are exact.
        start: those of them from here on are as in an image that goes on to the left.
        stop: those of them before this one are as in an image that goes on to the right.
        border: the part as seen from the left and from the right end, in the larger array.
    """

    image: Image | None
    along: int
    written: Run
    exact: Run
    start: int
    stop: int
    border: Border

    @property
    def _map(self) -> tuple[object, ...]:
        """All that two parts of one map have in common."""
        image = self.image
        assert image is not None
        bare = _with_windows(image, self.along, replace(_axis(image, self.along), exact=(0, 0), start=0, stop=0))
        return image.map, dict(image.offset), bare.axes, image.detached

    def continues(self, other: Part) -> bool:
        """Whether both are parts of one map, each at its own indices."""
        return self._map == other._map

    def seen(self, hidden: Run) -> list[Part]:
        """What is left of it once something else is written to some indices."""
        (a, b), (start, stop) = self.written, hidden
        rest = [run for run in ((a, min(b, start)), (max(a, stop), b)) if run[0] < run[1]]
        return [replace(self, written=run, exact=_common(run, self.exact)) for run in rest]


def part(image: Image, shape: Sequence[int], along: int, left: int) -> Part:
    """`image` at the indices from `left` on of an array of this shape."""
    axis = _axis(image, along)
    axes = list(image.axes)
    larger = axes[along] = window(axis, shape[along], left=left)
    shifted = image.shifted(shape, axes, {axis.image: -left * axis.stride})
    written = left, left + image.shape[along]
    border = axis.border[0].placed(left), axis.border[1].placed(shape[along] - written[1])
    return Part(shifted, along, written, larger.exact, larger.start, larger.stop, border)


def laid(image: Image, along: int) -> list[Part]:
    """The parts of an array over which others are written: those that it was assembled from, or itself."""
    known = [one for one in image.parts if one.along == along]
    return known or [part(image, image.shape, along, 0)]


def unknown(along: int, written: Run) -> Part:
    """A part at these indices of which nothing is known."""
    return Part(None, along, written, (0, 0), written[1], written[0], UNKNOWN)


def beside(value: Value, main: Part, left: int) -> Part:
    """A border at the indices from `left` on, beside or above a part of an image."""
    if isinstance(value, Image):
        return _other_image(value, main, left)
    return _constant(value, main, left)


def _constant(value: Constant, main: Part, left: int) -> Part:
    """A constant that is uniform along all other image axes is the same beside any image."""
    image, along = main.image, main.along
    assert image is not None
    written = left, left + value.shape[along]
    others = [k for k in image.spatial if k != along]
    if not all(value.uniform(k) for k in others):
        return unknown(along, written)
    uniform = [*others, along] if value.uniform(along) else others
    end = End(digest("constant", value.key(dict.fromkeys(uniform, 1))))
    border = end.placed(left), end.placed(image.shape[along] - written[1])
    return Part(None, along, written, (0, 0), written[0], written[1], border)


def _other_image(image: Image, main_part: Part, left: int) -> Part:
    """Another map is known from the end at which it lies, if it was cut from the image there.

    Sound, because the border is that other map wherever the part beside it is exact, or one-sided, along the other
    image axes; its name says what the map does at their ends, and how much further along them it lies than the part.
    """
    main, along = main_part.image, main_part.along
    assert main is not None
    written = left, left + image.shape[along]
    axis = _read_along(image, along, _axis(main, along).image)
    covers = all(_covers(image.axes[k], main.axes[k]) for k in main.spatial if k != along)
    if axis is None or not covers or image.detached or main.detached or _from_the_other_end(axis, written, main_part):
        return unknown(along, written)
    elsewhere = [entry for entry in offsets.key(offsets.minus(image.offset, main.offset)) if entry[0] != axis.image]
    others = [_ends_beside(image, main, k) for k in main.spatial if k != along]
    if not all(end.name for border in others for end in border):
        return unknown(along, written)
    start, stop, (first, second) = left + axis.start, left + axis.stop, axis.border
    backwards = axis.stride * _axis(main, along).stride < 0
    if axis is not image.axes[along] or backwards:  # all of it is known, or nothing
        first, second = first.settled(), second.settled()  # index i of the part is not index i of what they say
        from_left, from_right = axis.stop == axis.size, axis.start == 0
        if backwards:  # its first index is the one that lies last in the image
            from_left, from_right, first, second = from_right, from_left, second, first
        start, stop = written[0] if from_right else written[1], written[1] if from_left else written[0]
    # What lies backwards is counted from its other end, so its length says which index is which.
    name = digest("beside", image.map, elsewhere, others, image.shape[along] if backwards else None)
    border = first.after(name).placed(left), second.after(name).placed(main.shape[along] - written[1])
    return Part(None, along, written, (0, 0), start, stop, border)


def _read_along(image: Image, along: int, direction: int) -> Axis | None:
    """What an array reads of an image axis: along one of its own, or at one pixel that was spread over that."""
    tag = image.axes[along]
    if isinstance(tag, Broken):
        return tag.pixel
    pixels = (one for one in image.axes if isinstance(one, Axis) and one.image == direction and one.size == 1)
    return next(pixels, None) if tag is None else tag if isinstance(tag, Axis) else None


def _ends_beside(image: Image, main: Image, k: int) -> Border:
    """The ends of an image along an axis, placed as seen from the main part's, whose shifts the result has."""
    (left, right), (first, second) = _axis(image, k).border, _axis(main, k).border
    return left.placed(-first.shift), right.placed(-second.shift)


def _covers(tag: object, main: object) -> bool:
    """Whether an axis follows the image as the main part's does, at least wherever that one does."""
    if not isinstance(tag, Axis) or not isinstance(main, Axis):
        return False
    same = tag.image == main.image and tag.stride == main.stride and main.period % tag.period == 0
    inside = tag.exact[0] <= main.exact[0] and main.exact[1] <= tag.exact[1]
    return same and inside and tag.start <= main.start and main.stop <= tag.stop


def _from_the_other_end(axis: Axis, written: Run, part: Part) -> bool:
    """Whether pixels lie on one side of a part and were cut from the image's other side (circular padding)."""
    assert part.image is not None
    main = _axis(part.image, part.along)
    own, others = centre(axis), centre(main)
    if own is None or others is None:
        return True
    middle = Fraction(sum(part.written) - 1, 2)
    placed = Fraction(sum(written) - 1, 2) - middle
    read = own + axis.stride * Fraction(axis.size - 1, 2) - (others + main.stride * middle)
    return placed * read * main.stride <= 0


def assemble(parts: Sequence[Part]) -> Image:
    """The array that parts make, written in this order. Those with an image are of one map, which is the result's.

    It is exact on the longest run without a gap. Its one-sided windows reach from either end as far as every part is
    known from that end.
    """
    seen: list[Part] = []
    for one in parts:  # a later part overwrites what earlier ones wrote, also where it is not exact itself
        seen = [rest for before in seen for rest in before.seen(one.written)]
        seen.append(one)
    seen = _merged(sorted(seen, key=lambda one: one.written))
    exact = longest_run([one.exact for one in seen if one.exact[0] < one.exact[1]])
    own = [one for one in seen if one.image is not None]
    main = next((one for one in [*seen, *parts] if one.image is not None), None)  # a hidden one only where all are
    assert main is not None
    assert main.image is not None
    along, axis = main.along, _axis(main.image, main.along)
    anchor = exact if exact[0] < exact[1] else max((one.written for one in own), key=_length, default=(0, 0))
    from_left, stop = _known_from_left(seen, anchor[1])
    backwards = [_mirrored(one, axis.size) for one in reversed(seen)]
    from_right, start = _known_from_left(backwards, axis.size - anchor[0])
    at = main.image.offset.get(axis.image, Fraction(0))
    left = _end(seen, stop, at, from_left)
    right = _end(backwards, start, at + axis.stride * axis.size - axis.pixels, from_right)
    windows = replace(axis, exact=exact, start=axis.size - start, stop=stop, border=(left, right))
    return replace(_as_far_as_parts_agree(_with_windows(main.image, along, windows), along, seen), parts=tuple(seen))


def _merged(seen: Sequence[Part]) -> list[Part]:
    """The parts in order, with neighbours that are exact throughout joined: only ends that both have are asked for."""
    merged: list[Part] = []
    for one in seen:
        last, at = merged[-1] if merged else None, one.written[0]
        if last and last.image and one.image and last.exact == last.written and one.exact == one.written:
            run = last.written[0], one.written[1]
            if last.written[1] == at and last.image.borders_beside(one.along) == one.image.borders_beside(one.along):
                same = last.border == one.border and last.stop >= at >= one.start
                border = last.border if same else UNKNOWN
                merged[-1] = replace(last, written=run, exact=run, stop=one.stop, border=border)
                continue
        merged.append(one)
    return merged


def _end(seen: Sequence[Part], known: int, at: Fraction, used: Sequence[Piece]) -> End:
    """The left end, of so many known indices: that of the parts if all are of one array, however it was cut.

    Else it is named by its borders, with what is exact beside them.
    """
    own = [one for one in seen if one.written[0] < known]
    end = own[0].border[0] if own else UNKNOWN[0]
    if end.name and all(
        one.image is not None and one.border[0] == end and min(known, one.written[1]) <= one.stop for one in own
    ):
        return end
    return End(digest("assembled", str(at), used))


def _known_from_left(seen: Sequence[Part], end: int) -> tuple[list[Piece], int]:
    """How far an array is known from the left end, and by which parts, each with its place.

    Exact indices need no name. What lies from `end` on is described from the other end.
    """
    used: list[Piece] = []
    known = 0
    for one in seen:
        first, last = one.written
        if first != known:
            break
        begins, ends = one.exact if one.exact[0] < one.exact[1] else (last, last)
        reach = min(one.stop, last) if one.border[0].name else first
        if begins > first and reach > first:  # what comes before its exact indices, as zeros that a layer has padded
            known = min(reach, begins)
            used.append((first, begins if known == begins and begins < end else None, one.border[0]))
        if known < begins:
            break
        known = ends
        if reach > known:
            used.append((known, last if reach == last and last < end else None, one.border[0]))
            known = reach
        if known < last or known >= end:
            break
    return _as_one(used), known


def _as_one(pieces: Sequence[Piece]) -> list[Piece]:
    """The same, with pieces of one array that follow each other joined: where it was cut does not matter."""
    joined: list[Piece] = []
    for first, last, end in pieces:
        before = joined[-1] if joined else None
        if before is not None and before[1:] == (first, end):
            joined[-1] = (before[0], last, end)
        else:
            joined.append((first, last, end))
    return joined


def _mirrored(one: Part, size: int) -> Part:
    """A part as it is seen from the other end; of its image nothing but the ends is asked there."""
    return replace(
        one,
        written=(size - one.written[1], size - one.written[0]),
        exact=(size - one.exact[1], size - one.exact[0]),
        start=size - one.stop,
        stop=size - one.start,
        border=(one.border[1], one.border[0]),
    )


def _as_far_as_parts_agree(image: Image, along: int, parts: Sequence[Part]) -> Image:
    """The image, with nothing said of the ends of other axes where its parts do not treat them alike.

    What lies there changes along this axis, at places that no larger image keeps. If nothing is known of a part, it may
    change along the other axes.
    """
    differ = len({one.image.borders_beside(one.along) for one in parts if one.image is not None}) > 1
    axes = list(image.axes)
    if differ or any(one.image is None and one.border == UNKNOWN for one in parts):
        axes = [tag if k == along else mapped(tag, Axis.without_borders) for k, tag in enumerate(axes)]
    detached = tuple((loop, axis.without_borders() if differ else axis) for loop, axis in image.detached)
    return replace(image, axes=tuple(axes), detached=detached)


def _common(one: Run, two: Run) -> Run:
    start, stop = max(one[0], two[0]), min(one[1], two[1])
    return (start, stop) if start < stop else (0, 0)


def _length(run: Run) -> int:
    return run[1] - run[0]


def _axis(image: Image, along: int) -> Axis:
    axis = image.axes[along]
    assert isinstance(axis, Axis)
    return axis


def _with_windows(image: Image, along: int, axis: Axis) -> Image:
    axes = list(image.axes)
    axes[along] = axis
    return replace(image, axes=tuple(axes), zero=False, finite=False)
