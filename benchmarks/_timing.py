"""Side-by-side timing: both sides in one process, taking turns, so that a busy machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def time_alternating(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds per call of every function, after one warm-up call each.

    Args:
        functions: name to a callable without arguments that returns only when its work is done (in JAX:
            `jax.block_until_ready` inside the callable).
        repeats: timed calls of each; the functions take turns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
