"""`pytest proofs_tests --net package.module:callable --net-shape 1,236,236,1`: the claims about that network alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from proofs_tests.support.report import recorded
from shiftjax._cli import network as _target
from shiftjax._cli.check import accepts, lines
from shiftjax.testing._claims import CHECKS, Verdict

HERE = Path(__file__).parent
NET = pytest.StashKey[tuple[Callable[[Any], Any], jax.ShapeDtypeStruct]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options that name a network."""
    group = parser.getgroup("claims")
    group.addoption("--net", metavar="PACKAGE.MODULE:CALLABLE", help="examine the claims about this network, alone")
    group.addoption("--net-shape", metavar="1,236,236,1", help="shape of its image: batch, space, channel")
    group.addoption("--net-dtype", metavar="DTYPE", default="float32", help="type of its image (default: float32)")


def pytest_configure(config: pytest.Config) -> None:
    """Loads the network; what cannot be loaded is a usage error, exit code 4."""
    target, shape = config.getoption("net"), config.getoption("net_shape")
    if target is None:
        return
    if shape is None:
        raise pytest.UsageError("--net: give the shape of its image, like --net-shape 1,236,236,1")
    try:
        options = argparse.Namespace(shape=_target.shape(shape), dtype=config.getoption("net_dtype"))
        image = _target.image(options)
        fn = _target.function(target)
        accepts(fn, image)
    except (_target.UsageError, argparse.ArgumentTypeError) as error:
        raise pytest.UsageError(f"--net: {error}") from None
    config.stash[NET] = fn, image


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With a network only its own tests, without one all others."""
    if collection_path.suffix != ".py":
        return None
    ours = collection_path.parent == HERE
    return True if ours != (NET in config.stash) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdicts as a table."""
    found = {value[0]: Verdict(*value) for value in recorded(terminalreporter, "verdict")}
    if found:
        terminalreporter.section(f"claims about {config.getoption('net')}")
        for line in lines([found[claim] for claim in CHECKS if claim in found]):
            terminalreporter.write_line(line)
