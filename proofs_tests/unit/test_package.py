"""The package as a whole: what is public, that all of it is documented, and that the examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import pytest

import shiftjax as sj
from shiftjax import _checks

FOLDER = Path(sj.__file__).parent
LATE = {"shiftjax": {"plot", "testing", "training"}, "shiftjax.testing": {"strategies"}}  # loaded when first used


class Public(NamedTuple):
    """A public thing, and the name by which it is reached."""

    name: str
    thing: Any


def named_by(module: ModuleType) -> set[str]:
    """The public names of a module: its `__all__`, what an `__init__` imports `as` itself, or what it defines."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    if not hasattr(module, "__path__"):
        own = [name for name, x in vars(module).items() if getattr(x, "__module__", None) == module.__name__]
        return {name for name in own if not name.startswith("_")}
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text())
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {alias.name for alias in aliases if alias.asname == alias.name} | LATE.get(module.__name__, set())


def public_modules() -> Iterator[ModuleType]:
    """The package, the modules that it names, and those that they name."""
    waiting: list[ModuleType] = [sj]
    while waiting:
        yield (module := waiting.pop())
        if hasattr(module, "__path__"):
            waiting += [x for name in sorted(named_by(module)) if inspect.ismodule(x := getattr(module, name))]


def public_things() -> Iterator[Public]:
    """All public functions and classes, each once."""
    seen = set()
    for module in public_modules():
        for name in sorted(named_by(module)):
            thing = getattr(module, name)
            ours = getattr(thing, "__module__", "").startswith("shiftjax")  # not aliases like `Callable[...]`
            if callable(thing) and ours and id(thing) not in seen:
                seen.add(id(thing))
                yield Public(f"{module.__name__}.{name}".replace("shiftjax", "sj"), thing)


def methods(name: str, thing: type) -> Iterator[Public]:
    """The public methods and properties that a class itself defines."""
    for attribute, member in vars(thing).items():
        function = getattr(member, "fget", getattr(member, "func", getattr(member, "__func__", member)))
        if not attribute.startswith("_") and inspect.isfunction(function):
            yield Public(f"{name}.{attribute}", function)


def named(publics: list[Public]) -> Any:
    """A test for each of them, named like it."""
    return pytest.mark.parametrize(("name", "thing"), publics, ids=[public.name for public in publics])


ARRAY = re.compile(r"Array\b|ArrayLike|ndarray|ShapeDtypeStruct")
THINGS = list(public_things())
FUNCTIONS = [public for public in THINGS if not isinstance(public.thing, type)]
METHODS = [method for public in THINGS if isinstance(public.thing, type) for method in methods(*public)]


def test_all_of_it_is_seen():
    functions = {"sj.certify", "sj.testing.strategies.shifts", "sj.testing.strategies.lattices", "sj.theory.capacity"}
    assert functions <= {public.name for public in FUNCTIONS}
    members = {
        "sj.TilePlan.explain",
        "sj.Certificate.from_json",
        "sj.Certificate.period",
        "sj.training.Checkpoints.save",
    }
    assert members <= {public.name for public in METHODS}


def test_the_package_shows_its_public_names_and_no_others():
    code = "import shiftjax; print(*dir(shiftjax))"  # on its own: the shape checks of tests add a name to every module
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(shown) == named_by(sj)


def test_modules_that_bring_packages_along_are_loaded_when_asked_for():
    assert inspect.ismodule(sj.training)
    for package in (sj, sj.testing):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = package.nothing


def test_the_version_is_known_without_an_installation(monkeypatch):
    """In a checkout; a copy of the package alone says that it is not known."""

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert runpy.run_path(str(FOLDER / "_version.py"))["VERSION"] == sj.__version__
    monkeypatch.setattr(Path, "read_text", lambda path: '[project]\nname = "another"')
    assert runpy.run_path(str(FOLDER / "_version.py"))["VERSION"] == "0+unknown"


def test_every_other_module_is_private():
    public = {module.__name__ for module in public_modules()}
    for path in FOLDER.rglob("*.py"):
        parts = ["shiftjax", *path.relative_to(FOLDER).with_suffix("").parts]
        name = ".".join(parts).removesuffix(".__init__")
        assert name in public or any(part.startswith("_") for part in name.split(".")), name


@named(THINGS + METHODS)
def test_public_names_are_documented(name, thing):
    assert thing.__doc__, name


@named(FUNCTIONS)
def test_options_are_keyword_only(name, thing):
    """Whatever has a default and is no array, like a bias, is an option, and options are named by the caller."""
    parameters = inspect.signature(thing).parameters.values()
    options = [p for p in parameters if p.default is not p.empty and not ARRAY.search(str(p.annotation))]
    assert all(p.kind is p.KEYWORD_ONLY for p in options), name


IMAGES = {"codes", "embedding", "image", "labels", "x"}  # arrays, however they are annotated
SHAPE = re.compile(r"`\([^`]*\)`|`embedding\.shape|of the same shape|of its shape")
SIZES = {"extent", "origin", "period", "pitch", "radius", "shift", "size", "spacing", "stride", "tile", "window"}
CHECKS = {name for name, x in vars(_checks).items() if inspect.isfunction(x)} - {"concrete"}


def section(text: str, title: str) -> str:
    """A section of a docstring, without its title; empty where there is none."""
    match = re.search(rf"^{title}:\n((?: .*\n|\n)*)", text + "\n", re.MULTILINE)
    return textwrap.dedent(match[1]) if match else ""


def entries(text: str) -> dict[str, str]:
    """The arguments that a docstring describes."""
    parts = re.split(r"^(\w+): ", section(text, "Args"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def validates(thing: Any) -> bool:
    """Whether a function itself raises, or calls one of the library's checks."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))
    except OSError:  # the function was made at run time
        return False
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {f.id for f in calls if isinstance(f, ast.Name)}
    names |= {f.attr for f in calls if isinstance(f, ast.Attribute) and ast.unparse(f.value) == "_checks"}
    return bool(names & CHECKS) or any(isinstance(node, ast.Raise) for node in ast.walk(tree))


def lacks(thing: Any) -> Iterator[str]:
    """What the docstring of a function lacks."""
    text, signature = inspect.cleandoc(thing.__doc__ or ""), inspect.signature(thing)
    described = entries(text)
    parameters = [p for p in signature.parameters.values() if p.name != "draw"]  # Hypothesis passes it
    for parameter in parameters:
        entry, annotation = described.get(parameter.name), str(parameter.annotation)
        of_array = ARRAY.search(annotation) and not re.search("Key|Callable", annotation)
        if entry is None:
            yield f"`{parameter.name}` under Args"
        elif parameter.name in SIZES:
            if not re.search(r"pixel|px\b", entry):
                yield f"the unit of `{parameter.name}`: pixels"
        elif (of_array or parameter.name in IMAGES) and not SHAPE.search(entry):
            yield f"the shape of `{parameter.name}`, like `(batch, *space, channel)`"
    gives = section(text, "Returns") or section(text, "Yields")
    if parameters and str(signature.return_annotation) not in ("None", "NoReturn") and not gives:
        yield "Returns"
    if validates(thing) and not section(text, "Raises"):
        yield "Raises"


@named(FUNCTIONS)
def test_public_functions_say_what_they_take_give_and_refuse(name, thing):
    assert not list(lacks(thing)), name


def complete(image: jax.Array, *, period: int) -> int:
    """Does something.

    Args:
        image: of any type, `(batch, *space, channel)`.
        period: in pixels.

    Returns:
        A number.

    Raises:
        ValueError: always.
    """
    raise ValueError(image, period)


@pytest.mark.parametrize(
    ("removed", "lacking"),
    [
        ("no such line", []),
        ("period: in pixels", ["`period` under Args"]),
        ("in pixels", ["the unit of `period`: pixels"]),
        ("`(batch, *space, channel)`", ["the shape of `image`, like `(batch, *space, channel)`"]),
        ("Returns:", ["Returns"]),
        ("Raises:", ["Raises"]),
    ],
)
def test_what_a_docstring_lacks_is_seen(removed, lacking, monkeypatch):
    monkeypatch.setattr(complete, "__doc__", (complete.__doc__ or "").replace(removed, "-"))
    assert list(lacks(complete)) == lacking


@pytest.mark.parametrize("thing", [sj.discriminative_loss, sj.mean_shift, sj.theory])
def test_what_comes_from_a_paper_says_so(thing):
    assert re.search(r"^ *(References|Source):", thing.__doc__, re.MULTILINE)


EXAMPLES = sorted(path for path in FOLDER.rglob("*.py") if ">>>" in path.read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=[str(path.relative_to(FOLDER)) for path in EXAMPLES])
def test_examples_run(path):
    """They know the public names, and import whatever else they need."""
    module = importlib.import_module(".".join(["shiftjax", *path.relative_to(FOLDER).with_suffix("").parts]))
    public = {public.thing.__name__: public.thing for public in FUNCTIONS + THINGS}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, globs=public):
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
