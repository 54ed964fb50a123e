"""Networks as the field has them, small: same-padded, with norms over space, written in Flax."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.tree_util import Partial


class SqueezeAndExcite(nn.Module):
    """Channels weighted by what two layers make of their means over space."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        means = x.mean(tuple(range(1, x.ndim - 1)), keepdims=True)
        weights = nn.Dense(x.shape[-1])(nn.relu(nn.Dense(max(1, x.shape[-1] // 2))(means)))
        return x * nn.sigmoid(weights)


class PlainUNet(nn.Module):
    """As nnU-Net has it: strided convolutions, instance norms, leaky ReLU, transposed convolutions."""

    features: int = 4
    levels: int = 1
    convs: int = 1
    excite: bool = False
    fast: bool = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        ndim = x.ndim - 2

        def block(x: Any, features: int, stride: int = 1) -> Any:
            for k in range(self.convs):
                strides = (stride if k == 0 else 1,) * ndim
                x = nn.Conv(features, (3,) * ndim, strides, padding=1)(x)
                x = nn.leaky_relu(nn.InstanceNorm(use_fast_variance=self.fast)(x), 0.01)
            return SqueezeAndExcite()(x) if self.excite else x

        skips = [block(x, self.features)]
        for level in range(1, self.levels + 1):
            skips.append(block(skips[-1], self.features * 2**level, stride=2))
        x = skips.pop()
        while skips:
            skip = skips.pop()
            x = nn.ConvTranspose(skip.shape[-1], (2,) * ndim, (2,) * ndim)(x)
            x = block(jnp.concatenate([skip, x], -1), skip.shape[-1])
        return nn.Conv(2, (1,) * ndim)(x)


class SegResNet(nn.Module):
    """As MONAI has it: residual blocks, group norms before the activation, nearest upsampling."""

    features: int = 4

    @nn.compact
    def __call__(self, x: Any) -> Any:
        ndim = x.ndim - 2

        def block(x: Any) -> Any:
            y = nn.Conv(x.shape[-1], (3,) * ndim)(nn.relu(nn.GroupNorm(num_groups=2)(x)))
            return x + nn.Conv(x.shape[-1], (3,) * ndim)(nn.relu(nn.GroupNorm(num_groups=2)(y)))

        first = block(nn.Conv(self.features, (3,) * ndim)(x))
        deep = block(nn.Conv(2 * self.features, (3,) * ndim, (2,) * ndim, padding=1)(first))
        wide = nn.Conv(self.features, (1,) * ndim)(deep)
        for axis in range(1, ndim + 1):
            wide = jnp.repeat(wide, 2, axis)
        return nn.Conv(2, (1,) * ndim)(nn.relu(nn.GroupNorm(num_groups=2)(block(wide + first))))


class StarDist(nn.Module):
    """As StarDist has it: a U-Net below a grid of 1 x 2 x 2, which gives a probability and distances along rays."""

    features: int = 4
    rays: int = 6

    @nn.compact
    def __call__(self, x: Any) -> Any:
        def block(x: Any, features: int) -> Any:
            return nn.relu(nn.Conv(features, (3, 3, 3))(x))

        x = nn.max_pool(block(x, self.features), (1, 2, 2), (1, 2, 2))
        deep = block(nn.max_pool(block(x, self.features), (2, 2, 2), (2, 2, 2)), 2 * self.features)
        for axis in (1, 2, 3):
            deep = jnp.repeat(deep, 2, axis)
        x = block(jnp.concatenate([x, deep], -1), self.features)
        return jnp.concatenate([nn.sigmoid(nn.Conv(1, (1, 1, 1))(x)), nn.Conv(self.rays, (1, 1, 1))(x)], -1)


def with_weights(net: nn.Module, shape: tuple[int, ...]) -> Partial:
    """A network with random weights, as a function of an image; compiled as users run it."""
    return Partial(net.apply, jax.jit(net.init)(jax.random.key(0), jnp.zeros(shape)))
