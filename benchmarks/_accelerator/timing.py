"""Compilation and time on a device, with and without waiting for every call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from _timing import time_alternating

TURN = 0.05  # seconds of calls in a turn: many small ones, so that the wait at the end does not count


def compiled(fn: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The program for these arguments, and the seconds that it took to compile."""
    start = time.perf_counter()
    program = jax.jit(fn).lower(*arguments).compile()
    return program, time.perf_counter() - start


def seconds_per_call(
    calls: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]], turns: int = 5
) -> dict[str, float]:
    """Median seconds per call, the calls of a turn given to the device one after the other, as training does.

    Args:
        calls: by name, a call that may return before its work is done, and what waits for its result.
        turns: how many each has; they alternate.
    """

    def turn(call: Callable[[], Any], wait: Callable[[Any], Any], count: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(count - 1):
                call()
            wait(call())

        return run

    counts = {name: _count(*pair) for name, pair in calls.items()}
    runs = {name: turn(call, wait, counts[name]) for name, (call, wait) in calls.items()}
    return {name: seconds / counts[name] for name, seconds in time_alternating(runs, turns).items()}


def _count(call: Callable[[], Any], wait: Callable[[Any], Any]) -> int:
    """How many calls make a turn."""
    for _ in range(2):  # the first may compile, or look for its best algorithm
        start = time.perf_counter()
        wait(call())
        seconds = time.perf_counter() - start
    return max(1, min(50, int(TURN / max(seconds, 1e-6))))


def of_jax(call: Callable[[], Any]) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """A call of JAX, and how to wait for it."""
    return call, jax.block_until_ready
