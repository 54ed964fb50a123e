"""`pytest proofs_tests --net package.module:callable --net-shape 1,236,236,1`: the claims about that network alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from proofs_tests.support.report import recorded
from shiftjax._cli import network
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
        options = argparse.Namespace(shape=network.shape(shape), dtype=config.getoption("net_dtype"))
        image = network.image(options)
        fn = network.function(target)
        accepts(fn, image)
    except (network.UsageError, argparse.ArgumentTypeError) as error:
        raise pytest.UsageError(f"--net: {error}") from None
    config.stash[NET] = fn, image


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--net` only the tests in this folder run, without it all others."""
    if collection_path.suffix != ".py":
        return None
    about_net = collection_path.parent == HERE
    return True if about_net != (NET in config.stash) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdicts as a table."""
    verdicts = {value[0]: Verdict(*value) for value in recorded(terminalreporter, "verdict")}
    if verdicts:
        terminalreporter.section(f"claims about {config.getoption('net')}")
        for line in lines([verdicts[claim] for claim in CHECKS if claim in verdicts]):
            terminalreporter.write_line(line)
