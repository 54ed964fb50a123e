"""Explicit weights with which a network outputs the phase of every pixel."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from shiftjax._checks import fail, per_axis, shown
from shiftjax._typing import Shaped
from shiftjax.nets import UNet
from shiftjax.testing._integer_weights import parameter_shapes

CODE, ONE = 0, 1  # the two channels that the decoder hands on


def phase_code(net: UNet, x: Any) -> Any:
    """Variables with which any image, even a constant one, gets as many embeddings as the period has phases.

    They show that the capacity bound of the theory is reached. Every learned upsampling writes one digit of the phase,
    in mixed radix: its kernel equals its stride, so each position in a block has weights of its own. The deepest level
    writes the leading digit. Two channels go up through the decoder: the digits so far, and a constant one from which
    the next digit is made. The encoder and the skips are zero.

    Args:
        net: with learned upsampling and without norm. Its activation must leave numbers >= 0 as they are.
        x: an image `(batch, *space, channel)`, or a `jax.ShapeDtypeStruct` of its shape.

    Returns:
        Variables of `net`. Channel 0 of the output is an integer from 0 to prod(net.period) - 1, the same for all
        pixels of one phase; the other channels are zero.

    Raises:
        ValueError: a network with another upsampling, with a norm, or with a single channel below the top level.
    """
    if not isinstance(net, UNet):
        fail("net", "a `shiftjax.UNet`", shown(net))
    if net.upsample != "learned":
        fail("net", "learned upsampling", shown(net.upsample), "nearest upsampling writes nothing")
    if net.norm is not None:
        fail("net", "no norm", shown(net.norm))
    if net.factors and net.features * net.growth < 2:
        fail("net", "two channels at every level below the top", "one", "use `features=2`")
    shapes = parameter_shapes(net, x, getattr(x, "dtype", None))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)["params"]
    params[f"bottom_conv_{net.convs - 1}"]["bias"][ONE : ONE + 1] = 1
    for level, factor in enumerate(net.factors):
        width = net.features * net.growth**level
        _write_digit(params[f"up_{level}"]["kernel"], per_axis("factors", factor, net.ndim))
        for i in range(net.convs if net.decoder_convs is None else net.decoder_convs):
            # The skip's channels come first in what the first convolution reads.
            _hand_on(params[f"decoder_{level}_conv_{i}"]["kernel"], first=width if i == 0 else 0, channels=(CODE, ONE))
    _hand_on(params["head"]["kernel"], first=0, channels=(CODE,))
    return jax.tree.map(jax.device_put, {"params": params})


def _write_digit(kernel: Shaped[np.ndarray, "..."], factor: tuple[int, ...]) -> None:
    """The code times the number of positions in a block, plus the position."""
    count = math.prod(factor)
    kernel[..., CODE, CODE] = count
    kernel[..., ONE, CODE] = np.arange(count).reshape(factor)
    kernel[..., ONE, ONE : ONE + 1] = 1  # the top level may have one channel only


def _hand_on(kernel: Shaped[np.ndarray, "..."], *, first: int, channels: tuple[int, ...]) -> None:
    """Copies channels through the middle of the kernel."""
    middle = tuple((n - 1) // 2 for n in kernel.shape[:-2])
    for channel in channels[: kernel.shape[-1]]:
        kernel[(*middle, first + channel, channel)] = 1
