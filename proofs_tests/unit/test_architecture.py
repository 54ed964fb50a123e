"""The script that draws the floors sees what it must refuse, and always draws the same imports alike."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import draw_architecture
from _house import House, HouseError

CONTRACTS = """
[tool.importlinter]
root_package = "house"
[[tool.importlinter.contracts]]
type = "layers"
containers = ["house"]
layers = ["top", "left | right", "_tools : (_later)"]
"""
FILES = {
    "__init__.py": '"""The face."""\nfrom house.top import roof',
    "_tools.py": '"""Tools."""',
    "left/__init__.py": '"""On the left. And more."""\nfrom house.left._a import a',
    "left/_a.py": "from house import _tools\na = 1",
    "left/_inner/__init__.py": '"""An inner room."""',
    "right/__init__.py": '"""On the right."""\nfrom house import _tools',
    "top/__init__.py": '"""On top."""\nfrom house.left import a\nroof = a',
}


@pytest.fixture
def build(tmp_path):
    """Writes a small house, with other contents in some files, and reads it."""

    def house(**changes):
        (tmp_path / "pyproject.toml").write_text(CONTRACTS)
        for name, text in {
            **FILES,
            **{name.replace("__", "/") + ".py": text for name, text in changes.items()},
        }.items():
            path = tmp_path / "house" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return House.read(tmp_path)

    return house


def test_rooms_floors_and_sentences(build):
    house = build()
    house.check()
    assert house.floors == {"left": 1, "right": 1, "top": 2}
    assert house.inner("left") == ["left/_inner"]
    assert house.sentence("left") == "On the left"
    assert house.foundation == ("_tools",)
    assert house.below("top") == {"left"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left___a": "def late():\n    from house.left import _b", "left___b": "from house.left import _a"}, "circle"),
        ({"_tools": "from house.left import a"}, "circle"),
        ({"right__up": "from house.top import roof"}, "no lower floor"),
        ({"right__over": "import house.left"}, "no lower floor"),
        ({"top__secret": "from house.left._a import a"}, "private module"),
        ({"new": '"""Nowhere."""\nfrom house import _tools'}, "no floor in the contracts"),
    ],
)
def test_what_the_contracts_forbid_is_refused(build, changes, message):
    with pytest.raises(HouseError, match=message):
        build(**changes).check()


def test_the_picture_does_not_depend_on_the_order_of_files(build):
    house = build()
    backwards = House(house.name, dict(reversed(house.files.items())), house.imports, house.layers)
    picture = draw_architecture.picture(house)
    assert draw_architecture.picture(backwards) == picture
    assert all(f">{name}<" in picture for name in ("left", "right", "top", "_tools"))


def test_stale_pages_are_noticed(build, tmp_path, monkeypatch, capsys):
    build()
    monkeypatch.setattr(draw_architecture, "ROOT", tmp_path)
    (tmp_path / "docs" / "images").mkdir(parents=True)
    page = tmp_path / draw_architecture.PAGE
    page.write_text(f"Before.\n{draw_architecture.BEGIN}\n{draw_architecture.END}\nAfter.\n")
    assert draw_architecture.main(["--check"]) == 1
    assert "stale: run" in capsys.readouterr().err
    assert draw_architecture.main([]) == 0
    assert draw_architecture.main(["--check"]) == 0
    assert page.read_text().startswith("Before.")
    assert page.read_text().endswith("After.\n")
    build(right__more='"""More."""')
    assert draw_architecture.main(["--check"]) == 1
