"""The U-Net: a thin holder of parameters over plain operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from shiftjax._checks import fail, integer, one_of, per_axis, shown, type_of_numbers
from shiftjax._typing import Array, Shaped
from shiftjax.nets import operators
from shiftjax.nets._geometry import AxisGeometry, IllegalSizeError, Walk
from shiftjax.nets._layers import Convolution, Upsampling, promoted

UPSAMPLINGS = ("learned", "nearest")
NORMS = (None, "batch", "instance", "group")
CROPS = (None, "top", "every")


MOST = 2**16  # channels, or convolutions in a row: beyond, a number was mistaken for another
MOST_AXES = 8  # of space


class UNet(nn.Module):
    """Encoder-decoder with skip connections (Ronneberger et al. 2015), shift-equivariant in steps of its period.

    A level is a pass of convolutions, a skip connection, and max pooling by the level's factor; the decoder upsamples
    by the same factor, joins the skip, and convolves. The output has stride 1: it keeps the input's pixel size.

    Attributes:
        out_channels: channels of the output, which has no activation.
        ndim: spatial axes.
        features: channels at the top level; level i has `features * growth**i`.
        factors: pooling factors, from the top level down; per level an integer or one integer per axis. Empty: no
            pooling.
        convs, decoder_convs: convolutions per pass; in the decoder the same number unless given.
        kernel_size, head_kernel_size: an integer, or one integer per axis.
        activation: follows every convolution but the head.
        padding: "VALID" takes pixels off at every convolution, so that the whole output is exact; "SAME" pads with
            zeros and keeps the size.
        upsample: "learned", a transposed convolution whose kernel equals its stride, or "nearest".
        norm: None, "batch", "instance" or "group", before every activation. Instance and group norm read the whole
            tile, and batch norm does in training, so stitching is exact with None, with "batch" and `train=False`, or
            once `shiftjax.freeze_statistics` has measured the norms.
        crop: at which levels valid output is cropped to a multiple of the period: at none (None), the "top", or
            "every".
        dtype: of the computation; by default that of input and parameters, promoted.
        param_dtype: of the parameters; with an integer type they start as small random integers.

    Example:
        >>> net = UNet(3, features=8, factors=(2, 2))
        >>> net.period
        (4, 4)
        >>> net.legal_sizes(100)[0]
        ((96, 56, 20), (100, 60, 20), (104, 64, 20))
    """

    out_channels: int
    _: KW_ONLY
    ndim: int = 2
    features: int = 16
    growth: int = 2
    factors: Sequence[int | Sequence[int]] = ((2, 2),) * 4
    convs: int = 2
    decoder_convs: int | None = None
    kernel_size: int | Sequence[int] = 3
    head_kernel_size: int | Sequence[int] = 1
    activation: Callable[[Array], Array] = nn.relu
    padding: str = "VALID"
    upsample: str = "learned"
    norm: str | None = None
    crop: str | None = "top"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name in ("out_channels", "ndim", "features", "growth", "convs"):
            integer(name, getattr(self, name), least=1, most=MOST_AXES if name == "ndim" else MOST)
        if self.decoder_convs is not None:
            integer("decoder_convs", self.decoder_convs, least=1, most=MOST)
        per_axis("kernel_size", self.kernel_size, self.ndim)
        per_axis("head_kernel_size", self.head_kernel_size, self.ndim)
        if not isinstance(self.factors, Sequence) or isinstance(self.factors, str | bytes):
            fail("factors", "one entry per pooling level", shown(self.factors), "write `factors=(2, 2)` for two levels")
        for level, factor in enumerate(self.factors):
            per_axis(f"factors[{level}]", factor, self.ndim)
        one_of("padding", self.padding, operators.PADDINGS)
        one_of("upsample", self.upsample, UPSAMPLINGS)
        one_of("norm", self.norm, NORMS)
        one_of("crop", self.crop, CROPS)
        if not callable(self.activation):
            fail("activation", "a function of an array", shown(self.activation))
        for name in ("dtype", "param_dtype"):
            type_of_numbers(name, getattr(self, name))  # NumPy takes None for a type
        super().__post_init__()

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Sizes, crops and period, per axis."""
        head = per_axis("head_kernel_size", self.head_kernel_size, self.ndim)
        return tuple(self._axis(k, self._kernel[k], head[k]) for k in range(self.ndim))

    def _axis(self, axis: int, kernel: int, head: int) -> AxisGeometry:
        valid = self.padding == "VALID"
        loss = kernel - 1 if valid else 0  # what one convolution takes off
        left = (kernel - 1) // 2 if valid else 0  # the part of it in front of the first output pixel
        encoder_convs, decoder_convs = self._convolutions
        return AxisGeometry(
            factors=tuple(factor[axis] for factor in self._factors),
            encoder=encoder_convs * loss,
            decoder=decoder_convs * loss,
            head=head - 1 if valid else 0,
            encoder_left=encoder_convs * left,
            decoder_left=decoder_convs * left,
            crop=self.crop,
        )

    @property
    def period(self) -> tuple[int, ...]:
        """Smallest shift per axis, in pixels, with which the output moves along: the product of the factors."""
        return tuple(axis.period for axis in self.geometry)

    def legal_sizes(self, wish: int | Sequence[int]) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """Legal sizes around a wished input size.

        Args:
            wish: input pixels, one integer or one per axis.

        Returns:
            Per axis `((input, output, offset), ...)` in pixels, increasing: output pixel i lies at input pixel
            i + offset.
        """
        wishes = per_axis("wish", wish, self.ndim)
        return tuple(axis.legal(n) for axis, n in zip(self.geometry, wishes, strict=True))

    @nn.compact
    def __call__(
        self, x: Shaped[Array, "batch *space channel"], *, train: bool = False
    ) -> Shaped[Array, "batch *out channel_out"]:
        """Embeds every pixel.

        Args:
            x: images; their sizes must be legal (see `legal_sizes`).
            train: whether batch norm uses, and updates, the statistics of this batch.

        Raises:
            ValueError: wrong rank, or an illegal size (an `IllegalSizeError`, naming the level and the nearest sizes).
        """
        geometry, walks = self.geometry, self._walks(x)
        encoder_convs, decoder_convs = self._convolutions
        factors, levels = self._factors, range(len(self.factors))
        features = [self.features * self.growth**level for level in (*levels, len(levels))]
        sizes = [tuple(walk.keep[level] for walk in walks) for level in levels]
        skips = []
        for level in levels:
            x = self._pass([x], features[level], encoder_convs, f"encoder_{level}", train)
            start = tuple(axis.skip_start(level) for axis in geometry)
            skips.append(operators.crop_copy(x, start, sizes[level]))
            x = operators.max_pool(x, factors[level])
        x = self._pass([x], features[-1], encoder_convs, "bottom", train)
        for level in reversed(levels):
            x = self._upsampled(x, factors[level], features[level], level)
            x = operators.crop(x, [0] * self.ndim, sizes[level])
            x = self._pass([skips[level], x], features[level], decoder_convs, f"decoder_{level}", train)
        head = per_axis("head_kernel_size", self.head_kernel_size, self.ndim)
        return self._convolved(x, self.out_channels, head, "head")

    @property
    def _kernel(self) -> tuple[int, ...]:
        return per_axis("kernel_size", self.kernel_size, self.ndim)

    @property
    def _factors(self) -> list[tuple[int, ...]]:
        return [per_axis("factors", factor, self.ndim) for factor in self.factors]

    @property
    def _convolutions(self) -> tuple[int, int]:
        """Convolutions per pass of the encoder and of the decoder."""
        return self.convs, self.convs if self.decoder_convs is None else self.decoder_convs

    def _walks(self, x: Array) -> list[Walk]:
        """The sizes of an image on its way through the net, per axis, if it may pass."""
        if x.ndim != self.ndim + 2:
            fail("x", f"images of rank {self.ndim + 2}, (batch, *space, channel)", f"shape {x.shape}")
        if x.shape[-1] < 1:
            fail("x", "at least one channel", f"shape {x.shape}")
        if self.norm is not None and jnp.issubdtype(jnp.result_type(x, self.param_dtype), jnp.integer):
            fail("norm", "None in integer arithmetic", shown(self.norm))
        walks = []
        for k, (axis, size) in enumerate(zip(self.geometry, x.shape[1:-1], strict=True)):
            try:
                walks.append(axis.walk(size))
            except IllegalSizeError as error:
                near = ", ".join(f"{n} (output {out}, offset {at})" for n, out, at in axis.legal(size))
                raise IllegalSizeError(
                    f"`x`: spatial axis {k} has {size} px, but {error}; the nearest legal inputs are {near}",
                    self.legal_sizes(x.shape[1:-1]),
                ) from None
        return walks

    def _pass(self, xs: list[Array], features: int, convs: int, name: str, train: bool) -> Array:
        """The convolutions of one level, on arrays side by side as channels."""
        if self.norm is None:
            channels = [sum(x.shape[-1] for x in xs)] + [features] * (convs - 1)
            layers = [self._weights(n, features, self._kernel, f"{name}_conv_{i}") for i, n in enumerate(channels)]
            xs, layers = promoted(self.dtype, xs, layers)
            return operators.convolve_in_turn(xs, layers, self.activation, padding=self.padding)
        x = jnp.concatenate(xs, axis=-1)
        for i in range(convs):
            x = self._convolved(x, features, self._kernel, f"{name}_conv_{i}")
            x = self.activation(self._normalised(x, f"{name}_norm_{i}", train))
        return x

    def _convolved(self, x: Array, features: int, kernel_size: tuple[int, ...], name: str) -> Array:
        x, weights = promoted(self.dtype, x, self._weights(x.shape[-1], features, kernel_size, name))
        return operators.convolve(x, *weights, padding=self.padding)

    def _weights(self, channels: int, features: int, kernel_size: tuple[int, ...], name: str) -> tuple[Array, Array]:
        return Convolution(channels, features, kernel_size, self.param_dtype, name=name)()

    def _upsampled(self, x: Array, factor: tuple[int, ...], features: int, level: int) -> Array:
        if self.upsample == "nearest":
            return operators.upsample_nearest(x, factor)
        return Upsampling(features, factor, self.dtype, self.param_dtype, name=f"up_{level}")(x)

    def _normalised(self, x: Array, name: str, train: bool) -> Array:
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype, "name": name}
        if self.norm == "batch":
            return nn.BatchNorm(not train, **options)(x)
        if self.norm == "instance":
            return nn.InstanceNorm(**options)(x)
        return nn.GroupNorm(math.gcd(8, x.shape[-1]), **options)(x)
