"""What fails for a moment is tried again: a network that drops a connection, a file server that is busy."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# Seconds between tries, about 13 in all: a short outage passes, and a disk that is broken is told before long.
DELAYS = tuple(min(5.0, 0.01 * 1.5**k) for k in range(17))
# A full disk or a missing permission does not pass by itself, and is not here.
PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EAGAIN", "EINTR", "EBUSY", "ETIMEDOUT", "ESTALE", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EPROTO"),
        *("EHOSTUNREACH", "EHOSTDOWN", "EREMOTEIO", "ENOBUFS", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED"),
    )
    if hasattr(errno, name)
)
# Of clients that are not OSErrors: aiohttp, requests, botocore and google-auth name theirs so.
REMOTE = ("ClientError", "ClientConnectionError", "HTTPClientError", "RequestException", "TransportError")
TRIED_AGAIN = [0]  # how often, in this process, since somebody asked


def patiently(attempt: Callable[[], Result]) -> Result:
    """What `attempt` gives; while it fails for a reason that may pass, it is called again, each time later.

    `attempt` must give the same however often it is called, as reading and writing a whole object do.
    """
    for delay in DELAYS:
        try:
            return attempt()
        except Exception as error:
            if not passes(error):
                raise
        TRIED_AGAIN[0] += 1
        time.sleep(delay)
    return attempt()


def times_tried_again() -> int:
    """How often something was tried again since this was last asked."""
    count, TRIED_AGAIN[0] = TRIED_AGAIN[0], 0
    return count


def passes(error: BaseException) -> bool:
    """Whether an error may be gone in a moment."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError):
        return error.errno in PASSING or (type(error) is OSError and error.errno is None)
    return any(base.__name__ in REMOTE for base in type(error).__mro__)
