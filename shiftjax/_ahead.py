"""Reading ahead in another thread, so that reading overlaps with whatever is done with what was read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item], *, ahead: int) -> Iterator[tuple[Item, Result]]:
    """Yields each item with `read(item)`, in order.

    Args:
        read: called in one other thread, one item at a time.
        items: taken in the caller's thread, as far ahead as is read.
        ahead: results that are being read, or wait, while the caller uses one; they bound the memory.
    """
    waiting = deque[tuple[Item, Future[Result]]]()
    reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        for item in items:
            waiting.append((item, reader.submit(read, item)))
            if len(waiting) > ahead:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        reader.shutdown(cancel_futures=True)


def _next(waiting: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Result]:
    """The first that waits. A function of its own: a local variable of the generator would keep the result alive."""
    item, future = waiting.popleft()
    return item, future.result()
