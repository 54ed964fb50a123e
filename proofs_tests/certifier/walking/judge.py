"""Runs a walk, one compiled program for each shape of the image, and compares results.

Integers and masks must be equal. Floats may differ by rounding, and so may a whole number that was cut from a float
that lies on a step: what changes when the image's own floats move as far as rounding moves them counts for nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proofs_tests.certifier.judge import box
from proofs_tests.certifier.walking.walk import Walk
from shiftjax.certifier import Certificate, CertificationError, certify

Span = tuple[int, int]


def proved(walk: Walk) -> Certificate | None:
    """The certificate; None where it is refused, and where JAX refuses the walk. Any other error is a fault."""
    try:
        return certify(walk.function(), walk.image, spatial_axes=walk.space)
    except CertificationError:
        return None
    except Exception:
        if runs(walk):
            raise
        return None


def runs(walk: Walk) -> bool:
    """Whether JAX takes the walk at all."""
    try:
        return jax.jit(walk.function()).lower(walk.image).compile() is not None
    except Exception:  # whatever JAX says of it
        return False


def image(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, scale: int = 1) -> np.ndarray:
    """Integers of 21 bits, or what the type holds; multiples of an eighth below 8, which half floats hold as well."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if np.issubdtype(dtype, np.integer):
        limit = min(2**20, np.iinfo(dtype).max)
        return (rng.integers(-limit, limit, shape) * scale).astype(dtype)
    return (rng.integers(-64, 64, shape) / 8 * scale).astype(dtype)


class Judge:
    """Runs one walk at one shape, on windows of one larger image.

    Attributes:
        walk: the function, and the shape of its image.
        cert: its certificate.
        rng: random numbers.
    """

    def __init__(self, walk: Walk, cert: Certificate, rng: np.random.Generator) -> None:
        self.walk, self.cert, self.rng = walk, cert, rng
        self._run: Any = jax.jit(walk.function())

    def forget(self) -> None:
        """Frees the compiled program."""
        self._run.clear_cache()

    @cached_property
    def big(self) -> np.ndarray:
        periods = [axis.period for leaf in self.cert.outputs for axis in leaf.axes]
        more = dict.fromkeys(self.walk.space, 2 * max(periods))
        return image(self.rng, self.walk.resized(more).shape, self.walk.dtype)

    def cut(self, starts: dict[int, int]) -> np.ndarray:
        """A window of the large image, from these pixels on."""
        return self.big[tuple(slice(starts.get(k, 0), starts.get(k, 0) + n) for k, n in enumerate(self.walk.shape))]

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        """The outputs, each with its image axes first."""
        leaves = {jax.tree_util.keystr(path): y for path, y in jax.tree_util.tree_flatten_with_path(self._run(x))[0]}
        return [
            np.moveaxis(np.asarray(leaves[leaf.leaves[0].name]), leaf.output_axes, range(len(self.walk.space)))
            for leaf in self.cert.outputs
        ]

    @cached_property
    def here(self) -> list[np.ndarray]:
        return self(self.cut({}))

    @cached_property
    def miscompiled(self) -> bool:
        """Whether XLA's program of whole numbers differs from the same calls one by one: then no claim can be judged.

        Seen on its CPU backend: `x.at[:, :, 1:].set(x[:, :, :-1])`, then axes of one pixel moved.
        """
        if self.walk.floats:
            return False
        image = self.cut({})
        with jax.disable_jit():
            plain = jax.tree.leaves(self.walk.function()(jnp.asarray(image)))
        compiled = jax.tree.leaves(self._run(image))
        return any(differ(np.asarray(a), np.asarray(b)) is not None for a, b in zip(plain, compiled, strict=True))

    def fragile(self, x: np.ndarray, out: int, spans: list[Span]) -> np.ndarray:
        """How far the output moves when the image's floats move as far as rounding might move them."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return np.zeros(1)
        plain = self(x)[out][box(spans)].astype(np.complex128)
        moved = []
        for _ in range(4):
            factor = 1 + self.rng.uniform(-1, 1, x.shape) * (1e-6 if x.dtype == np.float32 else 2**-7)
            there = self((x.astype(np.float64) * factor).astype(x.dtype))[out][box(spans)]
            moved.append(np.nan_to_num(abs(there.astype(np.complex128) - plain), nan=np.inf))
        return np.max(moved, axis=0)

    def same(self, out: int, one: Any, two: Any) -> bool:
        """Whether two results agree, each given as (judge, image, its outputs, spans)."""
        (a_judge, a_image, a_outputs, a_spans), (b_judge, b_image, b_outputs, b_spans) = one, two
        a, b = a_outputs[out][box(a_spans)], b_outputs[out][box(b_spans)]
        if a.shape[len(a_spans) :] != b.shape[len(b_spans) :]:
            return False
        if (bits_differ := differ(a, b)) is None:
            return True
        discrete = not jnp.issubdtype(a.dtype, jnp.inexact)
        if discrete and not self.walk.floats:
            return False
        if discrete and self.cert.approximations:
            return True  # a rounded weight may move a value over a step
        gap = np.where(bits_differ, abs(a.astype(np.complex128) - b.astype(np.complex128)), 0.0)
        if not discrete:
            finite = [abs(v[np.isfinite(v)].astype(np.complex128)).max(initial=0.0) for v in (a, b)]
            gap = gap - self.tolerance * max(finite)
        gap = np.where(bits_differ, np.nan_to_num(gap, nan=np.inf), 0.0)
        if not (gap > 0).any():
            return True
        reach = a_judge.fragile(a_image, out, a_spans) + b_judge.fragile(b_image, out, b_spans)
        return not (gap > 100 * reach).any()

    @property
    def tolerance(self) -> float:
        return 0.05 if self.cert.approximations else 0.02 if self.walk.halves else 1e-4


def differ(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Where the values differ; None if nowhere. Two numbers that are none are equal."""
    found = (a != b) & ~((a != a) & (b != b))
    return found if found.any() else None
