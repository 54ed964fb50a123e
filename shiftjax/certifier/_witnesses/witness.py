"""Witnesses: images on which a function shows that it reads what its certificate says, or has no smaller period.

A certificate bounds what a function does. That the bounds are tight is another claim, and only a demonstration shows
it: two images that differ as the claim says, and an exact output pixel at which the function differs. Where none is
found, nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._parameters import take_apart
from shiftjax.certifier import _jaxpr
from shiftjax.certifier._witnesses.float_error import apart, errors, twice

QUICK = 2.0**30  # floating-point operations that take less time than compiling them well

# Binary exponents of the image and of pixels drawn anew, and whether all numbers are positive, trial by trial. Pixels
# drawn anew are larger, to win where a maximum is taken; roots and logarithms need positive numbers.
LEVELS = ((0, 3, False), (4, 4, False), (-1, 0, True))


@dataclass(frozen=True)
class Drawing:
    """How to draw an image: a window of the numbers that Philox makes of a seed, with some pixels drawn anew, maybe.

    Attributes:
        seed: of the numbers.
        start: of the window, in pixels per image axis.
        anew: (image axis, pixel): all pixels with this coordinate are drawn again; None for none.
    """

    seed: int
    start: tuple[int, ...]
    anew: tuple[int, int] | None = None


@dataclass(frozen=True)
class Difference:
    """Two images, and an output pixel of each at which the function differs.

    Attributes:
        shows: what this is a demonstration of, in words.
        images: the two; `Witness.image` draws them.
        pixels: indices of the output arrays.
        values: of the function there.
    """

    shows: str
    images: tuple[Drawing, Drawing]
    pixels: tuple[tuple[int, ...], tuple[int, ...]]
    values: tuple[int | float, int | float]


@dataclass(frozen=True)
class Witness:
    """A demonstration of one claim about one axis: that its period is minimal, or that its bounds are attained.

    Attributes:
        kind: "minimal" or "attained".
        output: which output array.
        shape: of the images.
        dtype: of the images.
        spatial_axes: of the images.
        margin: pixels, per image axis, by which the drawn numbers exceed the images, so that a window can move.
        seed: of the parameters that are drawn.
        drawn: (shape, dtype) of each parameter that is drawn; None where the function's own array is used.
        differences: one for each thing to be shown.
    """

    kind: str
    output: int
    shape: tuple[int, ...]
    dtype: str
    spatial_axes: tuple[int, ...]
    margin: tuple[int, ...]
    seed: int
    drawn: tuple[tuple[tuple[int, ...], str] | None, ...]
    differences: tuple[Difference, ...]

    @property
    def parameters(self) -> list[np.ndarray | None]:
        """The parameters, in the certificate's order; None stands for the array that the function holds."""
        return [None if spec is None else draw_parameter(self.seed, k, *spec) for k, spec in enumerate(self.drawn)]

    def image(self, drawing: Drawing) -> np.ndarray:
        """One of the images, of `shape` and `dtype`."""
        return draw_image(drawing, self.shape, self.dtype, self.spatial_axes, self.margin)

    def replay(self, fn: Callable[[Any], Any]) -> bool:
        """Whether a function, computed again, differs in every pair of images as was seen, by more than rounding."""
        if not self.differences:  # a period of 1, which needs none
            return True
        runner = Runner(fn, self.shape, self.dtype)

        def values(difference: Difference, n: int) -> np.ndarray:
            results = runner(self.parameters, self.image(difference.images[n]), n)
            pixel: Any = (slice(None), *difference.pixels[n])
            return results[self.output][pixel]

        return all(apart(values(difference, 0), values(difference, 1)) > 0 for difference in self.differences)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Witness:
        """From what `dataclasses.asdict` made of a witness, lists as tuples."""
        differences = tuple(
            Difference(**{**d, "images": tuple(Drawing(**image) for image in d["images"])}) for d in data["differences"]
        )
        return cls(**{**data, "differences": differences})


def numbers(seed: int, stream: int, shape: Sequence[int], dtype: Any, exponent: int, positive: bool) -> np.ndarray:
    """Random numbers of few bits, so that sums and products of several are exact; no float among them is zero.

    Floats are odd multiples of 2^-6, below 2, times 2^exponent. Integers have 7 + 3 * exponent bits, or all of theirs.
    """
    bits = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(math.prod(shape))
    return _of_bits(np.asarray(bits), np.dtype(dtype), exponent, positive).reshape(shape)


def _of_bits(bits: np.ndarray, dtype: np.dtype, exponent: int, positive: bool) -> np.ndarray:
    """One number for each 64 bits."""
    if dtype == np.bool_:
        return bits >> np.uint64(63) == 1
    if not np.issubdtype(dtype, np.integer):
        odd = (bits >> np.uint64(57)).astype(np.float64) * 2 - 127
        return ((np.abs(odd) if positive else odd) * 2.0 ** (exponent - 6)).astype(dtype)
    signed = np.issubdtype(dtype, np.signedinteger)
    width = int(np.clip(7 + 3 * exponent, 2, 8 * dtype.itemsize - signed))
    found = (bits >> np.uint64(64 - width)).astype(dtype)
    return found if positive or not signed else found - dtype.type(2 ** (width - 1))


def draw_image(
    drawing: Drawing, shape: Sequence[int], dtype: Any, spatial: Sequence[int], margin: Sequence[int]
) -> np.ndarray:
    """The image of a drawing."""
    exponent, larger, positive = LEVELS[drawing.seed % len(LEVELS)]
    extent, window = list(shape), [slice(None)] * len(shape)
    for k, start, more in zip(spatial, drawing.start, margin, strict=True):
        extent[k] += more
        window[k] = slice(start, start + shape[k])
    image = numbers(drawing.seed, 0, extent, dtype, exponent, positive)[tuple(window)]
    if drawing.anew is None:
        return image
    axis, pixel = drawing.anew
    place = (*[slice(None)] * spatial[axis], slice(pixel, pixel + 1))
    image = image.copy()
    image[place] = numbers(drawing.seed, 1, image[place].shape, dtype, larger, positive)
    return image


def draw_parameter(seed: int, k: int, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """A parameter whose value is not known: of a size that keeps activations of a network near 1.

    Vectors (biases, scales, variances) are positive at first, which keeps rectifiers alive.
    """
    fan = math.prod(shape) / max(shape, default=1)
    floating = jnp.issubdtype(np.dtype(dtype), np.floating)
    exponent = -round(math.log2(max(1, fan)) / 2) if floating else -1
    return numbers(seed, 2 + k, shape, dtype, exponent, seed == 2 or (seed == 0 and len(shape) < 2))


class Runner:
    """A function at one shape of image, on the CPU, its results computed twice (see `float_error`).

    Attributes:
        drawn: (shape, dtype) of each parameter of which only the shape is known; None for the others.
    """

    def __init__(self, fn: Callable[[Any], Any], shape: Sequence[int], dtype: Any) -> None:
        image = jax.ShapeDtypeStruct(tuple(shape), dtype)
        self._arrays = take_apart(fn).arrays
        self.drawn = tuple(map(_shape_only, self._arrays))
        program = twice(_jaxpr.trace(fn, image).program)
        with _double_precision():
            self._lowered = jax.jit(program).lower(errors(0), [*self._arrays, image])

    @cached_property
    def work(self) -> float:
        """Floating-point operations for one image."""
        return float((self._lowered.cost_analysis() or {}).get("flops", 0.0))

    @cached_property
    def compiled(self) -> Any:
        options: dict[str, str | bool] = {"xla_backend_optimization_level": "0"} if self.work < QUICK else {}
        return self._lowered.compile(compiler_options=options)

    def __call__(self, parameters: Sequence[np.ndarray | None], image: np.ndarray, n: int) -> list[np.ndarray]:
        """Results for the first (n = 0) or the second (n = 1) image of a pair, with rounding errors of its own."""
        values = [own if value is None else value for own, value in zip(self._arrays, parameters, strict=True)]
        with _double_precision():
            results = self.compiled(errors(n), [*values, image])
            return [np.zeros(()) if _is_key(result) else np.asarray(result) for result in results]


@contextmanager
def _double_precision() -> Iterator[None]:
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def _is_key(array: Any) -> bool:
    """Random keys have no value on the host; no proof is about them."""
    return jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)


def _shape_only(array: Any) -> tuple[tuple[int, ...], str] | None:
    if not isinstance(array, jax.ShapeDtypeStruct):
        return None
    return tuple(array.shape), np.dtype(array.dtype).name


@dataclass(frozen=True)
class KnownWitnesses:
    """The witnesses that are known, of a certificate without its function."""

    witnesses: tuple[Witness, ...] = ()

    def __call__(self, kind: str) -> Witness | None:
        return next((witness for witness in self.witnesses if witness.kind == kind), None)
