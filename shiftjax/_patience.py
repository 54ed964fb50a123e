"""What takes long is named on the standard error: after two seconds, and again with the time so far."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

PATIENCE = 2.0  # seconds that nobody wonders about

_silent = ContextVar("_silent", default=False)


def say(sentence: str) -> None:
    """A line for whoever started the work."""
    if sys.stderr is None:  # as of a program without a console; it would go to the standard output
        return
    with suppress(OSError, ValueError):
        print(f"shiftjax: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def silence(wished: bool = True) -> Iterator[None]:
    """Within it nothing is said, if wished: by those who were asked to be quiet, or who show a bar instead."""
    token = _silent.set(_silent.get() or wished)
    try:
        yield
    finally:
        _silent.reset(token)


@contextmanager
def patience(sentence: str, tell: Callable[[str], None] = say) -> Iterator[None]:
    """Within it, work that takes longer than two seconds is named; again after twice the time, and so on.

    Args:
        sentence: what is done, such as "compiling the network".
        tell: says it; it is called in another thread.
    """
    if _silent.get():
        yield
        return
    done = threading.Event()

    def wait() -> None:
        begun, pause = time.monotonic(), PATIENCE
        while not done.wait(pause):
            spent = time.monotonic() - begun
            tell(f"{sentence} ..." if pause == PATIENCE else f"{sentence} ... {spent:.0f} s so far")
            pause = spent  # until twice the time

    waiting = threading.Thread(target=wait, name="patience", daemon=True)
    waiting.start()
    try:
        yield
    finally:
        done.set()
        waiting.join()
