"""Names of derivations: equal names mean equal derivations, in every run."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

_opaque = itertools.count()
PLAIN = frozenset([str, bool, int, float, complex, type(None)])  # most values by far; their `repr` tells them apart
SIZE = 12  # bytes


def stable(value: Any) -> Any:
    """A parameter as plain text and numbers, the same in every run; an unknown object is like no other."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is tuple or isinstance(value, tuple | list):  # most values after the plain ones
        return kind.__name__, tuple([v if type(v) in PLAIN else stable(v) for v in value])
    if isinstance(value, str | int | float | complex):
        return value
    if isinstance(value, bytes):  # weights: their text would be four times as long
        return "bytes", hashlib.blake2b(value, digest_size=SIZE).hexdigest()
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Mapping):
        return tuple((k, stable(v)) for k, v in sorted(value.items()))
    if isinstance(value, np.dtype | np.generic) or (isinstance(value, type) and issubclass(value, np.generic)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), stable(value.tobytes())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, tuple(stable(getattr(value, f.name)) for f in dataclasses.fields(value))
    return f"opaque {next(_opaque)}"


def digest(*parts: Any) -> str:
    """A name for a step of the derivation: equal names mean equal derivations."""
    return hashlib.blake2b(repr(stable(parts)).encode(), digest_size=SIZE).hexdigest()
