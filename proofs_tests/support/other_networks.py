"""Networks other than U-Nets, in int32: dilated convolutions, blur pooling, adaptive polyphase sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from proofs_tests.support.networks import image
from shiftjax.nets import operators
from shiftjax.testing import injective
from shiftjax.testing._integer_weights import odd


def _convolved(x: jax.Array, kernel: jax.Array, *, dilation: int = 1, stride: int = 1) -> jax.Array:
    layout = ("NHC", "HIO", "NHC") if x.ndim == 3 else ("NHWC", "HWIO", "NHWC")
    ndim = x.ndim - 2
    return lax.conv_general_dilated(
        x, kernel, (stride,) * ndim, "VALID", rhs_dilation=(dilation,) * ndim, dimension_numbers=layout
    )


def _wrapped(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution on a torus: the image goes on at its other side."""
    pad = [(0, 0), *((0, n - 1) for n in kernel.shape[:-2]), (0, 0)]
    return _convolved(jnp.pad(x, pad, mode="wrap"), kernel)


@dataclass(frozen=True)
class Dilated:
    """Dilated convolutions and no pooling: the period is 1."""

    ndim: int
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    features: int = 2

    @property
    def period(self) -> tuple[int, ...]:
        return (1,) * self.ndim

    @property
    def loss(self) -> int:
        """Input size minus output size."""
        return sum((k - 1) * d for k, d in zip(self.kernels, self.dilations, strict=True))

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the weights, as in the classes below."""
        inputs = [1] + [self.features] * (len(self.kernels) - 1)
        return [(*(k,) * self.ndim, n, self.features) for k, n in zip(self.kernels, inputs, strict=True)]

    def __call__(self, weights: list[Any], x: jax.Array) -> jax.Array:
        for kernel, dilation in zip(weights, self.dilations, strict=True):
            x = injective(_convolved(x, kernel, dilation=dilation))
        return x


@dataclass(frozen=True)
class BlurPool:
    """Binomial blur with a stride, convolution, learned upsampling: the period is the factor."""

    ndim: int
    factor: int
    kernel: int
    features: int = 2

    @property
    def period(self) -> tuple[int, ...]:
        return (self.factor,) * self.ndim

    @property
    def loss(self) -> int:
        return 2 * (self.kernel - 1) * self.factor + 3 * self.factor

    def shapes(self) -> list[tuple[int, ...]]:
        window = (self.kernel,) * self.ndim
        return [
            (*window, 1, self.features),
            (*window, self.features, self.features),
            (*(self.factor,) * self.ndim, self.features, self.features),
        ]

    def __call__(self, weights: list[Any], x: jax.Array) -> jax.Array:
        x = injective(_convolved(x, weights[0]))
        blur = np.ones((1,) * self.ndim, np.int32)
        for axis in range(self.ndim):
            blur = blur * np.array([1, 2, 1], np.int32).reshape([3 if k == axis else 1 for k in range(self.ndim)])
        blur = blur[..., None, None] * np.eye(self.features, dtype=np.int32)
        x = _convolved(x, jnp.asarray(blur), stride=self.factor)
        return operators.upsample_learned(injective(_convolved(x, weights[1])), weights[2])


@dataclass(frozen=True)
class AdaptivePolyphase:
    """Adaptive polyphase sampling (Chaman and Dokmanic 2021) on a torus, in 1-D, down and up again.

    Of the `factor` grids it keeps the one with the largest norm, one for the whole image, and puts the result back on
    the same grid.
    """

    factor: int
    kernel: int
    features: int = 2
    ndim: int = field(default=1, init=False)

    def shapes(self) -> list[tuple[int, ...]]:
        f = self.features
        return [(self.kernel, 1, f), (self.kernel, f, f), (self.factor, f, f)]

    def __call__(self, weights: list[Any], x: jax.Array) -> jax.Array:
        x = injective(_wrapped(x, weights[0]))
        grids = jnp.stack([x[:, r :: self.factor] for r in range(self.factor)])
        norms = jnp.sum(jnp.abs(grids >> 12), axis=(2, 3))  # shifted down, so that the sums do not wrap around
        best = jnp.argmax(norms, axis=0)
        chosen = grids[best, jnp.arange(x.shape[0])]
        y = operators.upsample_learned(injective(_wrapped(chosen, weights[1])), weights[2])
        return jax.vmap(lambda one, r: jnp.roll(one, r, axis=0))(y, best)


@dataclass(frozen=True)
class Weighted:
    """One of the above, with weights from a seed."""

    net: Any
    seed: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        return np.asarray(_compiled(self.net)([odd(rng, shape) for shape in self.net.shapes()], images))

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed + 1)

    def image(self, *space: int) -> np.ndarray:
        return image(self.rng, (1, *space, 1))


@cache
def _compiled(net: Any) -> Any:
    return jax.jit(net.__call__)
