"""Every test runs with shapes checked at run time, warnings as errors, and exact arithmetic on the CPU."""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compilation dominates; int32 does not care

from jaxtyping import install_import_hook

install_import_hook("shiftjax", "beartype.beartype")

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `import proofs_tests...` under a bare `pytest`

from proofs_tests.given_net import plugin as given
from proofs_tests.mutation import plugin as mutation
from proofs_tests.support import profiles, report

profiles.register()


def pytest_addoption(parser, pluginmanager):
    """The claims' report; plugins of a conftest below the root are registered by hand."""
    for plugin in (report, given, mutation):
        pluginmanager.register(plugin)


def pytest_configure(config):
    """Run-time type checks look at random items of a sequence, which does not change what a strategy draws."""
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")
