"""What goes wrong with storage, told in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

WAIT = "wait for it to finish, then call again"
RACES = ("ContainsGroupError", "ContainsArrayError")  # zarr's: something is there that was not a moment ago


class VolumeError(RuntimeError):
    """Storage that cannot be read or written, or a target that other work began; says where, and how to go on."""


def reason(error: BaseException) -> str:
    """An error on one line."""
    text = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {text}"


@contextmanager
def storage_errors(action: str, advice: str = "") -> Iterator[None]:
    """Turns whatever storage raises within it into `VolumeError: cannot <action> (<reason>); <advice>`.

    File systems, stores and codecs come from many packages, and their errors have no base class in common; hence all
    exceptions are taken. A `VolumeError` passes unchanged: it knows more than the outer action does.
    """
    try:
        yield
    except VolumeError:
        raise
    except Exception as error:
        if type(error).__name__ in RACES:
            raise VolumeError(f"cannot {action}, because another process is making it now; {WAIT}") from error
        raise VolumeError(f"cannot {action} ({reason(error)})" + (f"; {advice}" if advice else "")) from error
