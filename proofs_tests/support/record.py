"""What the tests of a claim record as they run: examples, networks, rejected controls, rounding errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import hypothesis
import numpy as np

from shiftjax import UNet

ARCHITECTURE = (
    *("ndim", "factors", "kernel_size", "head_kernel_size", "convs", "decoder_convs", "upsample", "padding", "crop"),
    *("features", "growth", "out_channels"),
)  # the fields of a UNet that tell networks apart in the count; the activation is none of them


@dataclass
class Record:
    """Of one test."""

    examples: int = 0
    discarded: int = 0
    controls: int = 0
    architectures: set[str] = field(default_factory=set)
    ulp: float | None = None
    bound: float | None = None
    relu: list[bool] = field(default_factory=list)
    compilations: int = 0
    compile_seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """In JSON's types, so that it can be sent from a worker to the controlling process."""
        return {**dataclasses.asdict(self), "architectures": sorted(self.architectures)}


current = Record()


def start() -> Record:
    """A new record, into which everything below writes from now on."""
    global current
    current = Record()
    return current


def count_compilation(event: str, duration_secs: float, **_: Any) -> None:
    """Called by `jax.monitoring` for every event that takes time."""
    if event == "/jax/core/compile/backend_compile_duration":
        current.compilations += 1
        current.compile_seconds += duration_secs


def examine(subject: object, cases: int = 1) -> None:
    """Counts generated cases of one network (or of one shape of a problem without networks; None counts none)."""
    current.examples += cases
    if subject is not None:
        current.architectures.add(_name(subject))


def _name(subject: object) -> str:
    if isinstance(subject, UNet):
        return " ".join(f"{name}={getattr(subject, name)}" for name in ARCHITECTURE)
    return repr(subject)


def discard() -> NoReturn:
    """Throws a degenerate case away, and counts it."""
    current.discarded += 1
    hypothesis.reject()


class NotRejectedError(AssertionError):
    """A check that cannot fail proves nothing."""


@contextmanager
def rejected(subject: object) -> Iterator[None]:
    """A negative control, on a network (or shape of the problem): the same check must fail here."""
    current.architectures.add(_name(subject))
    try:
        yield
    except NotRejectedError:
        raise
    except AssertionError:
        current.controls += 1
    else:
        raise NotRejectedError("the check accepts a case in which the claim is false")


def relu(holds: bool) -> None:
    """Whether a claim about generic weights holds for one random ReLU net; reported, not asserted."""
    current.relu.append(holds)


def rounding(actual: Any, expected: Any, *, bound: float) -> None:
    """Asserts that float results differ by at most `bound` units in the last place of the largest of them."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype == np.float32
    unit = np.spacing(np.abs(expected).max(initial=np.float32(0)))
    worst = float(np.abs(actual.astype(np.float64) - expected).max(initial=0) / unit)
    current.ulp, current.bound = max(worst, current.ulp or 0.0), max(bound, current.bound or 0.0)
    assert worst <= bound, f"{worst:.1f} units in the last place apart, where at most {bound} are rounding"
