"""The U-Net: a thin holder of parameters over plain operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from shiftjax._checks import fail, integer, one_of, per_axis
from shiftjax._typing import Array, Shaped
from shiftjax.nets import operators
from shiftjax.nets._geometry import AxisGeometry, IllegalSizeError

PADDINGS = ("VALID", "SAME")
UPSAMPLINGS = ("learned", "nearest")
NORMS = (None, "batch", "instance", "group")
CROPS = (None, "top", "every")
_TRUNCATED = 0.8796256610342398  # standard deviation of a normal cut at two deviations


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
        padding: "VALID" takes pixels off at every convolution and keeps the claims; "SAME" pads with zeros.
        upsample: "learned", a transposed convolution whose kernel equals its stride, or "nearest".
        norm: None, "batch", "instance" or "group", in front of every activation. Instance and group norm read the whole
            tile, and batch norm does in training, so stitching is exact only with None, or "batch" and `train=False`.
        crop: crop valid output to a multiple of the period at no level (None), at the "top" only, or at "every" level.
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
            integer(name, getattr(self, name), least=1)
        if self.decoder_convs is not None:
            integer("decoder_convs", self.decoder_convs, least=1)
        per_axis("kernel_size", self.kernel_size, self.ndim)
        per_axis("head_kernel_size", self.head_kernel_size, self.ndim)
        if not isinstance(self.factors, Sequence):
            fail("factors", "one entry per pooling level", repr(self.factors), "write `factors=(2, 2)` for two levels")
        for level, factor in enumerate(self.factors):
            per_axis(f"factors[{level}]", factor, self.ndim)
        one_of("padding", self.padding, PADDINGS)
        one_of("upsample", self.upsample, UPSAMPLINGS)
        one_of("norm", self.norm, NORMS)
        one_of("crop", self.crop, CROPS)
        if not callable(self.activation):
            fail("activation", "a function of an array", repr(self.activation))
        for name in ("dtype", "param_dtype"):
            if getattr(self, name) is not None:
                _check_dtype(name, getattr(self, name))
        super().__post_init__()

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Sizes, crops and period, per axis."""
        kernel = per_axis("kernel_size", self.kernel_size, self.ndim)
        head = per_axis("head_kernel_size", self.head_kernel_size, self.ndim)
        factors = [per_axis("factors", f, self.ndim) for f in self.factors]
        down, up = self._convolutions
        valid = self.padding == "VALID"
        return tuple(
            AxisGeometry(
                factors=tuple(f[axis] for f in factors),
                encoder=down * (k - 1) * valid,
                decoder=up * (k - 1) * valid,
                head=(h - 1) * valid,
                encoder_left=down * ((k - 1) // 2) * valid,
                decoder_left=up * ((k - 1) // 2) * valid,
                crop=self.crop,
            )
            for axis, (k, h) in enumerate(zip(kernel, head, strict=True))
        )

    @property
    def period(self) -> tuple[int, ...]:
        """Smallest shift per axis, in pixels, under which the output moves along: the product of the factors."""
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
        geometry = self._check(x)
        walks = [axis.walk(n) for axis, n in zip(geometry, x.shape[1:-1], strict=True)]
        down, up = self._convolutions
        features = [self.features * self.growth**level for level in range(len(self.factors) + 1)]
        factors = [per_axis("factors", f, self.ndim) for f in self.factors]
        skips = []
        for level, factor in enumerate(factors):
            x = self._pass([x], features[level], down, f"encoder_{level}", train)
            size = tuple(walk.keep[level] for walk in walks)
            start = tuple(axis.skip_start(level) for axis in geometry)
            skips.append(operators.crop_apart(x, start, size))
            x = operators.max_pool(x, factor)
        x = self._pass([x], features[-1], down, "bottom", train)
        for level in reversed(range(len(factors))):
            size = tuple(walk.keep[level] for walk in walks)
            x = operators.crop(self._upsampled(x, factors[level], features[level], level), [0] * self.ndim, size)
            x = self._pass([skips[level], x], features[level], up, f"decoder_{level}", train)
        head = per_axis("head_kernel_size", self.head_kernel_size, self.ndim)
        return self._convolved(x, self.out_channels, head, "head")

    @property
    def _convolutions(self) -> tuple[int, int]:
        return self.convs, self.convs if self.decoder_convs is None else self.decoder_convs

    def _check(self, x: Array) -> tuple[AxisGeometry, ...]:
        if x.ndim != self.ndim + 2:
            fail("x", f"images of rank {self.ndim + 2}, (batch, *space, channel)", f"shape {x.shape}")
        if x.shape[-1] < 1:
            fail("x", "at least one channel", f"shape {x.shape}")
        if self.norm is not None and jnp.issubdtype(jnp.result_type(x, self.param_dtype), jnp.integer):
            fail("norm", "None in integer arithmetic", repr(self.norm))
        geometry = self.geometry
        for k, (axis, size) in enumerate(zip(geometry, x.shape[1:-1], strict=True)):
            try:
                axis.walk(size)
            except IllegalSizeError as error:
                near = ", ".join(f"{n} (output {out}, offset {at})" for n, out, at in axis.legal(size))
                raise IllegalSizeError(
                    f"`x`: spatial axis {k} has {size} px, but {error}; the nearest legal inputs are {near}",
                    self.legal_sizes(x.shape[1:-1]),
                ) from None
        return geometry

    def _pass(self, xs: list[Array], features: int, convs: int, name: str, train: bool) -> Array:
        """The convolutions of one level, on arrays side by side as channels."""
        kernel = per_axis("kernel_size", self.kernel_size, self.ndim)
        if self.norm is None:
            layers = []
            for i in range(convs):
                channels = features if i else sum(x.shape[-1] for x in xs)
                layers.append(self._weights(channels, features, kernel, f"{name}_conv_{i}"))
            xs, layers = _promoted(self.dtype, xs, layers)
            return operators.convolve_in_turn(xs, layers, self.activation, padding=self.padding)
        x = jnp.concatenate(xs, axis=-1)
        for i in range(convs):
            x = self._convolved(x, features, kernel, f"{name}_conv_{i}")
            x = self.activation(self._normalised(x, f"{name}_norm_{i}", train))
        return x

    def _convolved(self, x: Array, features: int, kernel_size: tuple[int, ...], name: str) -> Array:
        x, weights = _promoted(self.dtype, x, self._weights(x.shape[-1], features, kernel_size, name))
        return operators.convolve(x, *weights, padding=self.padding)

    def _weights(self, channels: int, features: int, kernel_size: tuple[int, ...], name: str) -> tuple[Array, Array]:
        return _Convolution(channels, features, kernel_size, self.param_dtype, name=name)()

    def _upsampled(self, x: Array, factor: tuple[int, ...], features: int, level: int) -> Array:
        if self.upsample == "nearest":
            return operators.upsample_nearest(x, factor)
        return _Upsampling(features, factor, self.dtype, self.param_dtype, name=f"up_{level}")(x)

    def _normalised(self, x: Array, name: str, train: bool) -> Array:
        kinds: dict[str | None, Callable[[], Callable[[Array], Array]]] = {
            None: lambda: lambda y: y,
            "batch": lambda: nn.BatchNorm(not train, dtype=self.dtype, param_dtype=self.param_dtype, name=name),
            "instance": lambda: nn.InstanceNorm(dtype=self.dtype, param_dtype=self.param_dtype, name=name),
            "group": lambda: nn.GroupNorm(
                math.gcd(8, x.shape[-1]), dtype=self.dtype, param_dtype=self.param_dtype, name=name
            ),
        }
        return kinds[self.norm]()(x)


class _Convolution(nn.Module):
    """Kernel and bias of one convolution, held raw: `nn.Conv` would turn int32 into float32."""

    channels: int
    features: int
    kernel_size: tuple[int, ...]
    param_dtype: Any

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        shape = (*self.kernel_size, self.channels, self.features)
        kernel = self.param("kernel", _weights(math.prod(self.kernel_size)), shape, self.param_dtype)
        return kernel, self.param("bias", _biases, (self.features,), self.param_dtype)


class _Upsampling(nn.Module):
    """Kernel and bias of one learned upsampling."""

    features: int
    factors: tuple[int, ...]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", _weights(1), (*self.factors, x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", _biases, (self.features,), self.param_dtype)
        return operators.upsample_learned(*_promoted(self.dtype, x, kernel, bias))


def _check_dtype(name: str, dtype: Any) -> None:
    try:
        jnp.dtype(dtype)
    except TypeError:
        fail(name, "a dtype such as jax.numpy.float32", repr(dtype))


def _promoted(dtype: Any, *arrays: Any) -> Any:
    """Arrays, or trees of them, of one type."""
    wanted = jnp.result_type(*jax.tree.leaves(arrays)) if dtype is None else dtype
    return jax.tree.map(lambda a: a.astype(wanted), arrays)


def _weights(window: int) -> Callable[..., Array]:
    """He's variance 2 / fan-in, for kernels whose output pixels read `window` input pixels each."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        size = math.prod(shape)  # drawn flat: XLA's CPU backend compiles draws of several axes 4 times slower
        if jnp.issubdtype(dtype, jnp.integer):
            return _small_integers(key, size, dtype).reshape(shape)
        deviation = math.sqrt(2 / (window * shape[-2])) / _TRUNCATED
        return deviation * jax.random.truncated_normal(key, -2, 2, (size,), dtype).reshape(shape)

    return init


def _biases(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    if jnp.issubdtype(dtype, jnp.integer):
        return _small_integers(key, shape[0], dtype)
    return jnp.zeros(shape, dtype)


def _small_integers(key: Array, size: int, dtype: Any) -> Array:
    """Integers -8 .. 8."""
    return (jax.random.bits(key, (size,)) % 17).astype(dtype) - 8
