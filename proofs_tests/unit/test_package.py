"""The package as a whole: what importing it loads, what it exports, and that everything public is documented."""

import inspect
import subprocess
import sys

import pytest

import shiftjax as sj

PUBLIC = [name for name in vars(sj) if not name.startswith("_") and callable(getattr(sj, name))]


def test_importing_loads_jax_numpy_and_flax_only():
    code = "import sys, shiftjax; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"jax", "numpy", "flax"} <= set(loaded)
    heavy = {"optax", "chex", "hypothesis", "jaxtyping", "scipy.sparse", "matplotlib", "orbax", "tqdm", "zarr"}
    assert not heavy & set(loaded)


def test_parts_that_bring_packages_along_are_loaded_when_asked_for():
    assert inspect.ismodule(sj.training)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sj.nothing


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    thing = getattr(sj, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing) and thing.__module__.startswith("shiftjax"):
        assert "Args:" in thing.__doc__
        assert "Returns:" in thing.__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_options_are_keyword_only(name):
    """Whatever has a default is an option, and options are named by the caller."""
    if isinstance(getattr(sj, name), type):
        return  # fields of a class are named or in order, as its author likes
    for parameter in inspect.signature(getattr(sj, name)).parameters.values():
        if parameter.default is not inspect.Parameter.empty:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
