"""Judges a certificate by running the function in int32, where equal means equal.

Made for random programs, one certificate each: it runs only what this certificate claims, on all axes at once, in one
compilation. `evidence.py` measures a function first, without any certificate, for the cases that have several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proofs_tests.certifier.demonstration import objections
from shiftjax.certifier import AxisCertificate, Certificate

Run = Callable[[np.ndarray], np.ndarray]  # a batch of images of one shape -> a batch of outputs


def image(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-(2**20), 2**20, shape, dtype=np.int32)


def parameters(rng: np.random.Generator, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Odd numbers, so that no product loses a bit of what it multiplies."""
    return [jnp.asarray(rng.integers(-99, 99, shape, dtype=np.int32) * 2 + 1) for shape in shapes]


def window(axes: tuple[AxisCertificate, ...]) -> list[tuple[int, int]]:
    return [axis.exact for axis in axes]


def box(spans: list[tuple[int, int]]) -> tuple[slice, ...]:
    """An index of (space, channel) or (batch, space, channel) arrays without batch."""
    return tuple(slice(a, b) for a, b in spans)


class Judge:
    """Runs one function on many variants of one image, in one compilation."""

    def __init__(self, fn: Callable[[Any], Any], cert: Certificate, rng: np.random.Generator) -> None:
        self.fn = jax.jit(fn)
        self.cert, self.rng = cert, rng
        self.axes = cert.axes
        self.size = [axis.size for axis in self.axes]
        self.span = [n + 2 * p for n, p in zip(self.size, cert.period, strict=True)]
        self.big = image(rng, (1, *self.span, cert.shape[-1]))

    def crop(self, start: list[int]) -> np.ndarray:
        spans = [(s, s + n) for s, n in zip(start, self.size, strict=True)]
        index: Any = (0, *box(spans))
        return self.big[index]

    def variants(self) -> tuple[list[np.ndarray], dict[str, list[Any]]]:
        """The images to run, and what each of them is for."""
        here = self.crop([0] * len(self.size))
        runs = [here]
        plan: dict[str, list[Any]] = {"moved": [], "outside": []}

        def add(kind: str, x: np.ndarray, *what: Any) -> None:
            plan[kind].append((len(runs), *what))
            runs.append(x)

        for k, axis in enumerate(self.axes):
            for turns in (1, 2):
                add("moved", self.crop([turns * axis.period * (j == k) for j in range(len(self.size))]), k, turns)
        for index in self.places():
            fields = [self.field(axis, i) for axis, i in zip(self.axes, index, strict=True)]
            add("outside", self.mixed(here, fields), index)
        return runs, plan

    def places(self) -> list[tuple[int, ...]]:
        """Some exact outputs."""
        if any(a >= b for a, b in window(self.axes)):
            return []
        return [tuple(int(self.rng.integers(a, b)) for a, b in window(self.axes)) for _ in range(2)]

    @staticmethod
    def field(axis: AxisCertificate, i: int) -> tuple[int, int]:
        """The input pixels (start, stop) that output `i` may read."""
        turns, phase = divmod(i, axis.phases)
        return axis.period * turns + axis.lo[phase], axis.period * turns + axis.hi[phase] + 1

    def mixed(self, x: np.ndarray, spans: list[tuple[int, int]]) -> np.ndarray:
        """The image with fresh noise outside a box."""
        noise = image(self.rng, x.shape) * (1 if self.rng.integers(2) else 64)
        inside = box([(max(a, 0), max(b, 0)) for a, b in spans])
        noise[inside] = x[inside]
        return noise


def verdicts(
    fn: Callable[[Any], Any], cert: Certificate, rng: np.random.Generator, *, witnesses: bool = True
) -> Iterator[tuple[str, bool]]:
    """Every claim of the certificate with whether it holds; what rests on witnesses, which are slow, only if asked."""
    judge = Judge(fn, cert, rng)
    runs, plan = judge.variants()
    out = np.asarray(judge.fn(np.stack(runs)))
    here = out[0]
    for at, k, turns in plan["moved"]:
        yield f"period, axis {k}", agree(here, out[at], cert.axes, k, turns * cert.axes[k].phases)
    for at, index in plan["outside"]:
        yield f"field of {index}", bool((out[at][index] == here[index]).all())
    for text in objections(fn, cert) if witnesses else []:
        yield text, False


def agree(here: np.ndarray, there: np.ndarray, axes: tuple[AxisCertificate, ...], k: int, moved: int) -> bool:
    """Whether moving the image made the output move, on all exact outputs."""
    ahead = [a.exact if j != k else (a.exact[0] + moved, a.exact[1]) for j, a in enumerate(axes)]
    back = [a.exact if j != k else (a.exact[0], a.exact[1] - moved) for j, a in enumerate(axes)]
    if ahead[k][0] >= ahead[k][1]:
        return True
    return bool((here[box(ahead)] == there[box(back)]).all())


def equals_larger(fn: Callable[[Any], Any], cert: Certificate, larger: Certificate, rng: np.random.Generator) -> bool:
    """Whether exact outputs equal those of a larger image that begins with this one."""
    big = image(rng, larger.shape)
    small = big[tuple(slice(0, n) for n in cert.shape)]
    spans = zip(window(cert.axes), window(larger.axes), strict=True)
    common = box([(max(a, c), min(b, d)) for (a, b), (c, d) in spans])
    one, two = (np.asarray(jax.jit(fn)(v))[0][common] for v in (small, big))
    return bool((one == two).all())
