"""What goes wrong with storage."""

from __future__ import annotations

WAIT = "wait until it has ended, and call again"


class VolumeError(RuntimeError):
    """Storage that cannot be read or written, or a target that belongs to other work; says where and how to go on."""


def reason(error: BaseException) -> str:
    """An error on one line."""
    text = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {text}"
