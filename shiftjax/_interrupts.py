"""Ctrl-C that waits: so that what is under way comes to an end, and can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Lets the first Ctrl-C wait, and tells whether there was one; a second interrupts at once."""
    if threading.current_thread() is not threading.main_thread():  # Python sets signal handlers there only
        yield lambda: False
        return
    seen = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: object) -> None:
        seen.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, remember)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)
