"""The house as SVG, without dependencies: roof, floors with their rooms, arrows between them, and the foundation.

All arrows of one room leave it as one line, which runs down between the floors like the line of a metro map and
branches there. Everything is in whole pixels, so that the same imports give the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple
from xml.sax.saxutils import escape

from _floors import CHIP, HEAD, LINE, PAD, Box, Floors, Room, chip_width, reduced, spread

ROOF, BAND, FOUNDATION, FOOT = 96, 14, 50, 28  # px: the heights of roof, what a floor has beyond rooms, helpers, legend
LANE, CLEAR = 10, 18  # px: from one line to the next beside it; from a line to a floor
PORT, CORNER = 14, 7  # px: from one arrowhead to the next; radius
COLOURS = ("#3b6ea8", "#b5582b", "#3f7f5f", "#8a4a86", "#9a7a1c", "#4f5d75", "#a13d4f")
INK, PALE, GREY, PAPER, WALL = "#1f2733", "#5d6776", "#8b94a1", "#ffffff", "#f4f1ea"
SANS = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
WELCOME = "import shiftjax as sj: the public names of the rooms below.  python -m shiftjax: the top floor."
HELPERS = "helpers at the root: any room may use them, so no arrows are drawn"
LEGEND = (
    "An arrow says: imports from. Arrows that follow from others are left out. Dashed rooms are private; "
    "inner rooms are named with their files."
)


class Line(NamedTuple):
    """What a room, or a line passing a floor, sends down from `x`: to rooms or lines of the next floor, at their x."""

    name: str
    x: int
    ends: list[tuple[str, int]]


def draw(rooms: Mapping[str, Room], foundation: Sequence[str]) -> str:
    """The picture of these rooms, standing on the helpers of these names."""
    return Picture(rooms, foundation).svg()


class Picture:
    """Heights and lines of the arranged rooms, and the SVG of it all."""

    def __init__(self, rooms: Mapping[str, Room], foundation: Sequence[str]) -> None:
        arrows = reduced({name: room.below for name, room in rooms.items()})
        self.floors, self.foundation = Floors(rooms, arrows), foundation
        self.width, count = self.floors.width, len(self.floors.boxes)
        self.lines = {f: self._lines(f) for f in range(2, count + 1)}
        busy = [box.name for boxes in reversed(self.floors.boxes) for box in boxes if box.room and arrows[box.name]]
        self.colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(busy)}
        self.heights = [max(box.height for box in boxes) for boxes in self.floors.boxes]
        self.tops, y = [0] * count, ROOF + BAND
        for f in range(count, 0, -1):
            self.tops[f - 1] = y
            between = 2 * CLEAR + LANE * (len(self.lines[f]) - 1) if f > 1 else 0
            y += self.heights[f - 1] + 2 * BAND + between
        self.ground = y - BAND

    def _lines(self, f: int) -> list[Line]:
        """What runs from floor `f` to the next, in the order of lanes, from the top, in which it crosses least."""
        links = [(a, b) for level, a, b in self.floors.links if level == f]
        starts = {box.name: round(box.x) for box in self.floors.boxes[f - 1]}
        lines = {a: Line(a, starts[a], []) for a in starts if any(a == name for name, _ in links)}
        for box in self.floors.boxes[f - 2]:
            names = sorted((a for a, b in links if b == box.name), key=lambda a: (starts[a], a))
            for a, x in zip(names, _ports(box, [starts[a] for a in names]), strict=True):
                lines[a].ends.append((box.name, x))
        return min(map(list, permutations(lines.values())), key=_lane_crossings)

    def svg(self) -> str:
        """The whole picture."""
        height = self.ground + FOUNDATION + FOOT
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" width="{self.width}" '
            f'height="{height}" font-family="{SANS}" role="img">',
            "<title>The floors of shiftjax</title>",
            "<desc>Rooms are packages; each imports from floors below it only.</desc>",
            _rect(0, 0, self.width, height, PAPER),
            *self._roof(),
            *self._walls(),
            *(part for f in self.lines for lane in range(len(self.lines[f])) for part in self._arrows(f, lane)),
            *(part for boxes in reversed(self.floors.boxes) for box in boxes for part in self._room(box)),
            _rect(6, self.ground, self.width - 12, FOUNDATION, INK, rx=4),
            _text(self.width / 2, self.ground + 20, "   ".join(self.foundation), 13, PAPER, "middle", mono=True),
            _text(self.width / 2, self.ground + 37, HELPERS, 11, "#c9ced6", "middle"),
            _text(self.width / 2, height - 9, LEGEND, 11, PALE, "middle"),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _roof(self) -> list[str]:
        middle, eaves = self.width // 2, ROOF - 8
        return [
            f'<path d="M{middle} 6 L{self.width - 6} {eaves} H6 Z" fill="{WALL}" stroke="{INK}" stroke-width="1.5" '
            'stroke-linejoin="round"/>',
            _text(middle, eaves - 38, "shiftjax", 22, INK, "middle", mono=True, bold=True),
            _text(middle, eaves - 16, WELCOME, 12, PALE, "middle"),
        ]

    def _walls(self) -> list[str]:
        parts = []
        for f, (top, height) in enumerate(zip(self.tops, self.heights, strict=True), start=1):
            middle = top + height // 2
            parts += [
                _rect(14, top - BAND, self.width - 28, height + 2 * BAND, WALL, rx=6),
                f'<g transform="rotate(-90 32 {middle})">{_text(32, middle, f"floor {f}", 11, GREY, "middle")}</g>',
            ]
        return parts

    def _arrows(self, f: int, lane: int) -> list[str]:
        """One line from floor `f` to the next, with a pale edge where it crosses others."""
        name, x, ends = self.lines[f][lane]
        box, floor = self.floors.box(f, name), self.tops[f - 1] + self.heights[f - 1]
        start, across = self.tops[f - 1] + box.height if box.room else floor, floor + BAND + CLEAR + LANE * lane
        paths, heads = [], []
        for end, port in ends:
            if self.floors.box(f - 1, end).room:
                stop = self.tops[f - 2]
                paths.append(_path(x, start, across, port, stop - 6))
                heads.append(f'<path d="M{port} {stop} l-5 -9 h10 Z" fill="{self.colours[name]}"/>')
            else:
                paths.append(_path(x, start, across, port, self.tops[f - 2] + self.heights[f - 2]))
        edges = [f'<path d="{d}" fill="none" stroke="{PAPER}" stroke-width="6" opacity="0.9"/>' for d in paths]
        lines = [f'<path d="{d}" fill="none" stroke="{self.colours[name]}" stroke-width="2"/>' for d in paths]
        return edges + lines + heads

    def _room(self, box: Box) -> list[str]:
        if box.room is None:
            return []
        left, top = round(box.x - box.width / 2), self.tops[box.room.floor - 1]
        colour = self.colours.get(box.name, GREY)
        dashes = ' stroke-dasharray="5 3"' if box.name.startswith("_") else ""
        border = f'stroke="{colour}" stroke-width="1.6"{dashes}'
        parts = [
            _rect(left, top, box.width, box.height, PAPER, rx=6, border=border),
            _text(left + PAD, top + PAD + 12, box.name, 14, INK, mono=True, bold=True),
            _text(left + box.width - PAD, top + PAD + 12, box.room.count, 10.5, PALE, "end"),
        ]
        y = top + PAD + HEAD
        parts += [_text(left + PAD, y + LINE * k + 10, line, 11, PALE) for k, line in enumerate(box.lines)]
        x, y = left + PAD, y + LINE * len(box.lines) + 6
        for k, (name, files) in enumerate(box.room.inner):
            width = chip_width(name, files)
            if k:
                parts.append(f'<path d="M{x - 11} {y + 11} l7 0 m-3 -3 l3 3 l-3 3" fill="none" stroke="{colour}"/>')
            parts.append(_rect(x, y, width, CHIP - 6, WALL, rx=4, border=f'stroke="{colour}" stroke-width="0.8"'))
            parts.append(_text(x + width / 2, y + 15, f"{name} {files}", 11, INK, "middle", mono=True))
            x += width + 14
        return parts


def _ports(box: Box, starts: Sequence[int]) -> list[int]:
    """Where lines that come from these x, in order, enter a box: straight from above where they can."""
    if box.room is None:
        return [round(box.x)] * len(starts)
    low, high = box.x - box.width / 2 + PORT, box.x + box.width / 2 - PORT
    wish = [min(max(x, low), high) for x in starts]
    ports = spread(wish, [PORT] * (len(starts) - 1), [1] * len(starts), low, high) if starts else []
    return [x if abs(x - port) <= CORNER else round(port) for x, port in zip(starts, ports, strict=True)]


def _lane_crossings(lines: Sequence[Line]) -> int:
    """How often lines cross where the first has the highest lane: the others come down on it, its ends on them."""
    total = 0
    for k, line in enumerate(lines):
        ports = [port for _, port in line.ends]
        low, high = min(line.x, *ports), max(line.x, *ports)
        total += sum(low <= other.x <= high for other in lines[k + 1 :])
        total += sum(low <= port <= high for other in lines[:k] for _, port in other.ends)
    return total


def _path(x: int, start: int, across: int, port: int, stop: int) -> str:
    """Down, across and down again, with round corners."""
    if x == port:
        return f"M{x} {start} V{stop}"
    r = min(CORNER, abs(port - x) // 2)
    side = r if port > x else -r
    return (
        f"M{x} {start} V{across - r} Q{x} {across} {x + side} {across} H{port - side} "
        f"Q{port} {across} {port} {across + r} V{stop}"
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, *, rx: int = 0, border: str = "") -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{rx}" fill="{fill}" {border}/>'


def _text(
    x: float,
    y: float,
    text: str,
    size: float,
    fill: str,
    anchor: str = "start",
    *,
    mono: bool = False,
    bold: bool = False,
) -> str:
    font = f' font-family="{MONO}"' * mono + ' font-weight="bold"' * bold
    place = f'x="{round(x)}" y="{round(y)}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{fill}"{font} xml:space="preserve">{escape(text)}</text>'
