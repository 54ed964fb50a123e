"""Networks that sample in another way than by max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import one_of
from shiftjax._typing import Array
from shiftjax._windows import window
from shiftjax.nets import UNet

MAX, BLUR, DILATION, POLYPHASE = SAMPLINGS = ("max pooling", "blur pooling", "dilation", "polyphase")
Phase = tuple[Array | int, Array | int]


class Sampled(UNet):
    """An encoder-decoder in two dimensions with factors of 2, padded with zeros and cropped to what they do not reach.

    Attributes:
        sampling: "max pooling", undone by a learned upsampling; "blur pooling", a maximum and a binomial filter before
            every stride (Zhang 2019), undone by linear upsampling; "dilation", no strides, and kernels that are spread
            instead; "polyphase", which keeps, of the pixels that a stride may keep, those of largest norm, and puts
            them back to their places (Chaman and Dokmanic 2021).
        phases: of polyphase sampling, which pixels are kept at each level; without, each image chooses.
    """

    sampling: str = MAX
    phases: Sequence[tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        one_of("sampling", self.sampling, SAMPLINGS)
        super().__post_init__()

    @property
    def geometry(self) -> tuple[Any, ...]:
        """As of a valid network with one level, whose head takes a margin off at both ends."""
        levels = len(self.factors)
        # Per level its convolutions, and what the widest filters read: two pixels before a stride, one after it.
        reach = sum(2**level * (2 * self.convs + 3) for level in range(levels)) + 2**levels * self.convs
        margin = 2**levels * ceil_div(reach, 2**levels)
        factors = () if self.sampling == DILATION else (2**levels,)
        none: Any = dict.fromkeys(("encoder", "decoder", "encoder_left", "decoder_left"), 0)
        return tuple(replace(axis, factors=factors, head=2 * margin, **none) for axis in super().geometry)

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """Embeds every pixel of images `(batch, rows, columns, channel)` beyond the margin."""
        walks = self._walks(x)
        levels, skips, phases = range(len(self.factors)), [], []
        for level in levels:
            x = self._convolutions_of(x, level, "encoder")
            skips.append(x)
            x, phase = self._down(x, level)
            phases.append(phase)
        x = self._convolutions_of(x, len(levels), "bottom")
        for level in reversed(levels):
            x = self._up(x, level, phases[level])
            x = self._convolutions_of(jnp.concatenate([skips[level], x], axis=-1), level, "decoder")
        if not self.is_initializing():  # they are no state
            self.sow("phases", "chosen", phases)
        x = nn.Conv(self.out_channels, (1, 1), name="head", dtype=self.dtype)(x)
        margin = self.geometry[0].offset
        return window(x, (margin, margin), tuple(each.output for each in walks))

    def _convolutions_of(self, x: Array, level: int, name: str) -> Array:
        spread = 2**level if self.sampling == DILATION else 1
        for i in range(self.convs):
            x = self._conv(x, level, f"{name}_{level}_conv_{i}", kernel_dilation=spread)
            x = self.activation(x)
        return x

    def _conv(self, x: Array, level: int, name: str, **options: Any) -> Array:
        features = self.features * self.growth**level
        he = nn.initializers.he_normal()
        return nn.Conv(features, (3, 3), padding="SAME", kernel_init=he, dtype=self.dtype, name=name, **options)(x)

    def _down(self, x: Array, level: int) -> tuple[Array, Phase]:
        if self.sampling == DILATION:
            return x, (0, 0)
        if self.sampling == MAX:
            return nn.max_pool(x, (2, 2), (2, 2)), (0, 0)
        if self.sampling == BLUR:
            x = nn.max_pool(x, (2, 2), padding="SAME")
            channels = x.shape[-1]
            taps = jnp.array([1, 2, 1], x.dtype) / 4
            kernel = jnp.broadcast_to((taps[:, None] * taps)[..., None, None], (3, 3, 1, channels))
            return _depthwise(x, kernel, (2, 2)), (0, 0)
        if self.phases is not None:
            row, column = self.phases[level]
            return x[:, row::2, column::2], (row, column)
        parts = jnp.stack([x[:, i::2, j::2] for i in range(2) for j in range(2)], axis=1)
        chosen = jnp.argmax(jnp.sum(parts.astype(jnp.float32) ** 2, axis=(2, 3, 4)), axis=1)
        kept = jnp.take_along_axis(parts, chosen[:, None, None, None, None], axis=1)[:, 0]
        return kept, (chosen // 2, chosen % 2)

    def _up(self, x: Array, level: int, phase: Phase) -> Array:
        if self.sampling == DILATION:
            return x
        if self.sampling == MAX:
            return self._upsampled(x, (2, 2), self.features * self.growth**level, level)
        if self.sampling == BLUR:
            return jax.image.resize(x, (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3]), "linear")
        if self.phases is not None:
            rest = [(p, 1 - p, 1) for p in self.phases[level]]
            return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *rest, (0, 0, 0)])
        row, column = (jax.nn.one_hot(p, 2, dtype=x.dtype) for p in phase)
        b, h, w, c = x.shape
        spread = x[:, :, None, :, None] * row[:, None, :, None, None, None] * column[:, None, None, None, :, None]
        return spread.reshape(b, 2 * h, 2 * w, c)


def with_phases_of(net: Sampled, variables: Any, image: Array) -> Sampled:
    """The network that keeps everywhere what it chooses for the whole of one image, continued beyond its border.

    The margin is whole periods, so that an image and its continuation have their phases in common.
    """
    margin = net.geometry[0].offset
    more = [-n % net.period[0] for n in image.shape[1:-1]]
    continued = jnp.pad(image, [(0, 0), *((margin, margin + n) for n in more), (0, 0)], mode="reflect")
    _, found = net.apply(variables, continued, mutable=["phases"])
    ((chosen,),) = (tuple(found["phases"].values()),)
    return net.clone(phases=tuple((int(row[0]), int(column[0])) for row, column in chosen[0]))


def _depthwise(x: Array, kernel: Array, stride: tuple[int, int]) -> Array:
    """A filter on every channel, padded with zeros so that stride 1 would keep the size."""
    return jax.lax.conv_general_dilated(
        x, kernel, stride, [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1]
    )
