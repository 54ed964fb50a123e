"""Every test runs with the shapes of public calls checked, warnings as errors, and exact arithmetic on the CPU."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `import proofs_tests...` under a bare `pytest`

from proofs_tests.support.flags import FAST

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", FAST)

import pytest
from jaxtyping import install_import_hook

from proofs_tests.support import public

install_import_hook(public.modules(), "beartype.beartype")

from proofs_tests.given_net import plugin as given
from proofs_tests.mutation import plugin as mutation
from proofs_tests.support import counts, order, profiles, programs, report

profiles.register()


def pytest_addoption(parser, pluginmanager):
    """The claims' report; plugins of a conftest below the root are registered by hand."""
    for plugin in (order, programs, report, counts, given, mutation):
        pluginmanager.register(plugin)


def pytest_configure(config):
    """Run-time type checks look at random items of a sequence, which does not change what a strategy draws."""
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


def pytest_runtest_setup(item):
    """Tests marked `deep` belong to the deep profile, or run where they are asked for by `-m deep`."""
    asked_for = profiles.examples() > profiles.ARCHITECTURES or "deep" in item.config.option.markexpr
    if item.get_closest_marker("deep") and not asked_for:
        pytest.skip("runs with --hypothesis-profile=deep")
