"""What is imported: little at first, only what is declared, all that is declared, and no private module of others."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OF_FOLDER = {
    "shiftjax": sorted(EXTRAS),
    "proofs_tests": ["test", "torch"],
    "benchmarks": ["bench"],
    "scripts": ["train"],
}
OWN = {
    "shiftjax",
    "proofs_tests",
    *(p.stem for f in ("benchmarks", "docs", "scripts") for p in (ROOT / f).iterdir()),
}
PACKAGES = packages_distributions()  # module -> packages that bring it, as far as installed
RUN = {
    "ruff",
    "mypy",
    "import-linter",
    "pytest-xdist",
    "beartype",
}  # not imported: commands, plugins, a name in a string
PROBES = {"importorskip", "find_spec", "import_module"}  # for packages that may be missing


class Import(NamedTuple):
    """An import of a module.

    Attributes:
        file: that has it.
        module: with all its dots.
        late: whether it comes later than the import of the file.
        extra: that `require` names, if it is imported so.
        probe: whether the package may be missing.
    """

    file: str
    module: str
    late: bool = False
    extra: str | None = None
    probe: bool = False


def imports(file: str, text: str) -> Iterator[Import]:
    """All imports of a file."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        late = node not in tree.body
        if isinstance(node, ast.Import):
            yield from (Import(file, alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            yield Import(file, node.module, late)
            yield from (Import(file, f"{node.module}.{a.name}", late) for a in node.names if a.name.startswith("_"))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            words = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "require":
                yield Import(file, words[0], True, extra=words[1])
            elif called in PROBES:
                yield Import(file, words[0], True, probe=True)


def imports_below(folder: str) -> list[Import]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [statement for path in paths for statement in imports(str(path.relative_to(ROOT)), path.read_text())]


ALL = {folder: imports_below(folder) for folder in OF_FOLDER}


def names_of(requirements: list[str]) -> set[str]:
    """The packages that requirements name, those of the extras among them included."""
    names: set[str] = set()
    for requirement in requirements:
        if own := re.match(r"shiftjax\[(.*)\]", requirement):
            names |= names_of([r for extra in own[1].split(",") for r in EXTRAS[extra]])
        else:
            names.add(normal(re.split(r"[^\w.-]", requirement)[0]))
    return names


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(module: str) -> set[str]:
    """The packages that may bring a module; none for Python's modules and this project's."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in OWN:
        return set()
    return {normal(name) for name in PACKAGES.get(top, [top])}


@pytest.fixture(scope="module")
def loaded():
    """The modules that `import shiftjax` loads."""
    code = "import sys, shiftjax; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_loads_jax_numpy_and_flax_only(loaded):
    assert {"jax", "numpy", "flax"} <= loaded
    heavy = {"optax", "chex", "scipy", "jaxtyping", "hypothesis", "matplotlib", "orbax", "tqdm"}
    assert not (heavy | {"zarr", "fsspec", "tifffile", "dask", "distributed"}) & loaded


@pytest.mark.parametrize("folder", OF_FOLDER)
def test_every_import_is_declared(folder, loaded):
    always, extras = names_of(PROJECT["dependencies"]), {extra: names_of(EXTRAS[extra]) for extra in EXTRAS}
    undeclared = []
    for statement in ALL[folder]:
        allowed = always.union(
            *(extras[extra] for extra in ([statement.extra] if statement.extra else OF_FOLDER[folder]))
        )
        name = statement.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if name in loaded and not statement.late:
            allowed = always
        if packages(statement.module) and not statement.probe and not packages(statement.module) & allowed:
            undeclared.append(statement)
    assert not undeclared


def test_every_declared_package_is_imported():
    declared = names_of([*PROJECT["dependencies"], *(r for extra in EXTRAS.values() for r in extra)])
    imported = set().union(*(packages(statement.module) for folder in ALL.values() for statement in folder))
    assert not declared - imported - RUN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b", Import("x.py", "a.b")),
        ("def f():\n    from a import b", Import("x.py", "a", late=True)),
        ('a = require("a.b", "train")', Import("x.py", "a.b", late=True, extra="train")),
        ('a = pytest.importorskip("a")', Import("x.py", "a", late=True, probe=True)),
    ],
)
def test_imports_of_all_kinds_are_seen(text, expected):
    assert list(imports("x.py", text)) == [expected]


def private(statement: Import) -> bool:
    """Whether an import reaches a private module of a package that its file does not lie in."""
    parts = statement.module.split(".")
    importer = statement.file.removesuffix(".py").split("/")
    owners = [parts[:k] for k, part in enumerate(parts) if part.startswith("_")]
    return parts[0] == "shiftjax" and any(importer[: len(owner)] != owner for owner in owners)


def test_no_package_imports_a_private_module_of_another():
    assert not [statement for statement in ALL["shiftjax"] if private(statement)]


@pytest.mark.parametrize(
    ("file", "module", "expected"),
    [
        ("shiftjax/metrics/_seams.py", "shiftjax.labelling._objects", True),
        ("shiftjax/metrics/_seams.py", "shiftjax.metrics._overlap", False),
        ("shiftjax/metrics/_seams.py", "shiftjax._checks", False),
        ("shiftjax/volume/_jobs/run.py", "shiftjax.volume._sources.axes", False),
        ("shiftjax/_cli/plan.py", "shiftjax.volume._sources.axes", True),
    ],
)
def test_private_modules_are_recognised(file, module, expected):
    assert private(Import(file, module)) is expected


@pytest.mark.parametrize(
    ("module", "package"),
    [("shiftjax.training", "optax"), ("shiftjax.training", "chex"), ("shiftjax._experiments.run", "optax")],
)
def test_a_missing_extra_is_named_in_one_sentence(module, package):
    code = f"import sys; sys.modules[{package!r}] = None; import {module}"  # None: as if it were not installed
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = failed.stderr.splitlines()[-1]
    assert last == f"ImportError: this needs `{package}`; install it with `pip install 'shiftjax[train]'`"
