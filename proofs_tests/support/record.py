"""What the tests of a claim write down as they run: examples, networks, rejected controls, rounding errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import hypothesis
import numpy as np

from shiftjax import UNet

FIELDS = ("ndim", "factors", "kernel_size", "head_kernel_size", "convs", "decoder_convs", "upsample", "padding", "crop")
WIDTHS = ("features", "growth", "out_channels")


@dataclass
class Entry:
    """The record of one test."""

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
        """As what JSON knows, so that it travels between processes."""
        return {**dataclasses.asdict(self), "architectures": sorted(self.architectures)}


entry = Entry()


def begin() -> Entry:
    """A new page."""
    global entry
    entry = Entry()
    return entry


def compiled(event: str, seconds: float, **_: Any) -> None:
    """Hears of every compilation, from `jax.monitoring`."""
    if event == "/jax/core/compile/backend_compile_duration":
        entry.compilations += 1
        entry.compile_seconds += seconds


def examine(subject: object, cases: int = 1) -> None:
    """Counts generated cases of one network (or of one shape of a problem without networks; None counts none)."""
    entry.examples += cases
    if subject is not None:
        entry.architectures.add(_name(subject))


def _name(subject: object) -> str:
    if isinstance(subject, UNet):  # the activation is no architecture
        return " ".join(f"{name}={getattr(subject, name)}" for name in FIELDS + WIDTHS)
    return repr(subject)


def discard() -> NoReturn:
    """Throws a degenerate case away, and counts it."""
    entry.discarded += 1
    hypothesis.reject()


class NotRejectedError(AssertionError):
    """A check that cannot fail proves nothing."""


@contextmanager
def rejected(subject: object) -> Iterator[None]:
    """A negative control, on a network (or shape of the problem): the same check must fail here."""
    entry.architectures.add(_name(subject))
    try:
        yield
    except NotRejectedError:
        raise
    except AssertionError:
        entry.controls += 1
    else:
        raise NotRejectedError("the check accepts a case in which the claim is false")


def relu(hit: bool) -> None:
    """Whether a claim about generic weights holds for one random ReLU net; reported, not asserted."""
    entry.relu.append(hit)


def rounding(found: Any, wanted: Any, *, bound: float) -> None:
    """Asserts that float results differ by at most `bound` units in the last place of the largest of them."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype == np.float32
    unit = np.spacing(np.abs(wanted).max(initial=np.float32(0)))
    worst = float(np.abs(found.astype(np.float64) - wanted).max(initial=0) / unit)
    entry.ulp, entry.bound = max(worst, entry.ulp or 0.0), max(bound, entry.bound or 0.0)
    assert worst <= bound, f"{worst:.1f} units in the last place apart, where at most {bound} are rounding"
