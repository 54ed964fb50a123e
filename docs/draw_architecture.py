"""Draws the floors of the house from the imports of `shiftjax/`, and writes the table of rooms in docs/architecture.md.

usage: python docs/draw_architecture.py [--check]

A room stands above everything that it imports: its floor is the longest path of imports below it. With `--check`
nothing is written, and stale pictures or tables fail. Either way an import circle fails, an import that runs up against
the contracts of pyproject.toml, and an import of another package's private module.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from _floors import Room  # noqa: E402
from _house import House, HouseError  # noqa: E402
from _picture import draw  # noqa: E402

PICTURE, PAGE = Path("docs/images/architecture.svg"), Path("docs/architecture.md")
BEGIN, END = "<!-- begin: written by docs/draw_architecture.py -->", "<!-- end -->"


def picture(house: House) -> str:
    """The picture, as SVG."""
    rooms = {
        name: Room(
            name=name,
            sentence=house.sentence(name),
            files=len(house.sources(name)),
            floor=house.floors[name],
            inner=tuple((room.partition("/")[2], len(house.sources(room))) for room in house.inner(name)),
            below=house.below(name),
        )
        for name in house.packages
        if name != "__main__"  # a door in the roof
    }
    return draw(rooms, house.foundation)


def table(house: House) -> str:
    """The rooms from the roof down, as Markdown."""
    lines = ["| floor | room | what lives there | files | imports from |", "|---|---|---|---|---|"]
    for package in sorted(house.packages, key=lambda name: (-house.floors[name], name)):
        for room in [package, *house.inner(package)]:
            below = sorted(b for a, b in house.arrows if a == room)
            names = [f"`{b}`" for b in below if b not in house.foundation]
            names += ["helpers"] * any(b in house.foundation for b in below)
            cells = f"{house.floors[package]} | `{room}` | {house.sentence(room)} | {len(house.sources(room))}"
            lines.append(f"| {cells} | {', '.join(names) or '-'} |")
    helpers = ", ".join(f"`{name}`" for name in house.foundation)
    files = sum(len(house.sources(name)) for name in house.foundation)
    lines.append(f"| 0 | helpers | Small modules at the root, for everybody: {helpers} | {files} | - |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Writes picture and table, or checks them; returns 1, with one sentence, where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if picture or table are stale")
    options = parser.parse_args(arguments)
    before, _, rest = (ROOT / PAGE).read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    try:
        house = House.read(ROOT)
        house.check()
        for path, text in {PICTURE: picture(house), PAGE: f"{before}{BEGIN}\n{table(house)}\n{END}{after}"}.items():
            if not options.check:
                (ROOT / path).write_text(text)
            elif not (ROOT / path).exists() or (ROOT / path).read_text() != text:
                raise HouseError(f"{path} is stale: run `python docs/draw_architecture.py`.")
    except HouseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
