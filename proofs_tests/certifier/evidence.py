"""What a function really does to a small image, measured once; any number of certificates are then held against it.

So that the same measurement must accept the true certificate and refuse each corrupted one. It tries every pixel of one
axis, in floats too; `judge.py` tries a few pixels that one certificate names, which is what random programs can afford.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import lax

from shiftjax.certifier import AxisCertificate

TRIES = 16  # changes tried on each pixel column
FINE = 2**10  # floats are multiples of its inverse


@dataclass(frozen=True)
class Evidence:
    """About one output and one image axis: outputs for every shift, and which output reads which pixel.

    `moved[s]` is the output of the image moved by `s` pixels, the measured axis in front; `reads[i, j]` tells whether
    output `i` changed when the pixels at `j` did.
    """

    moved: np.ndarray
    reads: np.ndarray
    exact: bool  # integers are compared exactly, floats up to the last places

    def same(self, a: np.ndarray, b: np.ndarray) -> bool:
        if self.exact:
            return bool((a == b).all())
        return bool(np.allclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True))


def measure(fn: Callable[[Any], Any], shape: tuple[int, ...], axis: int, out_axis: int, dtype: Any, shifts: int) -> Any:
    """Runs `fn` on all shifts of one image along `axis`, and on changes of each of its pixels."""
    rng = np.random.default_rng(0)
    n = shape[axis]
    long = _noise(rng, [*shape[:axis], n + shifts, *shape[axis + 1 :]], dtype)
    crops = [np.take(long, range(s, s + n), axis) for s in range(shifts + 1)]
    changed = [_changed(rng, crops[0], axis, j) for j in range(n) for _ in range(TRIES)]
    each = jax.jit(lambda images: lax.map(fn, images))  # one by one: rows of one product may be rounded differently
    outs = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(each(np.stack([*crops, *changed])))]
    return [_evidence(out, out_axis, shifts, n) for out in outs]


def _evidence(out: np.ndarray, out_axis: int, shifts: int, n: int) -> Evidence:
    out = np.moveaxis(out, out_axis + 1, 1)
    moved, changed = out[: shifts + 1], out[shifts + 1 :]
    rows = changed.reshape(n, TRIES, out.shape[1], -1)
    differs = (rows != moved[0].reshape(1, 1, out.shape[1], -1)) & ~(np.isnan(rows.astype(float)))
    return Evidence(moved, differs.any((1, 3)).T, not np.issubdtype(out.dtype, np.inexact))


def _noise(rng: np.random.Generator, shape: Any, dtype: Any, *, wide: bool = False) -> np.ndarray:
    """Numbers that every operation of the cases takes; wider ones can top any others.

    Floats have few bits, so that sums of them and of their products with such weights are exact.
    """
    if np.issubdtype(dtype, np.inexact):
        low, high = (0.05, 0.95) if wide else (0.3, 0.7)
        return (rng.integers(round(low * FINE), round(high * FINE), shape) / FINE).astype(dtype)
    return rng.integers(1 if wide else 2**18, 2**20 if wide else 2**19, shape).astype(dtype)


def _changed(rng: np.random.Generator, x: np.ndarray, axis: int, j: int) -> np.ndarray:
    fresh = x.copy()
    place = (*[slice(None)] * axis, slice(j, j + 1))
    fresh[place] = _noise(rng, fresh[place].shape, x.dtype, wide=True)
    return fresh


def failures(axis: AxisCertificate, found: Evidence) -> Iterator[str]:
    """Every claim about one axis that the evidence refutes."""
    size, (start, stop) = found.moved.shape[1], axis.exact
    if not 0 <= start <= stop <= size:
        yield f"the exact window {axis.exact} leaves the output of {size} px"
        return
    for turns in range(1, (len(found.moved) - 1) // axis.period + 1):
        ahead = found.moved[0][start + turns * axis.phases : stop]
        back = found.moved[turns * axis.period][start : max(start, stop - turns * axis.phases)]
        if len(ahead) and not found.same(ahead, back):
            yield f"moving by {turns} periods of {axis.period} does not move the output by {axis.phases}"
    for i in range(start, stop):
        turns, phase = divmod(i, axis.phases)
        lo, hi = axis.period * turns + axis.lo[phase], axis.period * turns + axis.hi[phase]
        pixels = np.flatnonzero(found.reads[i])
        if len(pixels) and not lo <= pixels[0] <= pixels[-1] <= hi:
            yield f"output {i} reads {pixels[0]}..{pixels[-1]}, outside {lo}..{hi}"


def smaller(axis: AxisCertificate, found: Evidence) -> int | None:
    """A period below the certified one that holds on all that can be seen, if there is one."""
    start, stop = axis.exact
    for period in range(1, axis.period):
        moved = period * axis.phases / axis.period
        if moved != int(moved) or stop - start - int(moved) < axis.phases:
            continue
        ahead, back = found.moved[0][start + int(moved) : stop], found.moved[period][start : stop - int(moved)]
        if found.same(ahead, back):
            return period
    return None
