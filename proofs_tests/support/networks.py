"""Networks in int32 with integer weights from a seed, and their images: what the claims are tested on.

In int32 both sides of an equation agree bit for bit or are different; there is no tolerance to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from shiftjax import UNet
from shiftjax.testing import integer_variables
from shiftjax.testing.strategies import architectures, input_for, seeds, shifts

Run = Callable[[np.ndarray], np.ndarray]  # images (batch, *space, channel) -> outputs
Shift = tuple[int, ...]
ShiftStrategy = Callable[[Sequence[int], Sequence[int]], st.SearchStrategy[Shift]]  # of a period and an extent
BATCH = 8


@dataclass(frozen=True)
class Subject:
    """A network, the channels of its images, and the seed of its weights."""

    net: UNet
    channels: int = 1
    seed: int = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(compiled(self.net)(self.variables, images))

    @property
    def variables(self) -> Any:
        return _variables(self)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.net.param_dtype)

    @property
    def rng(self) -> np.random.Generator:
        """For images; not the generator that the weights come from."""
        return np.random.default_rng(self.seed + 1)

    def image(self, space: Sequence[int], *, batch: int = 1, rng: np.random.Generator | None = None) -> np.ndarray:
        """Random images `(batch, *space, channels)`."""
        return image(rng or self.rng, (batch, *space, self.channels), self.dtype)

    def size(self, periods: int = 2) -> tuple[int, ...]:
        """The smallest legal input with so many periods of output."""
        return input_for(self.net, [periods * p for p in self.net.period])

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        """Output pixels of an input of this size."""
        return tuple(axis.walk(n).output for axis, n in zip(self.net.geometry, size, strict=True))


@st.composite
def subjects(draw: st.DrawFn, **options: Any) -> Subject:
    """A network with weights; the options are those of `architectures`."""
    return Subject(draw(architectures(**options)), draw(st.integers(1, 2)), draw(seeds()))


@cache
def compiled(net: UNet) -> Callable[..., jax.Array]:
    """Integers compile without optimisation, which they do not need; floats as users run them."""
    options = None if net.param_dtype == jnp.int32 else {"xla_backend_optimization_level": 3}
    return jax.jit(net.apply, compiler_options=options)


@lru_cache(maxsize=512)
def _variables(subject: Subject) -> Any:
    shape = (1, *input_for(subject.net, [1] * subject.net.ndim), subject.channels)
    image = jax.ShapeDtypeStruct(shape, jnp.int32)
    variables = integer_variables(jax.random.key(subject.seed), subject.net, image)
    return variables if subject.dtype == np.int32 else jax.tree.map(_floats, variables)


def _floats(leaf: np.ndarray) -> np.ndarray:
    """Weights scaled so that the signal keeps its size from layer to layer; biases of up to one."""
    inputs = leaf.size / leaf.shape[-1]
    return (np.asarray(leaf) / (2.0**31 * np.sqrt(max(1, inputs / 6)))).astype(np.float32)


def _float_subject(seed: int, **options: Any) -> Subject:
    return Subject(UNet(2, features=4, **options), seed=seed)


FLOATS = (
    _float_subject(0, ndim=1, factors=(2, 2)),
    _float_subject(1, ndim=1, factors=(3, 2), kernel_size=2, crop="every"),
    _float_subject(2, ndim=2, factors=(2,), convs=1),
)


def image(rng: np.random.Generator, shape: Sequence[int], dtype: Any = np.int32) -> np.ndarray:
    """Random integers of up to three digits, which float32 holds exactly too."""
    return rng.integers(-999, 1000, shape).astype(dtype)


def cut(images: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """`size` pixels of every axis from pixel `start` on."""
    space = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    return images[(slice(None), *space)]


def batched(run: Run, images: Sequence[np.ndarray], size: int = BATCH) -> list[np.ndarray]:
    """Runs single images in batches of one size, so that few shapes are compiled."""
    outputs: list[np.ndarray] = []
    for first in range(0, len(images), size):
        batch = list(images[first : first + size])
        padded = batch + batch[-1:] * (size - len(batch))
        outputs.extend(np.split(run(np.concatenate(padded)), size)[: len(batch)])
    return outputs


def numbered(images: np.ndarray) -> np.ndarray:
    """The images with its number added to each pixel: a network of these knows where it is."""
    space = images.shape[1:-1]
    number = np.arange(np.prod(space, dtype=np.int64)).astype(images.dtype)
    return images + number.reshape(*space, 1)


def constant(outputs: np.ndarray) -> bool:
    """Whether all pixels have one embedding; such networks satisfy every equality and show nothing."""
    return distinct(outputs) <= 1


def distinct(outputs: np.ndarray) -> int:
    """The number of different embeddings in `(..., channel)`."""
    return len(np.unique(outputs.reshape(-1, outputs.shape[-1]), axis=0))


@dataclass(frozen=True)
class Shifted:
    """An image of two periods of output or more, and the shifts to move it by."""

    subject: Subject
    shifts: tuple[Shift, ...]

    def images(self) -> np.ndarray:
        """The image, then the moved ones; the last one is repeated to fill a batch."""
        size = self.subject.size()
        reach = np.abs(np.array(self.shifts)).max(axis=0)
        large = self.subject.image(size + 2 * reach)
        starts = [reach, *(reach - np.array(s) for s in self.shifts)]
        windows = [cut(large, start, size) for start in starts]
        return np.concatenate(windows + windows[-1:] * (BATCH - len(windows)))

    def overlap(self, still: np.ndarray, moved: np.ndarray, shift: Shift) -> tuple[np.ndarray, np.ndarray]:
        """The pixels that the outputs `(*space, channel)` of the image and of the moved one share."""
        a = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, still.shape, strict=False))
        b = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, still.shape, strict=False))
        return still[a], moved[b]


def shifted(subject: Subject, kind: ShiftStrategy, *, most: int = BATCH - 1) -> st.SearchStrategy[Shifted]:
    """Shifts of one kind that leave some output in common; half of it for those that should change it."""
    extent = subject.output(subject.size())
    if kind is not shifts:
        extent = tuple((n + 1) // 2 for n in extent)
    lists = st.lists(kind(subject.net.period, extent), min_size=min(4, most), max_size=most)
    return lists.map(lambda chosen: Shifted(subject, tuple(chosen)))
