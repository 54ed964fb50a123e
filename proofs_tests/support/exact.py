"""Networks in int32: integer weights from a seed, compiled once per shape, images on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax import UNet
from shiftjax.testing import integer_variables
from shiftjax.testing.strategies import input_for

Run = Callable[[np.ndarray], np.ndarray]  # images (batch, *space, channel) -> outputs
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
    def dtype(self) -> Any:
        return np.dtype(self.net.param_dtype)

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed + 1)

    def image(self, space: Sequence[int], *, batch: int = 1, rng: np.random.Generator | None = None) -> np.ndarray:
        return image(rng or self.rng, (batch, *space, self.channels), self.dtype)

    def size(self, periods: int = 2) -> tuple[int, ...]:
        """The smallest legal input with so many periods of output."""
        return input_for(self.net, [periods * p for p in self.net.period])

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        return tuple(axis.walk(n).output for axis, n in zip(self.net.geometry, size, strict=True))


@cache
def compiled(net: UNet) -> Callable[..., jax.Array]:
    """Integers compile without optimisation, which they do not need; floats as users run them."""
    optimised = None if net.param_dtype == jnp.int32 else {"xla_backend_optimization_level": 3}
    return jax.jit(net.apply, compiler_options=optimised)


@lru_cache(maxsize=512)
def _shapes(net: UNet, channels: int) -> Any:
    space = input_for(net, [1] * net.ndim)
    return jax.ShapeDtypeStruct((1, *space, channels), jnp.int32)


@lru_cache(maxsize=512)
def _variables(subject: Subject) -> Any:
    variables = integer_variables(jax.random.key(subject.seed), subject.net, _shapes(subject.net, subject.channels))
    if subject.dtype == np.int32:
        return variables
    return jax.tree.map(_floats, variables)


def _floats(leaf: np.ndarray) -> np.ndarray:
    """Weights of the size that keeps the signal's; biases of up to one."""
    inputs = leaf.size / leaf.shape[-1]
    return (leaf / (2.0**31 * np.sqrt(max(1, inputs / 6)))).astype(np.float32)


def image(rng: np.random.Generator, shape: Sequence[int], dtype: Any = np.int32) -> np.ndarray:
    return rng.integers(-999, 1000, shape).astype(dtype)


def cut(images: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """`size` pixels of every axis from pixel `start` on."""
    space = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    return images[(slice(None), *space)]


def batched(run: Run, images: Sequence[np.ndarray], size: int = BATCH) -> list[np.ndarray]:
    """Runs single images in batches of one size, so that few shapes are compiled."""
    outputs: list[np.ndarray] = []
    for first in range(0, len(images), size):
        some = list(images[first : first + size])
        padded = some + some[-1:] * (size - len(some))
        outputs.extend(np.split(run(np.concatenate(padded)), size)[: len(some)])
    return outputs


def placed(images: np.ndarray) -> np.ndarray:
    """Images that know where each pixel is: its number is added."""
    space = images.shape[1:-1]
    number = np.arange(np.prod(space, dtype=np.int64)).astype(images.dtype)
    return images + number.reshape(*space, 1)


def constant(outputs: np.ndarray) -> bool:
    """Whether all pixels have one embedding; such networks satisfy every equality and show nothing."""
    return distinct(outputs) <= 1


def distinct(outputs: np.ndarray) -> int:
    """The number of different embeddings, `(..., channel)`."""
    return len(np.unique(outputs.reshape(-1, outputs.shape[-1]), axis=0))
