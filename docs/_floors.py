"""Where the rooms of the house stand: floor by floor, in an order that lets few arrows cross, near to what they import.

This is the method of Sugiyama, Tagawa and Toda (1981) in small: an arrow that passes several floors has a place of its
own on each of them, the order on a floor follows that of its neighbours, and the places follow from the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

NARROWEST, MARGIN, GAP = 1000, 46, 16  # px: the page; beside the outermost rooms; between rooms
ROOM_WIDTHS, FEW = (126, 236), 4  # px: a room at least, and on a floor of few rooms
PAD, HEAD, LINE, CHIP = 10, 22, 13, 28  # px: inside a room its border, title, a line of text, the inner rooms
SWEEPS, MOVES = 40, 60  # more change nothing

Link = tuple[int, str, str]  # from this floor, from this box, to that box one floor down


@dataclass(frozen=True)
class Room:
    """A package: `inner` are its inner packages with their numbers of files, `below` the packages it imports from."""

    name: str
    sentence: str
    files: int
    floor: int
    inner: tuple[tuple[str, int], ...]
    below: frozenset[str]

    @property
    def count(self) -> str:
        """Its files in words."""
        return f"{self.files} file{'s' * (self.files != 1)}"


@dataclass
class Box:
    """What stands on a floor: a room, or (`room` is None) the line of a room above that passes between rooms."""

    name: str
    width: int
    room: Room | None = None
    lines: tuple[str, ...] = ()
    x: float = 0  # of its middle

    @property
    def height(self) -> int:
        """In pixels."""
        inner = bool(self.room and self.room.inner)
        return PAD + HEAD + LINE * len(self.lines) + CHIP * inner + PAD


def reduced(below: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    """Only the arrows that do not follow from others: no third room leads to their ends."""

    def reach(name: str) -> frozenset[str]:
        return below[name].union(*map(reach, below[name]))

    return {name: sorted(ends - frozenset().union(*map(reach, ends))) for name, ends in below.items()}


class Floors:
    """Rooms arranged: `boxes` of every floor from left to right, lowest floor first, and `links` between floors."""

    def __init__(self, rooms: Mapping[str, Room], arrows: Mapping[str, Sequence[str]]) -> None:
        top = max(room.floor for room in rooms.values())
        self.boxes = [[_box(room, rooms) for room in rooms.values() if room.floor == f] for f in range(1, top + 1)]
        for name, ends in arrows.items():
            lowest = min((rooms[end].floor for end in ends), default=top)
            for f in range(lowest + 1, rooms[name].floor):
                self.boxes[f - 1].append(Box(name, width=4))
        for boxes in self.boxes:
            boxes.sort(key=lambda box: box.name)
        self.links: list[Link] = [
            (f, box.name, end)
            for f in range(2, top + 1)
            for box in self.boxes[f - 1]
            for end in self._ends(f, box, arrows)
        ]
        self._order()
        for _ in range(MOVES):
            for f in [*range(1, top + 1), *range(top, 0, -1)]:
                self._place(f)
        for name in sorted(arrows):
            self._straighten(name, rooms[name].floor)

    @property
    def width(self) -> int:
        """Of the page, in pixels: wide enough for the fullest floor."""
        full = max(sum(box.width + GAP for box in boxes) - GAP for boxes in self.boxes)
        return max(NARROWEST, full + 2 * MARGIN)

    def box(self, f: int, name: str) -> Box:
        """The box of that name on a floor."""
        return next(box for box in self.boxes[f - 1] if box.name == name)

    def _ends(self, f: int, box: Box, arrows: Mapping[str, Sequence[str]]) -> Iterator[str]:
        for below in self.boxes[f - 2]:
            if below.name == box.name if below.room is None else below.name in arrows[box.name]:
                yield below.name

    def _order(self) -> None:
        """Few crossings: sweeps up and down by the neighbours' average, then exchanges that still help."""
        best, least = [list(boxes) for boxes in self.boxes], self._crossings()
        for sweep in range(SWEEPS):
            upwards = sweep % 2 == 0
            for f in range(len(self.boxes) - 1, 0, -1) if upwards else range(2, len(self.boxes) + 1):
                self._by_neighbours(f, f + 1 if upwards else f - 1)
            if (crossings := self._crossings()) < least:
                best, least = [list(boxes) for boxes in self.boxes], crossings
        self.boxes = best
        while any(self._exchange(boxes, i, j) for boxes in best for j in range(len(boxes)) for i in range(j)):
            pass

    def _crossings(self) -> tuple[int, int]:
        """How many links cross, then how far they run aside."""
        crossings, aside = 0, 0
        for f in range(2, len(self.boxes) + 1):
            above, below = _places(self.boxes[f - 1]), _places(self.boxes[f - 2])
            ends = [(above[a], below[b]) for level, a, b in self.links if level == f]
            crossings += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(ends) for c, d in ends[:k])
            aside += sum(abs(2 * a - len(above) - 2 * b + len(below)) for a, b in ends)
        return crossings, aside

    def _by_neighbours(self, f: int, other: int) -> None:
        """Orders floor `f` by where its neighbours on floor `other` stand on average."""
        there, here = _places(self.boxes[other - 1]), _places(self.boxes[f - 1])
        ends: dict[str, list[int]] = {name: [] for name in here}
        for level, a, b in self.links:
            if level == max(f, other):
                own, neighbour = (a, b) if other < f else (b, a)
                ends[own].append(there[neighbour])
        average = {name: sum(near) / len(near) if near else here[name] for name, near in ends.items()}
        self.boxes[f - 1].sort(key=lambda box: average[box.name])

    def _exchange(self, boxes: list[Box], i: int, j: int) -> bool:
        """Exchanges two boxes of a floor if that saves crossings; whether it did."""
        before = self._crossings()
        boxes[i], boxes[j] = boxes[j], boxes[i]
        if self._crossings() < before:
            return True
        boxes[i], boxes[j] = boxes[j], boxes[i]
        return False

    def _place(self, f: int) -> None:
        """Moves the boxes of a floor as near to their neighbours as their order allows."""
        boxes = self.boxes[f - 1]
        near: dict[str, list[float]] = {box.name: [] for box in boxes}
        for level, a, b in self.links:
            straight = 9 if a == b else 1  # a line goes straight down where it can
            if level == f:
                near[a] += [self.box(f - 1, b).x] * straight
            if level == f + 1:
                near[b] += [self.box(f + 1, a).x] * straight
        wish = [sum(xs) / len(xs) if xs else self.width / 2 for xs in near.values()]
        apart = [(a.width + b.width) / 2 + GAP for a, b in pairwise(boxes)]
        weights = [1 if box.room else 3 for box in boxes]
        low, high = MARGIN + boxes[0].width / 2, self.width - MARGIN - boxes[-1].width / 2
        for box, x in zip(boxes, spread(wish, apart, weights, low, high), strict=True):
            box.x = x

    def _straighten(self, name: str, start: int) -> None:
        """A line that passes several floors runs straight, under its own room if it can."""
        line = [(boxes, box) for boxes in self.boxes for box in boxes if box.name == name and box.room is None]
        for x in [self.box(start, name).x, *(box.x for _, box in reversed(line))]:
            if all(_fits(boxes, box, x) for boxes, box in line):
                for _, box in line:
                    box.x = x
                break


def spread(
    wish: Sequence[float], apart: Sequence[float], weights: Sequence[float], low: float, high: float
) -> list[float]:
    """The places nearest to those wished for (least squares) in the same order, at least so far apart, within bounds.

    Less the distances, this is regression by a rising sequence: neighbours out of order share their mean.
    """
    offsets = [sum(apart[:k]) for k in range(len(wish))]
    blocks: list[tuple[float, float, int]] = []  # sum of weight times wish, weight, count
    for x, offset, weight in zip(wish, offsets, weights, strict=True):
        block = (weight * (x - offset), float(weight), 1)
        while blocks and blocks[-1][0] / blocks[-1][1] >= block[0] / block[1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    rising = [total / weight for total, weight, count in blocks for _ in range(count)]
    most = max(low, high - offsets[-1])
    return [min(max(x, low), most) + offset for x, offset in zip(rising, offsets, strict=True)]


def chip_width(name: str, files: int) -> int:
    """Of an inner room, in pixels."""
    return 7 * len(f"{name} {files}") + 12


def _box(room: Room, rooms: Mapping[str, Room]) -> Box:
    few = sum(other.floor == room.floor for other in rooms.values()) <= FEW
    chips = sum(chip_width(*each) + 14 for each in room.inner) + 2 * PAD - 14
    title = round(2 * PAD + 8.5 * len(room.name) + 6.2 * len(room.count)) + 8
    width = max(ROOM_WIDTHS[few], chips, title)
    return Box(room.name, width, room, tuple(_wrapped(f"{room.sentence}.", width - 2 * PAD)))


def _wrapped(text: str, width: float) -> list[str]:
    lines = [""]
    for word in text.replace("`", "").split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _text_width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _text_width(text: str) -> float:
    """Of text of 11 px in a wide sans-serif font."""
    return sum(3.7 if c in "fijlrtI.,:;'()| " else 9.3 if c in "mwMWGOQ%@" else 6.5 for c in text)


def _places(boxes: Sequence[Box]) -> dict[str, int]:
    return {box.name: k for k, box in enumerate(boxes)}


def _fits(boxes: Sequence[Box], box: Box, x: float) -> bool:
    """Whether a box can move there without leaving its place in the order."""
    k = boxes.index(box)
    return all(other.x + other.width / 2 + GAP / 2 <= x for other in boxes[:k]) and all(
        x <= other.x - other.width / 2 - GAP / 2 for other in boxes[k + 1 :]
    )
