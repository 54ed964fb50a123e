"""What imports what in a package, read from its sources, and whether its contracts allow it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


class HouseError(Exception):
    """What is wrong with the house, in one sentence."""


@dataclass(frozen=True)
class House:
    """The modules of a package, and the floors that its contract gives the rooms at its root.

    A room is a package, one of its inner packages (`volume/_storage`), or a module at the root.

    Attributes:
        name: of the package.
        files: by module.
        imports: by module, the modules of the package that it imports.
        layers: names of the rooms at the root, highest first.
    """

    name: str
    files: dict[str, Path]
    imports: dict[str, tuple[str, ...]]
    layers: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, root: Path) -> House:
        """Reads the contracts in `root/pyproject.toml`, and the package that they are about."""
        settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
        name = settings["root_package"]
        files = {_module(path.relative_to(root)): path for path in sorted((root / name).rglob("*.py"))}
        imports = {module: tuple(sorted(set(_imports(path, files)))) for module, path in files.items()}
        contract = next(c for c in settings["contracts"] if c["type"] == "layers" and c["containers"] == [name])
        names = (layer.replace("|", ":").split(":") for layer in contract["layers"])
        return cls(name, files, imports, tuple(tuple(sorted(one.strip(" ()") for one in layer)) for layer in names))

    def package(self, module: str) -> str:
        """The room at the root that a module lies in; empty for the package's own face."""
        return module.removeprefix(self.name).removeprefix(".").partition(".")[0]

    def room(self, module: str) -> str:
        """The room of a module, inner packages by their path."""
        parts = module.split(".")[1:]
        packages = parts if self.files[module].name == "__init__.py" else parts[:-1]
        return "/".join(packages or parts)

    @cached_property
    def foundation(self) -> tuple[str, ...]:
        """The helpers at the root, on the lowest floor of the contract: everybody may use them."""
        return tuple(name for name in self.layers[-1] if f"{self.name}.{name}" in self.files)

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """The rooms at the root, without the face and the foundation."""
        return tuple(sorted({self.package(module) for module in self.files} - {"", *self.foundation}))

    @cached_property
    def arrows(self) -> frozenset[tuple[str, str]]:
        """Which room imports from which, inner packages apart."""
        pairs = ((self.room(a), self.room(b)) for a, imported in self.imports.items() for b in imported)
        return frozenset((a, b) for a, b in pairs if a != b)

    def below(self, package: str) -> frozenset[str]:
        """The packages that one imports from, without the foundation."""
        pairs = ((self.package(a), self.package(b)) for a, imported in self.imports.items() for b in imported)
        return frozenset(b for a, b in pairs if a == package and b not in {package, "", *self.foundation})

    @cached_property
    def floors(self) -> dict[str, int]:
        """The longest path of imports below each package; whoever imports the foundation alone is on floor 1."""
        floors: dict[str, int] = {}

        def floor(package: str) -> int:
            if package not in floors:
                floors[package] = 1 + max(map(floor, self.below(package)), default=0)
            return floors[package]

        return {package: floor(package) for package in self.packages}

    def sources(self, room: str) -> list[Path]:
        """The files of a room, without those of its inner packages."""
        return [path for module, path in self.files.items() if self.room(module) == room]

    def inner(self, package: str) -> list[str]:
        """The inner packages of a package; those that import others come before them."""
        rest = sorted({room for room in map(self.room, self.files) if room.startswith(f"{package}/")})
        order = []
        while rest:
            free = [r for r in rest if not any((other, r) in self.arrows for other in rest)]
            if not free:
                raise HouseError(f"inner packages import each other in a circle: {', '.join(rest)}.")
            order.append(free[0])
            rest.remove(free[0])
        return order

    def sentence(self, room: str) -> str:
        """The first sentence of a room's docstring."""
        module = f"{self.name}.{room.replace('/', '.')}"
        text = ast.get_docstring(ast.parse(self.files[module].read_text())) or ""
        return " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")

    def check(self) -> None:
        """Raises a HouseError for the first thing that the contracts forbid."""
        if circle := self._circle():
            raise HouseError(f"modules import each other in a circle: {' -> '.join(circle)}.")
        levels = {name: level for level, names in enumerate(self.layers) for name in names}
        for importer, imported in ((a, b) for a in self.imports for b in self.imports[a]):
            above, below = self.package(importer), self.package(imported)
            if above in ("", below) or below == "":
                continue
            if unplaced := {above, below} - set(levels):
                raise HouseError(f"`{min(unplaced)}` has no floor in the contracts of pyproject.toml.")
            if below in self.foundation and above in self.foundation:
                continue
            if levels[below] <= levels[above]:
                raise HouseError(f"{importer} imports {imported}, which has no lower floor in pyproject.toml.")
            if any(part.startswith("_") for part in imported.split(".")[2:]):
                raise HouseError(f"{importer} imports {imported}, a private module of another package.")

    def _circle(self) -> list[str]:
        """Modules that import each other in a circle, the first one again at the end; empty where there is none."""
        finished: set[str] = set()
        path: list[str] = []

        def visit(module: str) -> list[str]:
            if module in path:
                return [*path[path.index(module) :], module]
            if module not in finished:
                path.append(module)
                for imported in self.imports[module]:
                    if circle := visit(imported):
                        return circle
                finished.add(path.pop())
            return []

        return next((circle for module in self.imports if (circle := visit(module))), [])


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that a type checker alone reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _run(node)


def _imports(path: Path, files: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports, inside functions too: such an import waits, but it is needed."""
    for node in _run(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in files:
            names = (f"{node.module}.{each.name}" for each in node.names)
            yield from (name if name in files else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in files)
