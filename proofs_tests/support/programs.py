"""What a whole run of tests leaves in memory, kept small and seldom searched.

JAX keeps every program that it compiles, gigabytes of them in a whole run: they are dropped now and then. And Python's
collector would search all that was imported again and again for rubbish: it is told not to.
"""

from __future__ import annotations

import gc
from typing import Any

import jax
import pytest

NEW = 20_000  # objects made before the collector looks at them: tracing makes thousands for every function
KEPT = 200  # programs, of 1 to 3 MB each; fewer would compile again what tests of one file share


class Programs:
    """Counts what is compiled, and forgets all of it between two tests once it is too much."""

    def __init__(self) -> None:
        self.count = 0

    def compiled(self, event: str, duration_secs: float, **_: Any) -> None:
        """Called by `jax.monitoring` for every event that takes time."""
        self.count += event == "/jax/core/compile/backend_compile_duration"

    def pytest_collection_finish(self) -> None:
        """What is there once all tests are known stays."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(NEW, *gc.get_threshold()[1:])

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        if self.count > KEPT:
            jax.clear_caches()
            gc.collect()  # programs are held in cycles
            self.count = 0


def pytest_configure(config: pytest.Config) -> None:
    """Starts to count."""
    programs = Programs()
    config.pluginmanager.register(programs, "programs")
    jax.monitoring.register_event_duration_secs_listener(programs.compiled)
